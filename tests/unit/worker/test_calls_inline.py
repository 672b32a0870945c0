"""Calls to idle instances of the same worker: their turns run inside the caller's, on its thread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.worker.turns.turn import Turn
from tests.harness.repeats import repeats
from tests.unit.worker.stage import Stage, add
from tests.unit.worker.test_calls import call_out, calling_stage, error_of


def add_both(turn: Turn, target: list[Any]) -> list[int]:
    """Add to the other instance, then to this one; both totals."""
    name, amount = target
    return [call_out(turn, [name, "add", amount]), add(turn, amount)]


def nested_stage(monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None, **guests: Any) -> Stage:
    stage = calling_stage(monkeypatch, limits)
    stage.guests[b"add_both"] = add_both
    stage.guests |= {name.encode(): guest for name, guest in guests.items()}
    stage.deploy()
    return stage


@contextmanager
def promoting(stage: Stage) -> Iterator[None]:
    """Give the leadership on as often as can be, whatever runs."""
    stop = threading.Event()

    def promote() -> None:
        while not stop.is_set():
            stage.worker.leadership.promote_if_slow(1e9, 0.0, lambda: True)

    thread = threading.Thread(target=promote)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_call_to_an_idle_instance_runs_on_the_callers_thread_and_changes_no_leader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []

    def note(turn: Turn, rest: list[str]) -> None:
        threads.append(threading.get_ident())
        if rest:
            call_out(turn, [rest[0], "note", rest[1:]])

    stage = nested_stage(monkeypatch, Limits(promotion_after_s=5.0), note=note)
    generation = stage.worker.leadership.generation

    assert stage.call("a", "note", ["b", "c", "d"]) == (200, None)
    assert len(set(threads)) == 1
    assert len(threads) == 4
    assert stage.worker.leadership.generation == generation


def test_a_callee_that_fails_or_traps_costs_its_caller_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def try_both(turn: Turn, name: str) -> list[str]:
        errors = []
        for method in ("fail_after_write", "trap_after_write"):
            try:
                call_out(turn, [name, method, 5])
            except HoldfastError as error:
                errors.append(error.name)
        add(turn, 1)
        return errors

    stage = nested_stage(monkeypatch, try_both=try_both)

    assert stage.call("a", "try_both", "b") == (200, ["ActorMethodError", "ActorTrapError"])
    assert stage.call("b", "read") == (200, 0)
    assert stage.call("a", "read") == (200, 1)


def test_a_callee_may_sync_and_the_leader_goes_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.store.hold()
    slot = stage.client.send("a", "call_out", ["b", "add_sync_add", 1])
    stage.store.wait_held()

    assert stage.call("c", "read") == (200, 0)
    assert not stage.client.answered(slot)

    stage.store.let_go()

    assert stage.client.wait(slot) == (200, 2)
    assert stage.do(lambda: stage.worker.leadership.detached) == 0


def test_a_sync_of_the_caller_makes_durable_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()

    def call_sync(turn: Turn, name: str) -> None:
        call_out(turn, [name, "add", 5])
        turn.sync()
        synced.set()

    stage = nested_stage(monkeypatch, call_sync=call_sync)
    stage.store.hold()
    slot = stage.client.send("a", "call_sync", "b")
    stage.store.wait_held()
    stage.call("c", "read")

    assert not synced.is_set()

    stage.store.let_go()

    assert stage.client.wait(slot) == (200, None)


def test_a_callee_that_computes_delays_no_other_instance_and_uses_up_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = nested_stage(monkeypatch)
    for _ in range(3):  # the first is promoted, the others are known to compute
        slow = stage.client.send("a", "call_out", ["b", "compute", 0.4])
        for n in range(20):
            assert stage.call(f"n{n}", "read") == (200, 0)

        assert not stage.client.answered(slow)
        assert stage.do(lambda: stage.worker.leadership.detached) == 1
        assert stage.client.wait(slow) == (200, "computed")
    assert stage.do(lambda: stage.worker.leadership.detached) == 0


def test_many_short_callees_make_one_long_section(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def call_for_long(turn: Turn, name: str) -> int:
        calls = 0
        while not stop.is_set():
            call_out(turn, [name, "read", None])
            calls += 1
        return calls

    stage = nested_stage(monkeypatch, call_for_long=call_for_long)
    slow = stage.client.send("a", "call_for_long", "b")
    for n in range(20):
        assert stage.call(f"n{n}", "add", 1) == (200, 1)

    assert not stage.client.answered(slow)
    stop.set()
    assert stage.client.wait(slow)[1] > 0


@pytest.mark.slow
@pytest.mark.repeats
def test_promotion_at_every_tick_leaves_paths_depth_and_sums_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def add_slowly(turn: Turn, amount: int) -> int:
        time.sleep(randomness.choice([0, 0.0003]))
        return add(turn, amount)

    def add_deep(turn: Turn, target: list[Any]) -> list[int]:
        """Add to each of the names, each called by the one before."""
        names, amount = target
        rest: list[int] = call_out(turn, [names[0], "add_deep", [names[1:], amount]]) if names else []
        return [add_slowly(turn, amount), *rest]

    def add_after_failure(turn: Turn, target: list[Any]) -> int:
        name, amount = target
        try:
            call_out(turn, [name, randomness.choice(["trap_after_write", "fail_after_write"]), amount])
        except HoldfastError:
            return add_slowly(turn, amount)
        raise AssertionError("it should have failed")

    stage = nested_stage(monkeypatch, add_deep=add_deep, add_after_failure=add_after_failure)
    randomness = random.Random(11)
    names = [f"n{n}" for n in range(40)]
    expected = dict.fromkeys(names, 0)
    asked: list[tuple[int, dict[str, int]]] = []
    with promoting(stage):
        for _ in range(repeats(400, 1_200)):
            amount = randomness.randrange(1, 100)
            path = randomness.sample(names, randomness.choice([2, 2, 2, 3, 5]))
            kind = randomness.choice(["deep", "deep", "failing", "sync"])
            if kind == "deep":
                slot = stage.client.send(path[0], "add_deep", [path[1:], amount])
                asked.append((slot, dict.fromkeys(path, amount)))
            elif kind == "failing":
                slot = stage.client.send(path[0], "add_after_failure", [path[1], amount])
                asked.append((slot, {path[0]: amount}))
            else:
                slot = stage.client.send(path[0], "call_out", [path[1], "add_sync_add", amount])
                asked.append((slot, {path[1]: 2 * amount}))
        unclear: set[str] = set()
        for slot, amounts in asked:
            status, body = stage.client.wait(slot, 60)
            if status == 200:
                for name, amount in amounts.items():
                    expected[name] += amount
            else:
                assert body["error"]["name"] == "ActorDeadlockError"
                unclear |= set(amounts)  # the calls that it had made by then stand
        replies = {name: stage.call(name, "read")[1] for name in names}

        assert error_of(stage.call("n0", "chain", ["n1", "n2", "n0"])) == (409, "ActorReentrancyError")
        deep = [f"d{n}" for n in range(17)]
        assert len(stage.call("a", "chain", deep[:16])[1]) == 17
        assert error_of(stage.call("a", "chain", deep))[1] == "LimitError"

    assert {name: replies[name] for name in names if name not in unclear} == {
        name: expected[name] for name in names if name not in unclear
    }
    assert stage.worker.leadership.generation > repeats(150, 500)
    assert stage.do(lambda: stage.worker.leadership.detached) == 0
    assert stage.do(lambda: stage.worker.calls.waiting) == {}
    assert stage.failures.empty()


def test_rings_under_promotion_all_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    randomness = random.Random(5)
    names = [f"n{n}" for n in range(10)]
    with promoting(stage):
        slots = []
        for _ in range(400):
            path = randomness.sample(names, 4)
            slots.append(stage.client.send(path[0], "chain", path[1:]))
        replies = [stage.client.wait(slot, 60) for slot in slots]

    assert {reply[0] if reply[0] == 200 else error_of(reply)[1] for reply in replies} <= {200, "ActorDeadlockError"}
    assert stage.do(lambda: stage.worker.calls.waiting) == {}
    assert stage.failures.empty()


@pytest.mark.parametrize("promote", [False, True])
def test_the_callers_budget_ends_both_and_is_the_callers_error(monkeypatch: pytest.MonkeyPatch, promote: bool) -> None:
    def write_and_wait(turn: Turn, name: str) -> str:
        add(turn, 1)
        return str(call_out(turn, [name, "compute", 30]))

    stage = nested_stage(monkeypatch, Limits(method_timeout_s=0.1), write_and_wait=write_and_wait)
    began_at = time.monotonic()
    if promote:
        with promoting(stage):
            reply = stage.call("a", "write_and_wait", "b")
    else:
        reply = stage.call("a", "write_and_wait", "b")

    assert error_of(reply) == (504, "ActorMethodTimeoutError")
    assert time.monotonic() - began_at < 5
    assert stage.call("a", "read") == (200, 0)
    assert stage.call("b", "read") == (200, 0)


def test_a_bug_of_the_host_in_a_call_ends_the_worker_as_anywhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    monkeypatch.setattr(stage.worker.mailboxes, "take_next", lambda turn: 1 // 0)
    stage.client.send("a", "call_out", ["b", "add", 5])

    assert isinstance(stage.failures.get(timeout=5), ZeroDivisionError)
