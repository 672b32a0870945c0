"""One data directory, one host.

The lock is a `flock` on `data/lock`. Every child inherits its descriptor, so the directory stays locked until the last
process of a host is gone, however the others went; nobody ever unlocks it by hand. The file's text says who holds it:
it is written by the holder, read by whoever is refused, and by the successor, which removes what a killed host left.
Files of the storage are never touched here.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from holdfast_host.core.errors import ConfigurationError

WAIT_S: Final = 5.0
_POLL_S: Final = 0.05
_TEXT_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: `runtime` is the directory of its sockets."""

    pid: int
    url: str = ""
    runtime: str = ""


class DirectoryLock:
    """The held lock of a data directory; lives as long as the supervisor, and on in its children."""

    def __init__(self, fd: int, predecessor: Holder | None) -> None:
        self.fd = fd
        self.predecessor = predecessor  # the host that did not stop in order, None after one that did
        self._left = b""  # what the file says afterwards

    @classmethod
    def acquire(cls, data: Path, wait_s: float = WAIT_S) -> DirectoryLock:
        """Take the lock; waits (blocking) up to `wait_s` seconds for the leftovers of a dead host to go.

        Raises:
            ConfigurationError: another host holds it; the message says which. Or it cannot be opened.
        """
        path = data / "lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"the lock {path} cannot be opened ({error.strerror}): it must be a file that this user may write"
            ) from error
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    refusal = _refusal(data, _read_holder(fd))
                    os.close(fd)
                    raise refusal from None
                time.sleep(_POLL_S)
            else:
                break
        predecessor = _read_holder(fd)
        lock = cls(fd, predecessor)
        lock.describe(Holder(os.getpid()))
        return lock

    def describe(self, holder: Holder) -> None:
        """Say in the file who holds it."""
        self._write(json.dumps(asdict(holder)).encode())

    def keep_predecessor(self) -> None:
        """Leave the file as it was found: whoever only looks in puts nothing in order, and a host is to do so yet."""
        if self.predecessor is not None:
            self._left = json.dumps(asdict(self.predecessor)).encode()

    def release(self) -> None:
        """Close our descriptor: free when no child has it either. The empty text says that all went in order."""
        self._write(self._left)
        os.close(self.fd)
        self.fd = -1

    def __enter__(self) -> DirectoryLock:
        """The lock itself, released at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _write(self, text: bytes) -> None:
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))


def _read_holder(fd: int) -> Holder | None:
    """What the file says; None where it is empty or not ours."""
    try:
        facts = json.loads(os.pread(fd, _TEXT_BYTES_MAX, 0))
        return Holder(int(facts["pid"]), str(facts["url"]), str(facts["runtime"]))
    except (ValueError, KeyError, TypeError):
        return None


def _refusal(data: Path, holder: Holder | None) -> ConfigurationError:
    """The sentence for a second host."""
    if holder is None:
        who = "another host"
    elif holder.url:
        who = f"the host with pid {holder.pid} at {holder.url}"
    else:
        who = f"the host with pid {holder.pid}"
    return ConfigurationError(f"the data directory {data} is held by {who}: stop that one, or name another with --data")
