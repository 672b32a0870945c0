"""Calls between actors on one worker: path, gate, budget, rings."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import Stage, add


def call_out(turn: Turn, target: list[Any]) -> Any:
    """Call `[name, method, argument]` and return what it returned."""
    name, method, argument = target
    return json.loads(turn.call("T", name, method, json.dumps(argument).encode()))


def chain(turn: Turn, names: list[str]) -> list[str]:
    """Call the first name with the rest, and so on."""
    if not names:
        return [turn.entry.label]
    rest: list[str] = call_out(turn, [names[0], "chain", names[1:]])
    return [turn.entry.label, *rest]


def calling_stage(monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None) -> Stage:
    """A stage whose guests can call each other."""
    stage = Stage(monkeypatch, limits)
    stage.guests[b"call_out"] = call_out
    stage.guests[b"chain"] = chain
    stage.deploy()
    return stage


def error_of(reply: tuple[int, Any]) -> tuple[int, str]:
    return reply[0], reply[1]["error"]["name"]


def test_a_call_returns_what_the_other_instance_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)

    assert stage.call("a", "call_out", ["b", "add", 5]) == (200, 5)
    assert stage.call("b", "read") == (200, 5)


def test_an_error_of_the_callee_reaches_the_caller_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)

    assert error_of(stage.call("a", "call_out", ["b", "nothing", None]))[1] == "ActorUnknownMethodError"


def test_a_call_waits_for_the_writes_of_the_callers_earlier_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    ran = threading.Event()
    stage.guests[b"mark"] = lambda turn, _: ran.set()
    stage.deploy()
    stage.store.hold()
    write = stage.client.send("a", "add", 1)
    stage.store.wait_held()
    calling = stage.client.send("a", "call_out", ["b", "mark", None])
    stage.call("c", "read")

    assert not ran.is_set()

    stage.store.let_go()

    assert stage.client.wait(write) == (200, 1)
    assert stage.client.wait(calling) == (200, None)
    assert ran.is_set()


def test_the_open_turn_of_the_caller_stays_atomic(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)

    def write_call_fail(turn: Turn, amount: int) -> None:
        add(turn, amount)
        call_out(turn, ["b", "add", amount])
        stage.guests[b"trap_after_write"](turn, amount)

    stage.guests[b"write_call_fail"] = write_call_fail
    stage.deploy()

    assert stage.call("a", "write_call_fail", 7)[0] == 500
    assert stage.call("a", "read") == (200, 0)
    assert stage.call("b", "read") == (200, 7)


def test_a_call_that_comes_back_is_refused_at_once_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    reply = stage.call("a", "chain", ["b", "c", "a"])

    assert error_of(reply) == (409, "ActorReentrancyError")
    assert "T/a -> T/b -> T/c -> T/a" in reply[1]["error"]["message"]


@pytest.mark.limit("call_depth_max")
def test_calls_nest_sixteen_deep_and_no_deeper(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    names = [f"n{n}" for n in range(17)]

    assert len(stage.call("a", "chain", names[:16])[1]) == 17
    assert error_of(stage.call("a", "chain", names))[1] == "LimitError"


@pytest.mark.limit("nested_turns_max")
@pytest.mark.parametrize(("computing", "status"), [(2, 200), (3, 500)])
def test_past_the_cap_on_turns_that_hold_a_thread_nested_calls_are_refused_too(
    monkeypatch: pytest.MonkeyPatch, computing: int, status: int
) -> None:
    stage = calling_stage(monkeypatch, Limits(nested_turns_max=3))
    slow = [stage.client.send(f"s{n}", "compute", 0.5) for n in range(computing)]
    while stage.do(lambda: stage.worker.leadership.detached) < computing:
        pass
    reply = stage.call("a", "call_out", ["b", "read", None])

    assert reply[0] == status
    if status != 200:
        assert "T/b: 3 turns of this worker compute or wait at once" in reply[1]["error"]["message"]
    assert [stage.client.wait(slot)[0] for slot in slow] == [200] * computing


def test_the_callers_remaining_time_is_the_callees_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch, Limits(method_timeout_s=0.1))
    started = time.monotonic()
    reply = stage.call("a", "call_out", ["b", "compute", 5])

    assert error_of(reply) == (504, "ActorMethodTimeoutError")
    assert time.monotonic() - started < 3


def test_a_caller_that_is_cut_off_cancels_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    busy = stage.client.send("b", "compute", 0.6)
    stage.call("c", "read")
    calling = stage.client.send("a", "call_out", ["b", "add", 1], budget_ms=100)

    assert error_of(stage.client.wait(calling)) == (504, "ActorMethodTimeoutError")
    assert stage.client.wait(busy) == (200, "computed")
    assert stage.call("b", "read") == (200, 0)


def test_two_turns_that_call_each_other_are_found_and_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    both = threading.Barrier(2)

    def meet_and_call(turn: Turn, other: str) -> Any:
        both.wait(10)
        return call_out(turn, [other, "read", None])

    stage.guests[b"meet_and_call"] = meet_and_call
    stage.deploy()
    slots = [stage.client.send("a", "meet_and_call", "b"), stage.client.send("b", "meet_and_call", "a")]
    started = time.monotonic()
    replies = sorted(stage.client.wait(slot) for slot in slots)

    assert replies[0] == (200, 0)
    assert error_of(replies[1]) == (409, "ActorDeadlockError")
    assert "T/a -> T/b -> T/a" in replies[1][1]["error"]["message"] or "T/b -> T/a -> T/b" in str(replies[1])
    assert time.monotonic() - started < 5


def test_many_chains_over_few_names_all_end_with_bounded_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    randomness = random.Random(3)
    names = [f"n{n}" for n in range(12)]
    before = threading.active_count()
    slots = []
    for _ in range(600):
        path = randomness.sample(names, 5)
        slots.append(stage.client.send(path[0], "chain", path[1:]))
    replies = [stage.client.wait(slot, 60) for slot in slots]
    outcomes = {reply[0] if reply[0] == 200 else error_of(reply)[1] for reply in replies}

    assert outcomes == {200, "ActorDeadlockError"}
    assert stage.call("n0", "chain", names[1:5]) == (200, ["T/n0", "T/n1", "T/n2", "T/n3", "T/n4"])
    assert threading.active_count() - before < 100
    assert stage.do(lambda: stage.worker.calls.waiting) == {}
    assert stage.failures.empty()
