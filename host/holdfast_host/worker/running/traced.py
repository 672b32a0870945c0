"""Turns whose spans are kept: the same as all others, and a note at each step. Only a worker that traces runs these."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast_host.worker.running.executor import Executor
from holdfast_host.worker.running.runner import TurnRunner
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.tracing.spans import Part
from holdfast_host.worker.tracing.tracer import SpanExit

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.instance import Sandbox
    from holdfast_host.storage.store import Changes, Store
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.tracing.tracer import Tracer
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.sync_exit import SyncExit
    from holdfast_host.worker.turns.turn import Turn


class TracedRunner(TurnRunner):
    """Notes when a guest was activated and when it had returned; shared by all threads, keeps nothing."""

    def __init__(self, limits: Limits, output: Output, store: Store, tracer: Tracer) -> None:
        super().__init__(limits, output, store)
        self._tracer = tracer

    def run(self, turn: Turn) -> None:
        """As for all."""
        trace = self._tracer.of(turn)
        try:
            super().run(turn)
        finally:
            if trace is not None:
                trace.ran_at = time.monotonic()

    def _activate(self, turn: Turn, loaded: LoadedType) -> Sandbox:
        trace, began_at = self._tracer.of(turn), time.monotonic()
        try:
            return super()._activate(turn, loaded)
        finally:
            if trace is not None:
                trace.activation = Part("activation", began_at, time.monotonic())


@leaders
@dataclass(eq=False, kw_only=True)
class TracedExecutor(Executor):
    """Runs the turns of a worker that traces."""

    tracer: Tracer

    def _runner(self) -> TurnRunner:
        return TracedRunner(self.limits, self.output, self.store, self.tracer)

    def _begin(self, turn: Turn, loaded: LoadedType, generation: int, now: float) -> None:
        self.tracer.begin(turn)
        super()._begin(turn, loaded, generation, now)

    def _end(self, turn: Turn, _: None) -> None:
        self.tracer.ended(turn)
        self.tracer.made(turn, turn.changes)
        super()._end(turn, None)
        if not turn.is_call:
            self.gate.leave(turn.entry, turn, SpanExit(self.tracer, turn))

    def _sync(self, turn: Turn, changes: Changes, leaving: SyncExit) -> None:
        self.tracer.made(turn, changes)
        super()._sync(turn, changes, leaving)
