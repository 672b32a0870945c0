"""The supervisor's log: one line per event on stderr, `time level part event key=value ...`.

Children write their own lines to the same stderr; nothing here reads them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final, TextIO

_LEVELS: Final = {"debug": 0, "info": 1, "warning": 2, "error": 3}


class EventLog:
    """Writes events above a level. One per supervisor; used by its loop's thread only."""

    def __init__(self, level: str = "info", stream: TextIO | None = None) -> None:
        self._least = _LEVELS[level]
        self._stream = sys.stderr if stream is None else stream

    def write(self, level: str, event: str, **facts: Any) -> None:
        """Write one line; a log that nobody can read any more is no reason to stop."""
        if _LEVELS[level] < self._least:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        tail = "".join(f" {name}={_quoted(value)}" for name, value in facts.items())
        try:
            self._stream.write(f"{stamp} {level} supervisor {event}{tail}\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def info(self, event: str, **facts: Any) -> None:
        """What an operator may want to know."""
        self.write("info", event, **facts)

    def warning(self, event: str, **facts: Any) -> None:
        """What went wrong and was mended."""
        self.write("warning", event, **facts)

    def error(self, event: str, **facts: Any) -> None:
        """What went wrong and needs somebody."""
        self.write("error", event, **facts)


def _quoted(value: Any) -> str:
    """The value as it is where it is one plain word, else as JSON: always one line."""
    text = str(value)
    plain = text and text.isascii() and text.isprintable() and not any(mark in text for mark in ' "=\\')
    return text if plain else json.dumps(text)
