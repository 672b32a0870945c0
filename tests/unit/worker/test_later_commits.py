"""A worker over a store whose commits settle later: nothing waits for a commit but what it holds."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from holdfast_host.storage.store import OwnerLostError, StoreBrokenError
from holdfast_host.worker.commits import confirming_gate
from holdfast_host.worker.turns.turn import Turn
from tests.harness.later_store import LaterStore
from tests.unit.worker.stage import Stage

WAIT_S = 10.0


@pytest.fixture
def store() -> LaterStore:
    return LaterStore()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, store: LaterStore) -> Stage:
    return Stage(monkeypatch, store=store)


def until(stage: Stage, condition: Any) -> None:
    """Return when the leader sees it so."""
    end = time.monotonic() + WAIT_S
    while not stage.do(condition):
        assert time.monotonic() < end, "it did not come to that"


def test_calls_are_answered_as_over_any_store(stage: Stage, store: LaterStore) -> None:
    assert [stage.call("a", "add", 5), stage.call("a", "add_sync_add", 1), stage.call("a", "read")] == [
        (200, 5),
        (200, 7),
        (200, 7),
    ]


def test_what_is_read_waits_for_a_confirm_that_began_after_it(stage: Stage, store: LaterStore) -> None:
    stage.call("a", "add", 5)
    store.holds_back = True
    writes = stage.client.send("b", "add", 1)
    until(stage, lambda: store.commits[-1][1] == 1 and stage.worker.gate.flight is not None)

    reads = stage.client.send("a", "read")
    until(stage, lambda: len(stage.worker.gate.current.held) == 1)
    store.settle()
    assert stage.client.wait(writes) == (200, 1)
    assert not stage.client.answered(reads), "the commit had begun before the read"
    until(stage, lambda: stage.worker.gate.flight is not None)

    assert store.commits[-1][1] == 0, "a confirm writes nothing"
    store.settle()
    assert stage.client.wait(reads) == (200, 5)


def test_turns_run_and_gather_while_a_commit_is_on_its_way(stage: Stage, store: LaterStore) -> None:
    store.holds_back = True
    slots = [stage.client.send("a", "add", 1)]
    until(stage, lambda: stage.worker.gate.flight is not None)

    slots += [stage.client.send(name, "add", 1) for name in "abc" for _ in range(5)]
    until(stage, lambda: len(stage.worker.gate.current.batches) == 15)

    assert stage.worker.leadership.promotions == 0
    store.settle()
    until(stage, lambda: store.commits[-1][1] == 15)
    store.settle()
    assert [stage.client.wait(slot)[0] for slot in slots] == [200] * 16


def test_no_turn_begins_behind_more_than_may_gather_and_all_go_on_when_the_commit_is_back(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, store: LaterStore
) -> None:
    monkeypatch.setattr(confirming_gate, "_GATHERED_BYTES_MAX", 0)
    store.holds_back = True
    slots = [stage.client.send("a", "add", 1)]
    until(stage, lambda: stage.worker.gate.flight is not None)
    slots.append(stage.client.send("b", "add", 1))
    until(stage, lambda: len(stage.worker.gate.current.batches) == 1)

    slots += [stage.client.send(name, "add", 1) for name in "cd"]
    until(stage, lambda: stage.worker.mailboxes.waiting_turns == 2)
    assert stage.do(lambda: len(stage.worker.gate.current.batches)) == 1
    store.holds_back = False
    store.settle()

    assert [stage.client.wait(slot)[0] for slot in slots] == [200] * 4


def test_calls_within_a_worker_wait_for_no_confirm(monkeypatch: pytest.MonkeyPatch, store: LaterStore) -> None:
    """Caller and callee stand behind one fence: what leaves the worker at last is held."""

    def ask_twice(turn: Turn, _: Any) -> int:
        return sum(int(turn.call("T", name, "read", b"")) for name in ("b", "c"))

    stage = Stage(monkeypatch, store=store, guests={b"ask_twice": ask_twice})
    stage.call("b", "add", 2)
    stage.call("c", "add", 3)
    before = len(store.commits)

    assert stage.call("a", "ask_twice") == (200, 5)
    assert store.commits[before:] == [(store.commits[before][0], 0)]


def test_nobody_is_answered_once_there_is_another_owner(stage: Stage, store: LaterStore) -> None:
    """Only its successor knows what was committed: the callers' links judge by the state page."""
    stage.call("a", "add", 5)
    store.taken_over = True

    slots = [stage.client.send("a", "read"), stage.client.send("b", "add", 1)]

    assert isinstance(stage.broken.get(timeout=WAIT_S), OwnerLostError)
    assert not any(stage.client.answered(slot) for slot in slots)


def test_a_store_that_breaks_on_a_thread_of_its_own_has_the_leader_fail_what_is_held(
    stage: Stage, store: LaterStore
) -> None:
    """What is held is the leader's."""
    store.holds_back = True
    slots = [stage.client.send("a", "add", 1)]
    until(stage, lambda: stage.worker.gate.flight is not None)
    slots.append(stage.client.send("b", "read"))
    until(stage, lambda: len(stage.worker.gate.current.held) == 1)

    store.leader.broken(StoreBrokenError("the test said so"))

    assert isinstance(stage.broken.get(timeout=WAIT_S), StoreBrokenError)
    assert [stage.client.wait(slot)[0] for slot in slots] == [500, 500]


def test_a_refused_commit_loses_what_it_would_have_written_and_nothing_that_was_read(
    stage: Stage, store: LaterStore
) -> None:
    stage.call("a", "add", 5)
    store.holds_back = True
    stage.client.send("c", "add", 1)
    until(stage, lambda: stage.worker.gate.flight is not None)
    writes, reads = stage.client.send("b", "add", 1), stage.client.send("a", "read")
    until(stage, lambda: len(stage.worker.gate.current.held) == 2)
    store.settle()
    until(stage, lambda: stage.worker.gate.flight is not None and len(store.commits) > 2)
    store.refuses = True
    store.settle()

    assert stage.client.wait(writes)[0] == 507
    assert not stage.client.answered(reads)
    until(stage, lambda: stage.worker.gate.flight is not None)
    store.settle()
    assert stage.client.wait(reads) == (200, 5)


def test_a_read_that_waits_for_the_store_gives_the_leadership_up(stage: Stage, store: LaterStore) -> None:
    """The answer comes by the leader: whoever waits for it must not be that one, nor take anybody's place."""
    stage.call("warm", "add", 1)
    store.looked_up_slowly = {b"cold%d" % n: threading.Event() for n in range(20)}
    slots = [stage.client.send(f"cold{n}", "add", 1) for n in range(20)]
    for _ in range(20):
        assert store.waits.acquire(timeout=WAIT_S)

    assert stage.call("warm", "add", 1) == (200, 2)
    assert stage.do(lambda: stage.worker.leadership.at_work) == 0
    for answer in store.looked_up_slowly.values():
        answer.set()
    assert [stage.client.wait(slot) for slot in slots] == [(200, 1)] * 20
    until(stage, lambda: stage.worker.leadership.detached == 0)
    assert stage.do(lambda: stage.worker.leadership.at_work) == 0


def test_a_leader_that_would_wait_for_itself_is_told_so(stage: Stage, store: LaterStore) -> None:
    def ask() -> str:
        try:
            store.leader.step_out()
        except Exception as error:
            return str(error)
        return ""

    assert "wait for itself" in stage.do(ask)
