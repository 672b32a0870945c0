"""Several calls of one turn at once: side by side, each with its own outcome, and rings through any of them."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.gathered_calls import GatheredCall
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import Guest, Stage, add
from tests.unit.worker.test_calls import call_out, error_of


def gather(turn: Turn, targets: list[list[Any]]) -> list[Any]:
    """Call each `[name, method, argument]` or `[name, method, argument, key]` at once."""
    calls = [
        GatheredCall(("T", name, method), json.dumps(argument).encode(), key[0].encode() if key else b"")
        for name, method, argument, *key in targets
    ]
    outcomes = turn.call_many(calls)
    return [each.name if isinstance(each, HoldfastError) else json.loads(each) for each in outcomes]


def gather_told(turn: Turn, targets: list[list[Any]]) -> list[Any]:
    """The same, with the sentences of errors."""
    calls = [
        GatheredCall(("T", name, method), json.dumps(argument).encode(), b"") for name, method, argument in targets
    ]
    return [each.message if isinstance(each, HoldfastError) else json.loads(each) for each in turn.call_many(calls)]


def gathering_stage(monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None, **further: Guest) -> Stage:
    guests: dict[bytes, Guest] = {b"gather": gather, b"gather_told": gather_told, b"call_out": call_out}
    guests |= {name.encode(): guest for name, guest in further.items()}
    return Stage(monkeypatch, limits, guests=guests)


def test_calls_that_are_made_at_once_run_side_by_side_and_their_results_come_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met = threading.Barrier(10)

    def meet(turn: Turn, number: int) -> int:
        met.wait(10)
        return number

    stage = gathering_stage(monkeypatch, meet=meet)

    assert stage.call("a", "gather", [[f"n{n}", "meet", n] for n in range(10)]) == (200, list(range(10)))


def test_each_call_fails_by_itself_and_the_others_take_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering_stage(monkeypatch)
    targets = [["b", "add", 5], ["c", "fail_after_write", 5], ["d", "nothing", None], ["a", "read", None]]

    assert stage.call("a", "gather", targets) == (
        200,
        [5, "ActorMethodError", "ActorUnknownMethodError", "ActorReentrancyError"],
    )
    assert stage.call("b", "read") == (200, 5)
    assert stage.call("c", "read") == (200, 0)
    assert stage.do(lambda: stage.worker.calls.waiting) == {}


def test_calls_to_one_instance_run_there_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering_stage(monkeypatch)

    assert stage.call("a", "gather", [["b", "add", 1]] * 5) == (200, [1, 2, 3, 4, 5])


def test_calls_under_keys_have_one_effect_each(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering_stage(monkeypatch)

    assert stage.call("a", "gather", [["b", "add", 1, "k"], ["b", "add", 1, "k"], ["b", "add", 1, "l"]]) == (
        200,
        [1, 1, 2],
    )


@pytest.mark.limit("calls_at_once_max")
def test_so_many_calls_are_made_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering_stage(monkeypatch, Limits(calls_at_once_max=3))

    assert stage.call("a", "gather", [["b", "add", 1]] * 3) == (200, [1, 2, 3])
    refused = stage.call("a", "gather", [["b", "add", 1]] * 4)
    assert error_of(refused) == (500, "LimitError")
    assert "4 calls at once, the limit is 3" in refused[1]["error"]["message"]
    assert stage.call("b", "read") == (200, 3)
    assert stage.call("a", "gather", []) == (200, [])


def test_calls_leave_when_what_the_callers_earlier_turns_wrote_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = threading.Event()

    def note(turn: Turn, _: Any) -> str:
        ran.set()
        return "ran"

    stage = gathering_stage(monkeypatch, note=note)
    stage.store.hold()
    wrote = stage.client.send("a", "add", 5)
    stage.store.wait_held()
    gathered = stage.client.send("a", "gather", [["b", "note", None], ["c", "note", None]])

    assert not ran.wait(0.2)
    stage.store.let_go()
    assert stage.client.wait(gathered) == (200, ["ran", "ran"])
    assert stage.client.wait(wrote) == (200, 5)


def test_a_ring_through_one_of_the_calls_ends_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def meet_and_gather(turn: Turn, other: str) -> Any:
        both.wait(10)
        return gather(turn, [["free", "read", None], [other, "read", None], ["also-free", "read", None]])

    stage = gathering_stage(monkeypatch, meet_and_gather=meet_and_gather)
    slots = [stage.client.send("a", "meet_and_gather", "b"), stage.client.send("b", "meet_and_gather", "a")]
    started = time.monotonic()
    replies = sorted((stage.client.wait(slot)[1] for slot in slots), key=str)

    assert sorted(replies, key=str) == sorted([[0, 0, 0], [0, "ActorDeadlockError", 0]], key=str)
    assert time.monotonic() - started < 5


def test_rings_through_several_of_the_calls_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 5
    met = threading.Barrier(count)

    def meet_and_gather(turn: Turn, others: list[str]) -> Any:
        met.wait(10)
        return gather(turn, [[other, "read", None] for other in others])

    stage = gathering_stage(monkeypatch, meet_and_gather=meet_and_gather)
    names = [f"n{n}" for n in range(count)]
    slots = [stage.client.send(name, "meet_and_gather", [each for each in names if each != name]) for name in names]
    started = time.monotonic()
    replies = [stage.client.wait(slot)[1] for slot in slots]

    assert time.monotonic() - started < 10
    assert all(set(map(str, reply)) <= {"0", "ActorDeadlockError"} for reply in replies)
    assert stage.do(lambda: stage.worker.calls.waiting) == {}


def test_a_turn_whose_time_is_over_takes_back_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering_stage(monkeypatch)
    busy = stage.client.send("b", "compute", 1.0)
    late = stage.client.wait(stage.client.send("a", "gather", [["b", "add", 5], ["c", "add", 5]], budget_ms=300))
    stage.client.wait(busy)

    assert error_of(late) == (504, "ActorMethodTimeoutError")
    assert stage.call("b", "read") == (200, 0)
    assert stage.call("c", "read") == (200, 5)
    assert stage.do(lambda: stage.worker.calls.waiting) == {}


def test_the_deepest_instance_that_calls_several_is_told_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering_stage(monkeypatch)
    status, told = stage.call("a", "call_out", ["b", "gather_told", [["a", "read", None], ["c", "read", None]]])

    assert status == 200
    assert told[0].startswith("T/a -> T/b -> T/a: T/a waits for this call")
    assert told[1] == 0


def test_what_a_turn_wrote_before_and_after_is_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    def add_gather_add(turn: Turn, _: Any) -> int:
        add(turn, 1)
        gather(turn, [["b", "add", 1], ["c", "add", 1]])
        add(turn, 1)
        raise HoldfastError("after all")

    stage = gathering_stage(monkeypatch, add_gather_add=add_gather_add)

    assert stage.call("a", "add_gather_add")[0] == 500
    assert [stage.call(name, "read")[1] for name in "abc"] == [0, 1, 1]
