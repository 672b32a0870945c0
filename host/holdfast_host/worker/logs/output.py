"""What guests print and the worker reports, on its way to the log without making a turn wait.

Lines go through a bounded queue to one thread, which writes them to standard error and, the guests', to the ring on
disk that `logs` are read from. Past the bound they are dropped and counted.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import KIB, MIB
from holdfast_host.core.log_levels import LEVELS
from holdfast_host.core.logs import EventLog, guest_line, guest_text
from holdfast_host.core.tenants import key_of, tenant_of
from holdfast_host.sandbox.stops.python_frames import place_of, show
from holdfast_host.worker.logs.ring import LANES, LogRing, lane_of, read_step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast_host.sandbox.instance import SandboxTrap
    from holdfast_host.sandbox.stops.python_frames import Frame

_QUEUE_LINES_MAX: Final = 20_000
_QUEUE_CHARS_MAX: Final = 32 * MIB
_TRACEBACK_CHARS_MAX: Final = 16 * KIB  # the end of a longer one is kept: it says what was raised, and where
_STREAMS: Final = {"stdout": "info", "stderr": "warning"}


class Output:
    """The worker's log; any thread may write to it."""

    def __init__(
        self,
        worker: int,
        level: str,
        folder: Path | None = None,
        ring_bytes_max: int = 0,
        log_format: str = "text",
    ) -> None:
        """`folder` is where guests' lines are kept, at most so many bytes of them; None keeps none."""
        self._process = f"worker {worker}"
        self._as_text = log_format == "text"
        self._folder = folder
        self._ring = None if folder is None else LogRing(folder, ring_bytes_max)
        self._log = EventLog(level, process=self._process, log_format=log_format)
        self._least = LEVELS[level]
        self._queue: queue.SimpleQueue[tuple[Callable[[JsonObject], None], JsonObject] | None] = queue.SimpleQueue()
        self._queued_chars = 0
        self._dropped = 0
        self._counting = threading.Lock()
        self.dropped_total = 0
        self.traps: dict[str, int] = {}  # by kind
        self._thread = threading.Thread(target=self._write_all, name="holdfast-log", daemon=True)
        self._thread.start()

    def set_level(self, level: str) -> None:
        """Write events of the worker at or above this level from now on; any thread."""
        self._log.set_level(level)
        self._least = LEVELS[level]

    def event(self, level: str, message: str, **facts: Any) -> None:
        """One line of the worker's own."""
        if LEVELS[level] >= self._least:
            self._put(self._write_event, {"level": level, "event": message, **facts})

    def guest_line(self, label: str, function: str, level: str, text: str, turn: str = "") -> None:
        """One line that a guest printed or logged; `turn` names the turn among those of this worker."""
        self._put(
            self._write_guest,
            {"level": level, "message": text, "instance": label, "function": function, "turn": turn},
        )

    def guest_traceback(self, label: str, function: str, text: str, turn: str = "") -> None:
        """What a guest says of an exception that left it."""
        self.guest_line(label, function, "error", text[-_TRACEBACK_CHARS_MAX:], turn)

    def guest_trap(
        self, label: str, function: str, trap: SandboxTrap, why: str, frames: Sequence[Frame] = (), turn: str = ""
    ) -> None:
        """The sandbox stopped a guest.

        Args:
            label: whose turn it was.
            function: whose code it ran.
            trap: its kind, and wasmtime's own backtrace.
            why: one sentence.
            frames: where its code stood, innermost first; empty where that is not known.
            turn: its name in the log.
        """
        with self._counting:
            self.traps[trap.kind] = self.traps.get(trap.kind, 0) + 1
        place = place_of(frames)
        stood = "" if place is None else f"; it stood in {place}"
        stack = "Stack of its code (most recent call last):\n" + "\n".join(show(frames)) + "\n" if frames else ""
        self._put(
            self._write_guest,
            {
                "level": "error",
                "message": f"trap: {trap.kind}: {why}{stood}",
                "instance": label,
                "function": function,
                "turn": turn,
                "backtrace": stack + trap.backtrace,
            },
        )

    def flush(self) -> None:
        """Write what is queued, then stop; at the end of the process."""
        self._queue.put(None)
        self._thread.join(timeout=1.0)

    def read(self, facts: JsonObject) -> JsonObject:
        """A step through the kept lines; any one thread.

        Args:
            facts: `tenant`, whose lines alone they are; `type`, `name`, `function` that lines must have, `since`, the
                Unix time of the earliest, `level`, the least; null for any; `positions`, where the last step ended,
                empty to begin.

        Returns:
            `lines`, `positions` to go on from, `known_to`: null at the end, else the time up to which nothing is
            missing.
        """
        tenant, wanted_type, wanted_name = facts["tenant"], facts["type"], facts["name"]
        function = None if facts["function"] is None else key_of(tenant, facts["function"])
        since, least = float(facts["since"] or 0), LEVELS[facts["level"] or "debug"]
        if self._folder is None:
            return {"lines": [], "positions": {}, "known_to": None}
        one = wanted_type is not None and wanted_name is not None
        lanes = [lane_of(key_of(tenant, f"{wanted_type}/{wanted_name}"))] if one else list(range(LANES))
        prefix = None if wanted_type is None else f"{wanted_type}/"

        def is_wanted(line: JsonObject) -> bool:
            if line["time"] < since or _weight(line) < least or tenant_of(str(line.get("function"))) != tenant:
                return False
            label = str(line.get("instance"))
            if function is not None and line.get("function") != function:
                return False
            if prefix is not None and not label.startswith(prefix):
                return False
            return wanted_name is None or label.partition("/")[2] == wanted_name

        lines, positions, known_to = read_step(self._folder, lanes, facts["positions"], is_wanted)
        return {"lines": lines, "positions": positions, "known_to": known_to}

    def _put(self, write: Callable[[JsonObject], None], facts: JsonObject) -> None:
        chars = _chars_of(facts)
        with self._counting:
            if self._queue.qsize() >= _QUEUE_LINES_MAX or self._queued_chars + chars > _QUEUE_CHARS_MAX:
                self._dropped += 1
                self.dropped_total += 1
                return
            self._queued_chars += chars
        self._queue.put((write, {"time": round(time.time(), 6), **facts}))

    def _write_all(self) -> None:
        while (queued := self._queue.get()) is not None:
            write, facts = queued
            with self._counting:
                self._queued_chars -= _chars_of(facts)
                dropped, self._dropped = self._dropped, 0
            if dropped:
                facts["lines_dropped_before"] = dropped
            write(facts)
            if self._queue.empty():
                with suppress(OSError, ValueError):
                    sys.stderr.flush()
                if self._ring is not None:
                    self._ring.flush()
        if self._ring is not None:
            self._ring.flush()

    def _write_event(self, facts: JsonObject) -> None:
        self._log.write(facts.pop("level"), facts.pop("event"), **facts)

    def _write_guest(self, facts: JsonObject) -> None:
        line = guest_line(facts)
        shown = guest_text(facts, self._process) if self._as_text else line
        with suppress(OSError, ValueError):  # nobody reads it any more: it is kept all the same
            sys.stderr.write(shown + "\n")
        if self._ring is not None:
            self._ring.append(key_of(tenant_of(facts["function"]), facts["instance"]), line)


def _weight(line: JsonObject) -> int:
    """The level as a number: what a guest prints counts as info, on its stderr as a warning."""
    level = str(line.get("level"))
    return LEVELS.get(_STREAMS.get(level, level), LEVELS["info"])


def _chars_of(facts: JsonObject) -> int:
    return sum(len(each) for each in facts.values() if isinstance(each, str))


def shortened(text: str, bytes_max: int) -> str:
    """As much of the text as fits into so many bytes of UTF-8."""
    if len(text) * 4 <= bytes_max:
        return text
    return text[:bytes_max].encode("utf-8", "surrogatepass")[:bytes_max].decode("utf-8", "ignore")
