"""What a worker counts: plain numbers, made readable only when somebody asks (`inspection.report`).

Counting a call is a few additions on the leader's way; nothing here locks, formats or allocates per call. Instances'
names are never counted apart: that would be a series for each of a million.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.worker.turns.turn import Turn

# Upper bounds, inclusive: seconds of calls and queues, seconds of a commit, turns of a group.
CALL_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_BOUNDS_S: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 10.0)
GROUP_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
OK: Final = "ok"


class Histogram:
    """How often a value fell between which bounds, and the sum of all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        at = 0
        for bound in self.bounds:  # most values are small: bisecting takes longer
            if value <= bound:
                break
            at += 1
        self.counts[at] += 1
        self.total += value

    def report(self) -> dict[str, Any]:
        """Bounds, counts (one more than bounds) and sum."""
        return {"bounds": self.bounds, "counts": self.counts, "sum": self.total}


class TypeMeasures:
    """The calls of one actor type, or of one function."""

    __slots__ = ("activations", "latency", "outcomes", "queued")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.latency = Histogram(CALL_BOUNDS_S)
        self.queued = Histogram(CALL_BOUNDS_S)
        self.activations = 0


@leaders
class Measures:
    """The counters of one worker."""

    def __init__(self) -> None:
        self.types: dict[int, TypeMeasures] = {}
        self.alarms: dict[str, int] = {}
        self.jobs: dict[str, int] = {}
        self.commit_seconds = Histogram(COMMIT_BOUNDS_S)
        self.group_turns = Histogram(GROUP_BOUNDS)
        self.load_seconds = Histogram(COMMIT_BOUNDS_S)  # of instances that are read from afar
        self.commit_began_at = 0.0

    def answered(self, turn: Turn, outcome: str) -> None:
        """A call's answer leaves: `ok`, or the name of an error."""
        kind = self.types.get(turn.entry.type_id)
        if kind is None:
            kind = self.types[turn.entry.type_id] = TypeMeasures()
        outcomes = kind.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        kind.latency.add(time.monotonic() - turn.arrived_at)
        if turn.begun_at:
            kind.queued.add(turn.begun_at - turn.arrived_at)
        if turn.started_cold:
            kind.activations += 1

    def delivery_ended(self, turn: Turn) -> None:
        """The handler of an alarm or job is over."""
        outcome = OK if turn.error is None else turn.error.name
        counts = self.alarms if turn.request.kind == CallKind.ALARM else self.jobs
        counts[outcome] = counts.get(outcome, 0) + 1

    def committed(self, turns: int) -> None:
        """The group that began to commit at `commit_began_at` is settled."""
        self.commit_seconds.add(time.monotonic() - self.commit_began_at)
        self.group_turns.add(turns)
