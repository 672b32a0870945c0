"""A worker with alarms over a store in memory, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import Alarm, StoredInstance
from holdfast_host.worker.tracing.spans import SpanSink
from holdfast_host.worker.turns.turn import Turn
from tests.harness.clock import ManualClock
from tests.harness.memory_store import MemoryStore, Row
from tests.unit.worker.stage import TYPE, Guest, Stage, add

SECOND = 1_000_000
Handler = Callable[[Turn, dict[str, Any]], Any]


class AlarmStage:
    """A worker whose guest has an alarm handler; `runs` lists the deliveries as (name, retry count)."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        handler: Handler | None = None,
        *,
        store: MemoryStore | None = None,
        clock: ManualClock | None = None,
        limits: Limits | None = None,
        spans: SpanSink | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.handler = handler
        self.runs: list[tuple[str, int]] = []
        guests: dict[bytes, Guest] = {b"alarm": self._handle, b"set": set_alarm, b"when": when, b"clear": clear}
        self.stage = Stage(monkeypatch, limits, store=store, clock=self.clock, guests=guests, spans=spans)
        self.store = self.stage.store

    def _handle(self, turn: Turn, info: dict[str, Any]) -> Any:
        self.runs.append((turn.entry.stored.name.decode(), info["retry_count"]))
        return self.handler(turn, info) if self.handler is not None else add(turn, 1)

    def set(self, name: str, in_s: float) -> None:
        due_us = self.clock.wall_us() + round(in_s * SECOND)
        assert self.stage.call(name, "set", due_us) == (200, None)

    def advance(self, seconds: float) -> None:
        """Move the clock and let the worker come to rest."""
        self.clock.advance(seconds)
        self.settle()

    def settle(self) -> None:
        """Return when nothing is due any more, nothing under way and everything durable."""
        worker = self.stage.worker

        def at_rest() -> bool:
            alarms, gate = worker.alarms, worker.gate
            busy = alarms._under_way or alarms.is_due() or gate.flight or gate.current.batches
            return not (busy or worker.mailboxes.anything_ready() or worker.running or worker.leadership.detached)

        self.stage.do(lambda: None)
        while not self.stage.do(at_rest):
            pass

    def row(self, name: str) -> Alarm | None:
        return self.store.alarm(self.stored(name))

    def stored(self, name: str) -> StoredInstance:
        return self.store.locate(TYPE, name.encode())

    def total(self, name: str) -> int:
        return int(self.stage.call(name, "read")[1])


def set_alarm(turn: Turn, due_us: int) -> None:
    turn.storage.set_alarm(due_us)


def when(turn: Turn, _: Any) -> int | None:
    return turn.storage.get_alarm()


def clear(turn: Turn, _: Any) -> None:
    turn.storage.delete_alarm()


def fail(turn: Turn, info: dict[str, Any]) -> None:
    add(turn, 100)
    raise HoldfastError("not today")


def left_by_a_dead_worker(store: MemoryStore) -> MemoryStore:
    """What is durable at this moment, for a successor."""
    copy = MemoryStore()
    for place, row in store._rows.items():
        alarm = None if row.alarm is None else replace(row.alarm)
        copy._rows[place] = Row(row.type_id, row.name, row.number, dict(row.values), alarm)
    copy._next_number = store._next_number + 1000
    return copy
