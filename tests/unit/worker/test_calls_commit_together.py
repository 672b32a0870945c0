"""A caller and those that it called are one group: what is durable, and what is lost, is so for both."""

from __future__ import annotations

import time
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import StoreBrokenError
from holdfast_host.wire.pages.state_page import LEFT
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import add
from tests.unit.worker.test_calls import call_out, error_of
from tests.unit.worker.test_calls_inline import nested_stage
from tests.unit.worker.test_functions import FunctionStage


def test_caller_and_callee_commit_in_one_group_and_nothing_leaves_before(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.store.hold()
    slot = stage.client.send("a", "add_both", ["b", 5])
    stage.store.wait_held()
    stage.call("c", "read")

    assert not stage.client.answered(slot)
    assert stage.client.page.words[slot] & LEFT

    stage.store.let_go()

    assert stage.client.wait(slot) == (200, [5, 5])
    assert len(stage.store.groups) == 1


def test_a_caller_that_only_reads_is_held_until_what_it_was_told_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.store.hold()
    write = stage.client.send("b", "add", 3)
    stage.store.wait_held()
    asked = stage.client.send("a", "call_out", ["b", "read", None])
    later = stage.client.send("a", "read")
    stage.call("c", "read")

    assert not stage.client.answered(asked)
    assert not stage.client.answered(later)  # it may remember what its instance was told

    stage.store.let_go()

    assert [stage.client.wait(slot) for slot in (write, asked, later)] == [(200, 3), (200, 3), (200, 0)]


def test_a_sync_that_fails_fails_the_caller_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.store.break_next()

    assert error_of(stage.call("a", "add_both", ["b", 5])) == (500, "ActorOutputGateError")
    assert isinstance(stage.broken.get(timeout=5), StoreBrokenError)


def test_what_is_lost_for_the_callee_is_lost_for_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.call("a", "add", 1)
    entry = stage.do(lambda: stage.worker.directory.open(1, b"a", "T"))
    before = entry.sandbox
    stage.store.lose_next([b"b"])
    reply = stage.call("a", "add_both", ["b", 5])

    assert error_of(reply) == (507, "StorageFullError")
    assert before.closed
    assert stage.call("a", "read") == (200, 1)
    assert stage.call("b", "read") == (200, 0)
    assert stage.call("a", "add_both", ["b", 5]) == (200, [5, 6])


def test_a_caller_that_wrote_nothing_is_told_that_what_it_heard_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.store.lose_next([b"b"])

    assert error_of(stage.call("a", "call_out", ["b", "add", 5])) == (500, "ActorOutputGateError")
    assert stage.call("b", "read") == (200, 0)


def test_what_is_lost_for_the_caller_stays_with_the_callee(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = nested_stage(monkeypatch)
    stage.store.lose_next([b"a"])

    assert error_of(stage.call("a", "add_both", ["b", 5])) == (507, "StorageFullError")
    assert stage.call("a", "read") == (200, 0)
    assert stage.call("b", "read") == (200, 5)


def test_several_calls_of_one_turn_commit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def transfer(turn: Turn, names: list[str]) -> None:
        call_out(turn, [names[0], "add", -5])
        call_out(turn, [names[1], "add", 5])

    stage = nested_stage(monkeypatch, Limits(promotion_after_s=5.0), transfer=transfer)

    assert stage.call("bank", "transfer", ["a", "b"]) == (200, None)
    assert len(stage.store.groups) == 1
    stage.store.lose_next([b"a"])
    assert error_of(stage.call("bank", "transfer", ["a", "b"])) == (500, "ActorOutputGateError")
    assert [stage.call(name, "read") for name in ("a", "b")] == [(200, -5), (200, 5)]


def test_an_alarms_handler_calls_and_its_effects_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def arm(turn: Turn, _: Any) -> None:
        turn.storage.set_alarm(1)

    def alarm(turn: Turn, info: Any) -> None:
        call_out(turn, ["b", "add", 5])
        add(turn, 5)

    stage = nested_stage(monkeypatch, arm=arm, alarm=alarm)
    stage.store.lose_next([])
    stage.call("a", "arm")
    deadline = time.monotonic() + 10
    while stage.call("a", "read") != (200, 5):
        assert time.monotonic() < deadline

    assert stage.call("b", "read") == (200, 5)
    assert stage.do(lambda: stage.worker.alarms.delivered) == 1


def test_an_alarm_whose_callee_is_lost_has_failed_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []

    def arm(turn: Turn, _: Any) -> None:
        turn.storage.set_alarm(1)

    def alarm(turn: Turn, info: Any) -> None:
        rounds.append(1)
        if len(rounds) == 1:
            stage.store.lose_next([b"b"])
        call_out(turn, ["b", "add", 5])
        add(turn, 5)

    stage = nested_stage(monkeypatch, arm=arm, alarm=alarm)
    stage.call("a", "arm")
    deadline = time.monotonic() + 20
    while stage.call("a", "read") != (200, 5):
        assert time.monotonic() < deadline

    assert stage.call("b", "read") == (200, 5)
    assert len(rounds) == 2


def test_a_function_that_calls_runs_inline_and_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(turn: Turn, names: list[str]) -> list[int]:
        return [int(turn.call("T", name, "add", b"5")) for name in names]

    stage = FunctionStage(monkeypatch, handler, Limits(promotion_after_s=5.0))
    generation = stage.worker.leadership.generation

    assert stage.ask(["a", "b"]) == (200, [5, 5])
    assert stage.worker.leadership.generation == generation
    assert len(stage.store.groups) == 1
    stage.store.lose_next([b"b"])
    assert error_of(stage.ask(["a", "b"])) == (500, "ActorOutputGateError")
    assert [stage.call(name, "read") for name in ("a", "b")] == [(200, 10), (200, 5)]
    assert stage.ask(["c"]) == (200, [5])
    assert stage.made == 6  # a, b, the function; then b and the function, which heard of what was lost, anew; c


def test_a_functions_next_request_is_held_for_what_its_sandbox_may_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(promotion_after_s=0.002).replace(function_sandboxes_max=1)
    stage = FunctionStage(monkeypatch, lambda turn, name: name and int(turn.call("T", name, "add", b"5")), limits)
    stage.store.hold()
    first = stage.send("a")
    stage.store.wait_held()
    second = stage.send(None)
    stage.call("c", "read")

    assert not stage.client.answered(first)
    assert not stage.client.answered(second)

    stage.store.let_go()

    assert [stage.client.wait(slot) for slot in (first, second)] == [(200, 5), (200, None)]
