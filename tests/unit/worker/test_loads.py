"""First reads over a store that is far away: a round's in one question, and what waits for them is lost nowhere."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.worker.turns.turn import Turn
from tests.harness.later_store import AskedStore
from tests.unit.worker.stage import Client, Stage
from tests.unit.worker.test_later_commits import WAIT_S, until


@pytest.fixture
def store() -> AskedStore:
    return AskedStore()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, store: AskedStore) -> Stage:
    return Stage(monkeypatch, store=store)


def send_in_one_round(stage: Stage, *calls: tuple[str, str, Any]) -> list[int]:
    """All are there when the leader next looks."""
    sent, is_held = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        sent.wait(WAIT_S)

    stage.worker.inbox.post(hold)
    is_held.wait(WAIT_S)
    slots = [stage.client.send(*call) for call in calls]
    sent.set()
    return slots


def test_all_unread_instances_of_a_round_are_read_in_one_question_and_no_thread_waits_for_it(
    stage: Stage, store: AskedStore
) -> None:
    stage.call("warm", "add", 1)
    generation = stage.worker.leadership.generation
    slots = send_in_one_round(stage, *((f"n{n}", "add", n) for n in range(50)), ("warm", "add", 1))

    assert [stage.client.wait(slot) for slot in slots] == [*((200, n) for n in range(50)), (200, 2)]
    assert store.questions == [[b"warm"], [b"n%d" % n for n in range(50)]]
    assert stage.worker.leadership.generation == generation


def test_calls_of_an_instance_that_is_being_read_keep_their_order_and_ask_nothing_again(
    stage: Stage, store: AskedStore
) -> None:
    store.answers_by_itself = False
    slots = [stage.client.send("a", "add", 1)]
    until(stage, lambda: store.questions)
    slots += [stage.client.send("a", "add", n) for n in (10, 100)]
    until(stage, lambda: stage.worker.mailboxes.waiting_turns == 3)
    store.answer()

    assert [stage.client.wait(slot) for slot in slots] == [(200, 1), (200, 11), (200, 111)]
    assert store.questions == [[b"a"]]


def test_others_run_while_instances_are_being_read(stage: Stage, store: AskedStore) -> None:
    stage.call("warm", "add", 1)
    store.answers_by_itself = False
    cold = stage.client.send("cold", "add", 1)
    until(stage, lambda: len(store.questions) == 2)

    assert stage.call("warm", "add", 1) == (200, 2)
    assert not stage.client.answered(cold)
    store.answer()
    assert stage.client.wait(cold) == (200, 1)


def test_who_leaves_while_an_instance_is_being_read_does_not_run_and_who_comes_then_does(
    stage: Stage, store: AskedStore
) -> None:
    store.answers_by_itself = False
    other = Client(stage.worker)
    other.send("a", "add", 5)
    until(stage, lambda: store.questions)
    other.close()
    until(stage, lambda: stage.worker.mailboxes.waiting_turns == 0)
    stage.do(lambda: stage.worker.directory.evict_all(stage.worker.gate.settled))
    slot = stage.client.send("a", "add", 1)
    until(stage, lambda: stage.worker.mailboxes.waiting_turns == 1)
    store.answer()

    assert stage.client.wait(slot) == (200, 1)
    assert store.questions == [[b"a"]]
    assert stage.do(lambda: stage.worker.mailboxes.held_back) == {}


def test_who_waits_too_long_for_an_instance_to_be_read_is_told_so(
    monkeypatch: pytest.MonkeyPatch, store: AskedStore
) -> None:
    """The store may answer nobody."""
    stage = Stage(monkeypatch, Limits(queue_timeout_s=0.3), store=store)
    store.answers_by_itself = False
    status, error = stage.call("a", "add", 1)

    assert status == 503
    assert "waited 0.3 s" in error["error"]["message"]


def test_a_round_that_loses_the_leadership_leaves_what_is_to_be_read_to_the_next_leader(
    monkeypatch: pytest.MonkeyPatch, store: AskedStore
) -> None:
    computes, over = threading.Event(), threading.Event()

    def compute_long(turn: Turn, _: Any) -> int:
        computes.set()
        over.wait(WAIT_S)
        return 7

    stage = Stage(monkeypatch, slots=2, store=store, guests={b"compute_long": compute_long})
    stage.call("warm", "read")
    cold, long = send_in_one_round(stage, ("cold", "add", 1), ("warm", "compute_long", None))
    assert computes.wait(WAIT_S)

    assert stage.client.wait(cold) == (200, 1)
    assert not stage.client.answered(long)
    over.set()
    assert stage.client.wait(long) == (200, 7)


def test_a_worker_that_stops_waits_for_what_is_being_read(stage: Stage, store: AskedStore) -> None:
    """Who waits there is to be answered, if only with a refusal."""
    store.answers_by_itself = False
    slot = stage.client.send("a", "add", 1)
    until(stage, lambda: store.questions)
    drained = threading.Event()
    stage.do(lambda: stage.worker.loop.drain(drained.set))
    for _ in range(3):
        stage.do(lambda: None)
    assert not drained.is_set()
    store.answer()

    assert stage.client.wait(slot)[0] == 503
    assert drained.wait(WAIT_S)


def test_what_waits_to_be_read_counts_among_what_waits(stage: Stage, store: AskedStore) -> None:
    store.answers_by_itself = False
    slot = stage.client.send("a", "add", 1)
    until(stage, lambda: store.questions)
    depth, oldest = stage.do(stage.worker.mailboxes.depth)

    assert depth == 1
    assert oldest <= time.monotonic()
    store.answer()
    assert stage.client.wait(slot) == (200, 1)


def test_a_stage_that_has_ended_leaves_no_thread(monkeypatch: pytest.MonkeyPatch, store: AskedStore) -> None:
    """A run has thousands of them."""
    others = {*threading.enumerate()}
    stage = Stage(monkeypatch, store=store)
    stage.call("a", "add", 1)
    mine = [each for each in threading.enumerate() if each not in others]
    assert len(mine) >= 5, "the leader, two that are parked, the monitor, the log"
    Stage.begun.remove(stage)
    stage.end()
    stage.client.close()
    end = time.monotonic() + WAIT_S
    while any(each.is_alive() for each in mine) and time.monotonic() < end:
        time.sleep(0.01)

    assert [each.name for each in mine if each.is_alive()] == []
