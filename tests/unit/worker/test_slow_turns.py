"""A line in the log for a turn that others waited for, or that ran over a second; and no flood of them."""

from __future__ import annotations

import json
import queue
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.worker.inspection import slow_turns
from holdfast_host.worker.inspection.slow_turns import LINE_EVERY_S, LINES_AT_ONCE, LineBudget
from holdfast_host.worker.logs.output import Output
from tests.unit.worker.stage import Stage
from tests.unit.worker.test_activity import spinning_stage
from tests.unit.worker.test_calls import calling_stage

Line = tuple[str, str, dict[str, Any]]


class Lines:
    """What a worker's own log is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
        self._told: queue.Queue[Line] = queue.Queue()
        output = stage.worker.output
        monkeypatch.setattr(output, "event", lambda level, event, **facts: self._told.put((level, event, facts)))

    def next(self) -> Line:
        return self._told.get(timeout=10)

    def assert_none(self) -> None:
        assert self._told.empty(), self._told.get()


@pytest.fixture
def short_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long to a test."""
    monkeypatch.setattr(slow_turns, "SLOW_S", 0.05)


def test_a_turn_that_others_waited_for_is_told_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    lines = Lines(monkeypatch, stage)
    slot = stage.client.send("alice", "spin")
    assert stage.call("bob", "read") == (200, 0)
    lines.assert_none()
    spinning.over.set()
    assert stage.client.wait(slot) == (200, "over")
    level, event, facts = lines.next()

    assert (level, event) == ("info", "a turn lost the lead: others waited")
    assert (facts["instance"], facts["method"], facts["outcome"], facts["function"]) == ("T/alice", "spin", "ok", "f")
    assert facts["age_s"] > 0
    assert facts["turn"]
    assert facts["activated"] is True


@pytest.mark.usefixtures("short_second")
def test_a_turn_that_runs_for_long_is_told_while_it_runs_with_its_place_and_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    lines = Lines(monkeypatch, stage)
    monkeypatch.setattr(slow_turns, "stands", lambda turn: f"{turn.entry.label} stands here")
    slot = stage.client.send("alice", "spin")
    stage.call("bob", "read")
    level, event, facts = lines.next()
    assert (level, event) == ("warning", "a turn runs for long")
    assert (facts["instance"], facts["state"], facts["stands"]) == ("T/alice", "computing", "T/alice stands here")
    spinning.over.set()
    stage.client.wait(slot)
    level, event, ended = lines.next()

    assert (level, event, ended["outcome"]) == ("warning", "a turn has run for long", "ok")
    assert (ended["instance"], ended["turn"]) == (facts["instance"], facts["turn"])
    assert ended["age_s"] > facts["age_s"]
    lines.assert_none()


@pytest.mark.usefixtures("short_second")
def test_a_turn_that_ran_for_long_while_nobody_waited_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, Limits(promotion_after_s=30.0))
    lines = Lines(monkeypatch, stage)
    assert stage.call("alice", "compute", 0.1) == (200, "computed")
    _, event, facts = lines.next()

    assert (event, facts["instance"]) == ("a turn has run for long", "T/alice")


@pytest.mark.usefixtures("short_second")
def test_a_turn_that_waits_for_long_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    lines = Lines(monkeypatch, stage)
    slot = stage.client.send("alice", "call_out", ["bob", "spin", None])
    stage.call("carol", "read")
    told = {facts["instance"]: facts for _, _, facts in (lines.next(), lines.next())}
    spinning.over.set()
    stage.client.wait(slot)

    assert told["T/alice"]["waits_for"] == "T/bob.spin"
    assert "waits_for" not in told["T/bob"]


def test_a_turn_that_waits_for_a_call_and_is_soon_over_is_nobodys_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch, Limits(promotion_after_s=30.0))
    lines = Lines(monkeypatch, stage)
    stage.store.hold()  # the call of a turn whose instance has unsettled writes leaves when they are durable
    first = stage.client.send("alice", "add", 1)
    stage.store.wait_held()
    second = stage.client.send("alice", "call_out", ["bob", "read", None])
    stage.store.let_go()

    assert [stage.client.wait(slot) for slot in (first, second)] == [(200, 1), (200, 0)]
    assert stage.call("carol", "add", 1) == (200, 1)
    lines.assert_none()


def test_a_flood_of_slow_turns_leaves_a_bounded_number_of_lines_and_says_how_many_it_left_out() -> None:
    budget = LineBudget(LINES_AT_ONCE, LINE_EVERY_S)
    begins = budget._at
    told = [taken for each in range(100_000) if (taken := budget.take(begins + each / 1_000)) is not None]

    assert len(told) == LINES_AT_ONCE + 100 / LINE_EVERY_S - 1
    assert told[:LINES_AT_ONCE] == [0] * LINES_AT_ONCE
    assert sum(told) + len(told) > 98_000
    assert all(980 < each < 1_001 for each in told[LINES_AT_ONCE + 1 :])


def test_promoted_turns_past_the_budget_leave_no_line_until_there_is_one_that_counts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    lines = Lines(monkeypatch, stage)
    budget = stage.worker.slow_turns._promoted = LineBudget(1, 3600.0)
    for name in ("alice", "bob", "carol"):
        spinning.over.clear()
        slot = stage.client.send(name, "spin")
        stage.call("dave", "read")
        spinning.over.set()
        stage.client.wait(slot)

    assert lines.next()[2]["instance"] == "T/alice"
    lines.assert_none()
    assert budget.take(budget._at + 3600.0) == 2


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_line_has_its_facts_in_both_formats(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    stage, spinning = spinning_stage(monkeypatch)
    output = Output(3, "info", log_format=log_format)
    monkeypatch.setattr(stage.worker.slow_turns, "_output", output)
    slot = stage.client.send("alice", "spin")
    stage.call("bob", "read")
    spinning.over.set()
    stage.client.wait(slot)
    output.flush()
    [line] = capfd.readouterr().err.splitlines()

    if log_format == "json":
        facts = json.loads(line)
        assert (facts["process"], facts["level"], facts["instance"]) == ("worker 3", "info", "T/alice")
        assert facts["message"] == "a turn lost the lead: others waited"
    else:
        assert " info worker 3 a turn lost the lead: others waited instance=T/alice " in line
        assert " method=spin " in line
