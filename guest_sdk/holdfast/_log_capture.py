"""`print()`, `logging` and tracebacks as lines of the instance's log; `time.sleep` as an error that says what to do.

While a component is built there is no host yet: until `connect`, everything goes where it went before.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

from holdfast._confinement.denied import NoInput, no_sleep
from holdfast._host_imports import LogImport

LINE_CHARS_MAX: Final = 16_000


class Output:
    """The output of one sandbox. `pending` is True while there is something to see to when the turn ends."""

    __slots__ = ("_at_turn_end", "_err", "_log", "_out", "pending")

    def __init__(self) -> None:
        self._log: LogImport | None = None
        self._out = LineStream(self, "stdout")
        self._err = LineStream(self, "stderr")
        self._at_turn_end: list[Callable[[], None]] = []
        self.pending = False

    def install(self) -> None:
        """Take over `sys.stdin`, `sys.stdout`, `sys.stderr`, the root logger and `time.sleep`."""
        sys.stdin = NoInput()
        sys.stdout, sys.stderr = self._out, self._err
        root = logging.getLogger()
        root.addHandler(_LogHandler(self))
        root.setLevel(logging.INFO)
        time.sleep = _refuse_to_sleep  # type: ignore[assignment]  # it never returns

    def connect(self, log: LogImport) -> None:
        """From now on lines go to the host's log."""
        self._log = log

    def line(self, level: str, text: str) -> None:
        """Write one line to the log."""
        if self._log is None:
            if sys.__stderr__ is not None:
                sys.__stderr__.write(f"{text}\n")
            return
        if not text.isascii():
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        self._log.write(level, text)

    def at_turn_end(self, run: Callable[[], None]) -> None:
        """Have `run` called once when the turn ends that runs now; it neither waits nor raises."""
        self._at_turn_end.append(run)
        self.pending = True

    def flush(self) -> None:
        """The turn ends: do what was left for that, and write out lines that were begun and not ended."""
        self.pending = False
        while self._at_turn_end:
            self._at_turn_end.pop()()
        try:
            self._out.end_line()
            self._err.end_line()
        except MemoryError:  # nothing may leave an export but its own error; a half line is not worth a sandbox
            self._out.forget()
            self._err.forget()


class LineStream(io.TextIOBase):
    """A text stream that hands over whole lines; what is begun is kept until it ends."""

    def __init__(self, output: Output, level: str) -> None:
        super().__init__()
        self._output = output
        self._level = level
        self._begun: list[str] = []
        self._begun_chars = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Take text; every line that it ends goes to the log."""
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        *ended, begun = text.split("\n")
        for line in ended:
            self._begun.append(line)
            self._emit()
        if begun:
            self._begun.append(begun)
            self._begun_chars += len(begun)
            self._output.pending = True
            if self._begun_chars > LINE_CHARS_MAX:
                self._emit()
        return len(text)

    def end_line(self) -> None:
        """Write out what has been begun."""
        if self._begun:
            self._emit()

    def forget(self) -> None:
        """Drop what has been begun."""
        self._begun.clear()
        self._begun_chars = 0

    def _emit(self) -> None:
        line = "".join(self._begun)
        self.forget()
        self._output.line(self._level, line)


class _LogHandler(logging.Handler):
    """Hands log records over, line by line, under their level."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if record.name != "root":
                text = f"{record.name}: {text}"
            for line in text.split("\n"):
                self._output.line(_level_of(record.levelno), line)
        except Exception:
            self.handleError(record)


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _refuse_to_sleep(seconds: float) -> NoReturn:
    raise no_sleep(f"time.sleep({seconds!r})")
