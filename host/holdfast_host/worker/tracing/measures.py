"""The counters of a worker that traces: what is counted when an answer leaves is what ends its span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.worker.measures import Measures
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.worker.tracing.tracer import Tracer
    from holdfast_host.worker.turns.turn import Turn


@leaders
class TracedMeasures(Measures):
    """Tells the tracer of what it counts."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def answered(self, turn: Turn, outcome: str) -> None:
        """A call's answer leaves."""
        super().answered(turn, outcome)
        self._tracer.left(turn, outcome)

    def committed(self, turns: int) -> None:
        """A group is settled; what it held leaves next."""
        super().committed(turns)
        self._tracer.committed(self.commit_began_at)
