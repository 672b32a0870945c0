"""The leader's loop over a store in memory: order, the gate, promotion, failures, limits."""

from __future__ import annotations

import random
import threading
import time
from typing import Any
from unittest.mock import Mock

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.pages.state_page import LEFT
from holdfast_host.worker.main import WorkerProcess
from holdfast_host.worker.turns.turn import Turn
from tests.harness.repeats import repeats
from tests.unit.worker.stage import TYPE, Client, Stage, add


def error_name(reply: tuple[int, Any]) -> str:
    name: str = reply[1]["error"]["name"]
    return name


def test_turns_of_one_instance_run_in_arrival_order(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    slots = [stage.client.send("a", "add", 1) for _ in range(100)]

    assert [stage.client.wait(slot) for slot in slots] == [(200, n + 1) for n in range(100)]


def test_many_turns_commit_in_few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    slots = [stage.client.send(f"n{n % 20}", "add", 1) for n in range(200)]
    stage.store.wait_held()
    stage.store.let_go()
    for slot in slots:
        stage.client.wait(slot)

    assert stage.worker.committer.commits < 50


def test_a_commit_that_is_held_back_holds_back_its_reply_and_later_reads_but_no_other_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch)
    assert stage.call("other", "add", 7) == (200, 7)
    stage.store.hold()
    write = stage.client.send("a", "add", 1)
    stage.store.wait_held()
    read = stage.client.send("a", "read")
    elsewhere = stage.client.send("other", "read")

    assert stage.client.wait(elsewhere) == (200, 7)
    assert not stage.client.answered(write)
    assert not stage.client.answered(read)

    stage.store.complete()

    assert stage.client.wait(write) == (200, 1)
    assert stage.client.wait(read) == (200, 1)


def test_an_error_of_the_sync_is_never_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    write = stage.client.send("a", "add", 1)
    stage.store.wait_held()
    read = stage.client.send("a", "read")
    elsewhere = stage.client.send("b", "read")
    stage.client.wait(elsewhere)
    stage.store.break_next()
    stage.store.complete()
    replies = [stage.client.wait(write), stage.client.wait(read)]

    assert [error_name(reply) for reply in replies] == ["ActorOutputGateError"] * 2
    assert "sync failed" in str(stage.broken.get(timeout=5))


def test_what_does_not_fit_fails_its_own_instance_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    slots = [stage.client.send(name, "add", 1) for name in ("first",)]
    stage.store.wait_held()
    slots += [stage.client.send(name, "add", 1) for name in ("a", "b")]
    stage.client.wait(stage.client.send("reader", "read"))
    stage.store.complete()
    stage.client.wait(slots[0])
    stage.store.wait_held()
    stage.store.lose_next([b"a"])
    stage.store.let_go()
    replies = [stage.client.wait(slot) for slot in slots]

    assert replies[0] == (200, 1)
    assert (replies[1][0], error_name(replies[1])) == (507, "StorageFullError")
    assert replies[2] == (200, 1)
    assert stage.call("a", "add", 5) == (200, 5)


@pytest.mark.parametrize(("method", "status"), [("fail_after_write", 500), ("trap_after_write", 500)])
def test_a_turn_that_fails_commits_nothing_and_drops_its_activation(
    monkeypatch: pytest.MonkeyPatch, method: str, status: int
) -> None:
    stage = Stage(monkeypatch)
    stage.call("a", "add", 1)
    entry = stage.do(lambda: stage.worker.directory.open(TYPE, b"a", "T"))
    before = entry.sandbox
    reply = stage.call("a", method, 50)

    assert reply[0] == status
    assert before.closed
    assert stage.call("a", "read") == (200, 1)


def test_a_sync_commits_the_first_half_whatever_becomes_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)

    def sync_then_fail(turn: Turn, amount: int) -> None:
        stage.guests[b"add"](turn, amount)
        turn.sync()
        stage.guests[b"trap_after_write"](turn, amount)

    stage.guests[b"sync_then_fail"] = sync_then_fail
    stage.deploy()
    slot = stage.client.send("a", "sync_then_fail", 3)

    assert stage.client.wait(slot)[0] == 500
    assert stage.client.page.words[slot] & LEFT
    assert stage.call("a", "read") == (200, 3)


def test_a_sync_returns_after_its_commit_and_others_go_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    slot = stage.client.send("a", "add_sync_add", 1)
    stage.store.wait_held()

    assert stage.call("b", "read") == (200, 0)

    stage.store.let_go()

    assert stage.client.wait(slot) == (200, 2)


def test_a_turn_that_computes_delays_no_other_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    slow = stage.client.send("slow", "compute", 0.5)
    for n in range(20):
        assert stage.call(f"n{n}", "add", 1) == (200, 1)

    assert not stage.client.answered(slow)
    assert stage.client.wait(slow) == (200, "computed")


def test_a_turn_past_its_budget_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, Limits(method_timeout_s=0.05))
    reply = stage.call("a", "compute", 5)

    assert (reply[0], error_name(reply)) == (504, "ActorMethodTimeoutError")


@pytest.mark.slow
@pytest.mark.repeats
def test_sums_are_exact_while_the_leadership_moves_at_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    randomness = random.Random(7)

    def add_in_the_middle_of_a_promotion(turn: Turn, amount: int) -> int:
        time.sleep(0.0003)
        return add(turn, amount)

    stage.guests[b"add"] = add_in_the_middle_of_a_promotion
    stop = threading.Event()

    def promote() -> None:
        while not stop.is_set():
            stage.worker.leadership.promote_if_slow(1e9, 0.0, lambda: True)

    thread = threading.Thread(target=promote)
    thread.start()
    sums: dict[str, int] = {}
    slots = []
    for _ in range(repeats(1_000, 3_000)):
        name, amount = f"n{randomness.randrange(30)}", randomness.randrange(1, 100)
        method = randomness.choice(["add", "add", "add", "read", "fail_after_write", "trap_after_write"])
        sums[name] = sums.get(name, 0) + (amount if method == "add" else 0)
        slots.append(stage.client.send(name, method, amount))
    for slot in slots:
        stage.client.wait(slot, 60)
    stop.set()
    thread.join()

    assert stage.worker.leadership.generation > repeats(150, 500)
    assert {name: stage.call(name, "read")[1] for name in sums} == sums
    assert stage.do(lambda: stage.worker.leadership.detached) == 0
    assert stage.failures.empty()


def test_the_state_page_says_how_far_a_call_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    write = stage.client.send("a", "add", 1)
    stage.store.wait_held()
    slow = stage.client.send("b", "compute", 0.2)
    queued = stage.client.send("b", "read")
    stage.call("c", "read")

    assert stage.client.page.words[write] == 2
    assert stage.client.page.words[slow] == 1
    assert stage.client.page.words[queued] == 0

    stage.store.let_go()


@pytest.mark.limit("mailbox_turns_max")
def test_a_full_mailbox_refuses_and_the_others_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, Limits(mailbox_turns_max=3))
    running = stage.client.send("a", "compute", 0.3)
    stage.call("b", "read")
    slots = [stage.client.send("a", "add", 1) for _ in range(5)]
    replies = [stage.client.wait(slot) for slot in slots]

    assert [reply[0] for reply in replies] == [200, 200, 200, 429, 429]
    assert stage.client.wait(running)[0] == 200


def test_a_call_that_is_cancelled_before_it_begins_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    running = stage.client.send("a", "compute", 0.2)
    queued = stage.client.send("a", "add", 1)
    stage.call("b", "read")
    stage.client.cancel(queued)
    stage.client.cancel(running)

    assert error_name(stage.client.wait(queued)) == "HostUnavailableError"
    assert stage.client.wait(running) == (200, "computed")
    assert stage.call("a", "read") == (200, 0)


def test_what_a_client_that_goes_away_had_queued_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    running = stage.client.send("a", "compute", 0.2)
    leaving = Client(stage.worker)
    leaving.send("a", "add", 1)
    stage.call("b", "read")
    leaving.close()

    assert stage.client.wait(running) == (200, "computed")
    assert stage.call("a", "read") == (200, 0)


def test_unknown_types_and_methods_are_refused_before_an_instance_is_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    unknown_type = stage.client.wait(stage.client.send("a", "add", 1, type_id=99))

    assert (unknown_type[0], error_name(unknown_type)) == (404, "UnknownActorTypeError")
    assert error_name(stage.call("a", "nothing")) == "ActorUnknownMethodError"
    assert error_name(stage.call("a", "secret")) == "ActorPrivateMethodError"
    assert error_name(stage.call("a", "_hidden")) == "ActorPrivateMethodError"


def test_a_new_version_runs_every_turn_that_starts_after_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.call("a", "add", 1)
    entry = stage.do(lambda: stage.worker.directory.open(TYPE, b"a", "T"))
    before = entry.sandbox
    loaded = stage.do(lambda: stage.deploy(version=2))

    assert stage.call("a", "read") == (200, 1)
    assert before.closed
    assert entry.loaded is loaded


@pytest.mark.limit("idle_eviction_s")
def test_idle_activations_are_evicted_and_their_state_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, Limits(idle_eviction_s=0.0))
    for n in range(50):
        stage.call(f"n{n}", "add", n)
    while stage.do(lambda: len(stage.worker.directory)) > 1:
        stage.call("tick", "read")

    assert [stage.call(f"n{n}", "read")[1] for n in range(50)] == list(range(50))


def test_draining_lets_running_turns_finish_and_refuses_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    drained = threading.Event()
    running = stage.client.send("a", "compute", 0.2)
    queued = stage.client.send("a", "add", 1)
    stage.call("b", "read")
    stage.do(lambda: stage.worker.loop.drain(drained.set))
    late = stage.call("c", "read")

    assert error_name(late) == "HostUnavailableError"
    assert stage.client.wait(running) == (200, "computed")
    assert error_name(stage.client.wait(queued)) == "HostUnavailableError"
    assert drained.wait(5)


def test_a_stop_closes_no_store_under_a_turn_that_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nested turn may come after `drained`, and outlive the caller for which the stop has waited."""
    stage = Stage(monkeypatch)
    events: list[str] = []
    process: Any = WorkerProcess.__new__(WorkerProcess)
    process._worker, process._store, process._output = stage.worker, stage.store, stage.worker.output
    process._backup, process._spans = Mock(copying=False), None
    monkeypatch.setattr(stage.store, "close", lambda: events.append("closed"))
    monkeypatch.setattr("os._exit", lambda code: events.append(f"exit {code}"))
    running = stage.client.send("a", "compute", 0.2)
    while not stage.do(lambda: list(stage.worker.running)):
        pass
    stage.do(process._stop)
    assert events == ["exit 0"]
    stage.client.wait(running)
    stage.do(process._stop)

    assert events == ["exit 0", "closed", "exit 0"]


@pytest.mark.limit("detached_turns_max")
def test_past_the_cap_on_detached_turns_new_calls_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, Limits(detached_turns_max=2))
    slow = [stage.client.send(f"s{n}", "compute", 0.4) for n in range(2)]
    while stage.do(lambda: stage.worker.leadership.detached) < 2:
        pass
    refused = stage.call("x", "read")

    assert (refused[0], refused[1]["error"]["retryable"]) == (503, True)
    assert [stage.client.wait(slot)[0] for slot in slow] == [200, 200]
