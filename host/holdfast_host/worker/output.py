"""What guests print and the worker reports, on its way to the log without making a turn wait.

Lines go through a bounded queue to one thread that writes JSON lines to standard error; past the bound they are dropped
and counted.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from typing import Any, Final

_QUEUE_LINES_MAX: Final = 20_000
_LEVELS: Final = ("debug", "info", "warning", "error")


class Output:
    """The worker's log; any thread may write to it."""

    def __init__(self, worker: int, level: str) -> None:
        self._worker = worker
        self._least = _LEVELS.index(level) if level in _LEVELS else 1
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._counting = threading.Lock()
        self.dropped_total = 0
        self.traps: dict[str, int] = {}  # by kind
        self._thread = threading.Thread(target=self._write_all, name="holdfast-log", daemon=True)
        self._thread.start()

    def event(self, level: str, message: str, **facts: Any) -> None:
        """One line of the worker's own."""
        if _LEVELS.index(level) >= self._least:
            self._put({"level": level, "message": message, "worker": self._worker, **facts})

    def guest_line(self, label: str, function: str, level: str, text: str) -> None:
        """One line that a guest printed or logged."""
        self._put({"level": level, "message": text, "instance": label, "function": function})

    def guest_trap(self, label: str, function: str, kind: str, backtrace: str) -> None:
        """The sandbox stopped a guest."""
        with self._counting:
            self.traps[kind] = self.traps.get(kind, 0) + 1
        self._put(
            {
                "level": "error",
                "message": f"trap: {kind}",
                "instance": label,
                "function": function,
                "backtrace": backtrace,
            }
        )

    def flush(self) -> None:
        """Write what is queued, then stop; at the end of the process."""
        self._queue.put(None)
        self._thread.join(timeout=1.0)

    def _put(self, facts: dict[str, Any]) -> None:
        if self._queue.qsize() >= _QUEUE_LINES_MAX:
            self._dropped += 1
            self.dropped_total += 1
            return
        self._queue.put({"time": round(time.time(), 6), **facts})

    def _write_all(self) -> None:
        while (facts := self._queue.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                facts["lines_dropped_before"] = dropped
            sys.stderr.write(json.dumps(facts) + "\n")
            if self._queue.empty():
                sys.stderr.flush()
