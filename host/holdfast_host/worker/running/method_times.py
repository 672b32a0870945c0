"""How long methods compute, learned from the turns that they ran: a slow one is detached before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.worker.turns.turn import Turn

_LEARNING: Final = 0.2  # weight of the newest turn in a method's moving average


@leaders
class MethodTimes:
    """A moving average per (type, method), kept for those that were slow lately.

    What counts is a turn's own time on a processor. How long it took by the clock grows with what runs beside it: a
    method that is detached for that would compete with the leader, take longer, and stay detached.
    """

    def __init__(self, slow_s: float) -> None:
        """Slow is what computes longer than so many seconds on average."""
        self._slow_s = slow_s
        self._averages_s: dict[tuple[int, bytes], float] = {}

    def is_slow(self, turn: Turn) -> bool:
        """Whether its method is known to be slow."""
        averages_s = self._averages_s
        return bool(averages_s) and averages_s.get((turn.entry.type_id, turn.request.method), 0.0) > self._slow_s

    def learn(self, turn: Turn) -> None:
        """It is over; one that had to activate first says nothing of its method."""
        if turn.started_cold or (turn.computed_s <= self._slow_s and not self._averages_s):
            return
        key = (turn.entry.type_id, turn.request.method)
        if turn.computed_s > self._slow_s or key in self._averages_s:
            average = self._averages_s.get(key, turn.computed_s)
            average += (turn.computed_s - average) * _LEARNING
            if average < self._slow_s / 4:
                self._averages_s.pop(key, None)
            else:
                self._averages_s[key] = average
