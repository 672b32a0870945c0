"""A worker with jobs over a store in memory, and a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.jobs import Job
from holdfast_host.storage.store import StoredInstance
from holdfast_host.worker.tracing.spans import SpanSink
from holdfast_host.worker.turns.job_texts import describe_job
from holdfast_host.worker.turns.turn import Turn
from tests.harness.clock import ManualClock
from tests.harness.memory_store import MemoryStore, Row
from tests.unit.worker.stage import TYPE, Guest, Stage, add

SECOND = 1_000_000
Handler = Callable[[Turn, dict[str, Any]], Any]


class JobStage:
    """A worker whose guest runs jobs; `runs` lists what they were told."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        handler: Handler | None = None,
        *,
        store: MemoryStore | None = None,
        clock: ManualClock | None = None,
        limits: Limits | None = None,
        guests: dict[bytes, Guest] | None = None,
        spans: SpanSink | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.handler = handler
        self.runs: list[dict[str, Any]] = []
        own: dict[bytes, Guest] = {b"job": self._handle, b"put": put, b"list": list_jobs, b"cancel": cancel}
        all_guests = {**own, **(guests or {})}
        self.stage = Stage(monkeypatch, limits, store=store, clock=self.clock, guests=all_guests, spans=spans)
        self.store = self.stage.store

    def _handle(self, turn: Turn, info: dict[str, Any]) -> Any:
        self.runs.append({"instance": turn.entry.stored.name.decode(), **info})
        return self.handler(turn, info) if self.handler is not None else add(turn, 1)

    def run(self, name: str, in_s: float = 0.0, **members: Any) -> str:
        """Make a run; its id."""
        due_us = self.clock.wall_us() + round(in_s * SECOND)
        job = {"kind": "run", "method": "_expire", "arguments": arguments(), **members}
        return self.put(name, job if "cron" in job else {"due_us": due_us, **job})

    def put(self, name: str, job: dict[str, Any]) -> str:
        status, id_ = self.stage.call(name, "put", job)
        assert status == 200, id_
        return str(id_)

    def refused(self, name: str, job: Any) -> str:
        status, answer = self.stage.call(name, "put", job)
        assert status == 500, answer  # a guest that does not catch it
        return str(answer["error"]["message"])

    def advance(self, seconds: float) -> None:
        """Move the clock and let the worker come to rest."""
        self.clock.advance(seconds)
        self.settle()

    def settle(self) -> None:
        """Return when nothing is due any more, nothing under way and everything durable."""
        worker = self.stage.worker

        def at_rest() -> bool:
            gate = worker.gate
            busy = any(each._under_way for each in worker.timers.jobs) or worker.timers.is_due()
            moving = busy or gate.flight or gate.current.batches or worker.mailboxes.anything_ready()
            return not (moving or worker.running or worker.leadership.detached)

        self.stage.do(lambda: None)
        while not self.stage.do(at_rest):
            pass

    def jobs(self, name: str) -> list[dict[str, Any]]:
        return [describe_job(id_, job) for id_, job in self.rows(name)]

    def rows(self, name: str) -> list[tuple[bytes, Job]]:
        return self.store.jobs.page(self.stored(name), b"", b"", 1000)[0]

    def stored(self, name: str) -> StoredInstance:
        return self.store.locate(TYPE, name.encode())

    def total(self, name: str) -> int:
        return int(self.stage.call(name, "read")[1])

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(each["instance"], each["retry_count"]) for each in self.runs]


def arguments(*positional: Any, **named: Any) -> dict[str, Any]:
    return {"$hf": "arguments", "v": [list(positional), named]}


def put(turn: Turn, job: Any) -> str:
    return turn.jobs.put(json.dumps(job).encode()).decode()


def list_jobs(turn: Turn, _: Any) -> Any:
    return json.loads(turn.jobs.list(b"", 100))


def cancel(turn: Turn, by: Any) -> bool:
    return turn.jobs.cancel(json.dumps(by).encode())


def fail(turn: Turn, info: dict[str, Any]) -> None:
    add(turn, 100)
    raise HoldfastError("not today")


def left_by_a_dead_worker(store: MemoryStore) -> MemoryStore:
    """What is durable at this moment, for a successor."""
    copy = MemoryStore()
    for place, row in store._rows.items():
        alarm = None if row.alarm is None else replace(row.alarm)
        kept = Row(row.type_id, row.name, row.number, dict(row.values), alarm, dict(row.receipts), dict(row.jobs))
        copy._rows[place] = kept
    copy._next_number = store._next_number + 1000
    return copy
