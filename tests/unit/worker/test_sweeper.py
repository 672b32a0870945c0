"""Sweeps between the groups: they come when nothing commits, hold up no turn, and end with what there is to sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import Mock

import pytest

from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.store import Batch, CommitReport, StoreBrokenError
from holdfast_host.worker.commits import sweeper
from holdfast_host.worker.main import WorkerProcess
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.stage import Stage

WAIT_S = 10.0


class LitteredStore(MemoryStore):
    """Has some pieces of garbage; each sweep waits until the test lets it go, where it has said so."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0
        self.events: list[str] = []
        self.sweeping = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: StoreBrokenError | None = None
        self._writing = threading.Lock()

    @property
    def has_garbage(self) -> bool:
        return self.pieces > 0

    def sweep(self) -> None:
        assert self._writing.acquire(blocking=False), "a sweep while something else is written"
        self.events.append("sweep")
        self.sweeping.set()
        assert self.go_on.wait(WAIT_S)
        self._writing.release()
        if self.error is not None:
            raise self.error
        self.pieces -= 1

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        assert self._writing.acquire(blocking=False), "a commit while something else is written"
        self.events.append("commit")
        self._writing.release()
        return super().commit(group, batches, leans)


@pytest.fixture
def store() -> LitteredStore:
    return LitteredStore()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, store: LitteredStore) -> Stage:
    return Stage(monkeypatch, store=store)


def litter(stage: Stage, pieces: int) -> None:
    """As a commit does: on the leader's way."""
    store: Any = stage.store
    stage.do(lambda: setattr(store, "pieces", pieces))


def wait_until(stage: Stage, holds: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if stage.do(holds):
            return
    raise AssertionError("it never came to that")


def test_an_idle_worker_sweeps_until_nothing_is_left_and_then_sleeps(stage: Stage, store: LitteredStore) -> None:
    litter(stage, 30)
    wait_until(stage, lambda: not store.pieces and not stage.worker.sweeper.running)
    rounds = []
    run = stage.worker.poller.run
    stage.worker.poller.run = lambda wait_s: (rounds.append(wait_s), run(wait_s))  # type: ignore[method-assign, func-returns-value, assignment]
    stage.do(lambda: None)
    stage.do(lambda: None)

    assert store.events == ["sweep"] * 30
    assert rounds[-1] > 0.1
    assert stage.worker.leadership.detached == 0


def test_a_turn_goes_on_while_a_sweep_runs_and_its_commit_waits_for_it(stage: Stage, store: LitteredStore) -> None:
    store.go_on.clear()
    litter(stage, 1)
    assert store.sweeping.wait(WAIT_S)
    write = stage.client.send("a", "add", 1)

    assert stage.call("b", "read") == (200, 0)
    assert stage.call("b", "compute", 0.05) == (200, "computed")
    assert not stage.client.answered(write)
    assert not stage.do(lambda: stage.worker.loop.is_settled)

    store.go_on.set()

    assert stage.client.wait(write) == (200, 1)
    assert store.events == ["sweep", "commit"]


def test_no_sweep_begins_while_a_commit_runs_or_right_after_it(
    stage: Stage, store: LitteredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "QUIET_S", 60.0)
    store.hold()
    write = stage.client.send("a", "add", 1)
    store.wait_held()
    litter(stage, 1)
    stage.call("b", "read")
    store.complete()
    store.let_go()
    stage.client.wait(write)
    for _ in range(20):
        stage.call("a", "add", 1)

    assert set(store.events) == {"commit"}
    assert 0 < stage.do(lambda: stage.worker.sweeper.wait_s(100.0)) <= 60


def test_sums_are_exact_while_sweeps_come_between_all_commits(
    stage: Stage, store: LitteredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "QUIET_S", 0.0)
    litter(stage, 1 << 30)
    slots = [stage.client.send(f"n{number % 7}", "add", 1) for number in range(700)]
    for slot in slots:
        assert stage.client.wait(slot)[0] == 200
    litter(stage, 0)

    assert [stage.call(f"n{number}", "read")[1] for number in range(7)] == [100] * 7
    assert {"sweep", "commit"} == set(store.events)


def test_a_worker_that_is_stopped_waits_for_the_sweep_that_runs_and_begins_no_other(
    stage: Stage, store: LitteredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    drained = threading.Event()
    process: Any = WorkerProcess.__new__(WorkerProcess)
    process._worker, process._store, process._output = stage.worker, stage.store, stage.worker.output
    process._backup, process._spans = Mock(copying=False), None
    monkeypatch.setattr(stage.store, "close", lambda: events.append("closed"))
    monkeypatch.setattr("os._exit", lambda code: events.append(f"exit {code}"))
    store.go_on.clear()
    litter(stage, 5)
    assert store.sweeping.wait(WAIT_S)
    stage.do(lambda: stage.worker.loop.drain(drained.set))
    stage.do(process._stop)
    assert (events, drained.is_set()) == (["exit 0"], False)

    store.go_on.set()
    assert drained.wait(WAIT_S)
    stage.do(process._stop)

    assert events == ["exit 0", "closed", "exit 0"]
    assert store.events == ["sweep"]


def test_a_sweep_that_breaks_the_store_ends_the_worker_and_fails_what_waits(stage: Stage, store: LitteredStore) -> None:
    store.go_on.clear()
    store.error = StoreBrokenError("the sync failed")
    litter(stage, 1)
    assert store.sweeping.wait(WAIT_S)
    write = stage.client.send("a", "add", 1)
    stage.call("b", "read")
    store.go_on.set()

    assert stage.client.wait(write)[1]["error"]["name"] == "ActorOutputGateError"
    assert "the sync failed" in str(stage.broken.get(timeout=WAIT_S))


def test_a_sweep_that_hangs_counts_as_a_stall_of_the_disk(stage: Stage, store: LitteredStore) -> None:
    store.go_on.clear()
    litter(stage, 1)
    assert store.sweeping.wait(WAIT_S)
    began_at = stage.worker.measures.commit_began_at

    assert stage.do(lambda: stage.worker.committer.in_flight_s(began_at + 3)) == 3
    store.go_on.set()
    wait_until(stage, lambda: not stage.worker.sweeper.running)
    assert stage.do(lambda: stage.worker.committer.in_flight_s(began_at + 3)) == 0
