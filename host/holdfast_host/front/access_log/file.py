"""The file of the access log: lines go to a thread of their own, so that no request waits for a disk or a reader.

What cannot be written is dropped and counted, and the host's log says so once a minute. The file is opened anew when
another one, or none, is found under its name: whoever rotates it moves it away, and tells nobody. Every line is one
write at the file's end, so several fronts share it.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

LINES_MAX: Final = 10_000  # that wait to be written
LOOK_S: Final = 1.0  # from one look after the file's name to the next
SAY_S: Final = 60.0  # from one word about dropped lines to the next
CLOSE_S: Final = 1.0  # for what is left when the front stops
_MODE: Final = 0o640  # clients' addresses are nobody else's

_log = logging.getLogger(__name__)


class AccessFile:
    """One front's way to it. `write` is for the loop, the rest for the thread that it starts."""

    def __init__(self, path: str, fd: int = -1) -> None:
        """`fd` is written to where it is none of -1, and never opened anew."""
        self._path = path
        self._fd = fd
        self._is_given = fd >= 0
        self._identity = (0, 0)  # of the file that is open
        self._looked_at = float("-inf")
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._torn = False  # a line was written in part
        self._dropping = Lock()  # both threads do
        self.dropped = 0
        self._said_at = float("-inf")
        self._thread = Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Have it written, or count it as dropped; returns at once."""
        if self._lines.qsize() < LINES_MAX:
            self._lines.put(line)
        else:
            self._drop("more lines come than are taken")

    def close(self) -> None:
        """Write what is left, for as long as that may take."""
        self._lines.put(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._open_anew()
                self._append(line)
            except OSError as error:
                self._drop(error.strerror or str(error))
        if self._fd >= 0:
            os.close(self._fd)

    def _append(self, line: bytes) -> None:
        data = b"\n" + line if self._torn else line
        while data:
            written = os.write(self._fd, data)
            data = data[written:]
            self._torn = bool(data)

    def _open_anew(self) -> None:
        """Where there is none, or its name is another file's now; looked at once a second."""
        now = time.monotonic()
        if self._is_given or (self._fd >= 0 and now - self._looked_at < LOOK_S):
            return
        self._looked_at = now
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                found = os.stat(self._path)
                if (found.st_dev, found.st_ino) == self._identity:
                    return
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        if self._fd >= 0:
            os.close(self._fd)
        facts = os.fstat(opened)
        self._fd, self._identity, self._torn = opened, (facts.st_dev, facts.st_ino), False

    def _drop(self, reason: str) -> None:
        now = time.monotonic()
        with self._dropping:
            self.dropped += 1
            says = now - self._said_at >= SAY_S
            self._said_at = now if says else self._said_at
        if says:
            _log.warning("lines of the access log %s are dropped, %d so far: %s", self._path, self.dropped, reason)
