"""Whether a history of concurrent calls to a counter can be put in one order that agrees with real time.

For a counter whose `increment` returns the new value there is at most one such order, so looking for it is easy: the
increments' values are distinct; no value is below one that had been returned, by an increment or by a read, before the
call began, and an increment's is above it; none is above the number of increments that had begun when the call ended.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `value` is what it returned, None where its outcome is unknown."""

    reads: bool
    began_s: float
    ended_s: float
    value: int | None


def violations(history: list[Call]) -> list[str]:
    """What no order explains; empty if the history is linearizable."""
    increments = [call for call in history if not call.reads and call.value is not None]
    unknown = [call for call in history if not call.reads and call.value is None]
    found = []
    values = [call.value for call in increments]
    if len(set(values)) != len(values):
        found.append("two increments returned the same value")
    known = [call for call in history if call.value is not None]
    ended = _Latest([(call.ended_s, call.value or 0) for call in known])
    for call in known:
        assert call.value is not None
        latest = ended.before(call.began_s)
        if call.value < latest or (not call.reads and call.value == latest):
            found.append(f"{call}: {latest} had been returned before it began")
        begun = sum(other.began_s < call.ended_s for other in increments) + sum(
            other.began_s < call.ended_s for other in unknown
        )
        if call.value > begun:
            found.append(f"{call}: only {begun} increments had begun when it ended")
    return found


class _Latest:
    """The largest value returned before a time."""

    def __init__(self, ends: list[tuple[float, int]]) -> None:
        self._times: list[float] = []
        self._largest: list[int] = []
        largest = 0
        for ended_s, value in sorted(ends):
            largest = max(largest, value)
            self._times.append(ended_s)
            self._largest.append(largest)

    def before(self, time_s: float) -> int:
        at = bisect.bisect_left(self._times, time_s)
        return self._largest[at - 1] if at else 0
