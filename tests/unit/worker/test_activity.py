"""What a worker says of itself while it hangs: whoever leads answers, whatever turns and commits do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.alarm_stage import AlarmStage
from tests.unit.worker.stage import TYPE, Stage
from tests.unit.worker.test_calls import calling_stage
from tests.unit.worker.test_functions import FunctionStage

ANSWER_S = 2.0  # what the supervisor waits


def activity(stage: Stage, limit: int = 20) -> dict[str, Any]:
    """What the leader answers, in time."""
    began = time.monotonic()
    facts: dict[str, Any] = stage.do(lambda: stage.worker.activity.report(limit)[0])
    assert time.monotonic() - began < ANSWER_S
    return facts


def until(stage: Stage, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The first answer of which that holds."""
    deadline = time.monotonic() + 10
    while not holds(facts := activity(stage)):
        assert time.monotonic() < deadline, facts
    return facts


class Spinning:
    """A guest that computes until it is let go."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __call__(self, turn: Turn, _: Any) -> str:
        while not self.over.is_set():
            slice_end = time.monotonic() + 0.01
            while time.monotonic() < slice_end:
                time.sleep(0)
            assert turn.tick()
        return "over"


def spinning_stage(monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, Spinning]:
    spinning = Spinning()
    stage = calling_stage(monkeypatch)
    stage.guests[b"spin"] = spinning
    stage.deploy()
    return stage, spinning


def test_a_worker_answers_while_turns_compute_and_says_which_have_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    slots = [stage.client.send(name, "spin") for name in ("alice", "bob")]
    states = ["computing", "waiting for a processor"]  # the stage has one
    facts = until(stage, lambda facts: sorted(each["state"] for each in facts["turns"]) == states)

    assert sorted(each["name"] for each in facts["turns"]) == ["alice", "bob"]
    assert {(each["type"], each["method"], each["function"]) for each in facts["turns"]} == {("T", "spin", None)}
    assert all(each["age_s"] > 0 and each["waited_s"] >= 0 for each in facts["turns"])
    assert (facts["turns_total"], facts["detached"], facts["activations"]) == (2, 2, 2)
    assert facts["compute"] == {"slots": 1, "free": 0, "waiting": 1}
    spinning.over.set()
    assert [stage.client.wait(slot) for slot in slots] == [(200, "over")] * 2
    facts = activity(stage)
    assert (facts["turns"], facts["detached"]) == ([], 0)


def test_a_worker_answers_while_its_commit_hangs_and_says_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    hanging = stage.client.send("alice", "add", 5)
    stage.store.wait_held()
    gathering = [stage.client.send(name, "add", 5) for name in ("bob", "carol")]
    facts = until(stage, lambda facts: len(facts["groups"]) == 2)
    in_flight, gathered = facts["groups"]

    assert (in_flight["turns"], in_flight["held"]) == (1, 1)
    assert in_flight["age_s"] > 0
    assert gathered["group"] == in_flight["group"] + 1
    assert gathered["age_s"] is None
    assert facts["turns"] == []
    stage.store.let_go()
    assert [stage.client.wait(slot)[0] for slot in (hanging, *gathering)] == [200] * 3
    assert activity(stage)["groups"] == []


def test_a_turn_that_waits_for_its_commit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.store.hold()
    slot = stage.client.send("alice", "add_sync_add", 5)
    stage.store.wait_held()
    [turn] = until(stage, lambda facts: facts["turns"])["turns"]

    assert turn["state"] == "waiting for a commit"
    stage.store.let_go()
    assert stage.client.wait(slot) == (200, 10)


def test_a_turn_that_waits_for_a_call_names_it_and_the_callee_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    slot = stage.client.send("alice", "call_out", ["bob", "spin", None])
    facts = until(stage, lambda facts: len(facts["turns"]) == 2)
    turns = {each["name"]: each for each in facts["turns"]}

    assert (turns["alice"]["state"], turns["alice"]["waits_for"]) == ("waiting for a call", "T/bob.spin")
    assert (turns["bob"]["called_by"], turns["bob"]["waits_for"]) == ("T/alice", None)
    spinning.over.set()
    assert stage.client.wait(slot) == (200, "over")


def test_of_a_thousand_queues_the_longest_are_shown_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    worker = stage.worker

    def line_up() -> dict[str, Any]:
        for number in range(1_000):
            for _ in range(1 + (number == 700)):
                request = Call(0, TYPE, 0, CallKind.METHOD, 0, b"%d" % number, b"read", b"", b"")
                worker.mailboxes.submit(None, request, None)
        facts, _ = worker.activity.report(3)
        while worker.mailboxes.next_turn() is not None:
            pass
        return facts

    facts = stage.do(line_up)

    assert (len(facts["queues"]), facts["queues_total"], facts["waiting_turns"]) == (3, 1_000, 1_001)
    assert (facts["queues"][0]["name"], facts["queues"][0]["turns"]) == ("700", 2)
    assert facts["queues"][0]["oldest_s"] >= 0


def test_mail_behind_a_running_turn_is_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    slots = [stage.client.send("alice", "spin"), *(stage.client.send("alice", "read") for _ in range(3))]
    [queue] = until(stage, lambda facts: facts["waiting_turns"] == 3)["queues"]

    assert (queue["type"], queue["name"], queue["turns"]) == ("T", "alice", 3)
    spinning.over.set()
    assert {stage.client.wait(slot)[0] for slot in slots} == {200}


def test_requests_of_a_function_are_shown_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    spinning = Spinning()
    stage = FunctionStage(monkeypatch, spinning, Limits(function_sandboxes_max=1))
    slots = [stage.send(), stage.send()]
    facts = until(stage, lambda facts: facts["turns"] and facts["queues"])

    assert [(each["type"], each["function"], each["method"]) for each in facts["turns"]] == [(None, "f", "fetch")]
    assert [(each["function"], each["turns"]) for each in facts["queues"]] == [("f", 1)]
    assert facts["functions"] == [{"function": "f", "sandboxes": 1, "busy": 1, "bodies": 0, "waiting": 1}]
    spinning.over.set()
    assert {stage.client.wait(slot)[0] for slot in slots} == {200}


def test_alarms_on_their_way_are_counted_and_their_turns_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    spinning = Spinning()
    host = AlarmStage(monkeypatch, spinning)
    host.set("alice", 1)
    host.clock.advance(2)
    host.stage.do(lambda: None)
    facts = until(host.stage, lambda facts: facts["turns"])

    assert facts["alarms"] == {"under_way": 1, "aside": 0, "in_line": 0}
    assert [(each["name"], each["method"], each["waited_s"]) for each in facts["turns"]] == [("alice", "alarm", None)]
    spinning.over.set()
    host.settle()
