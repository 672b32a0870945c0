"""A job's call that may have taken effect already: repeated while its answer is kept, given up as unknown past that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.errors import (
    ActorError,
    ActorMethodError,
    ActorOutputGateError,
    ActorUnknownMethodError,
    HoldfastError,
    HostUnavailableError,
)
from holdfast_host.storage.jobs import Job
from holdfast_host.worker.inspection.edits import _EDITS
from holdfast_host.worker.jobs.outcomes import Answer, judge
from tests.harness.clock import ManualClock
from tests.unit.worker.job_stage import SECOND, JobStage, left_by_a_dead_worker
from tests.unit.worker.stage import TYPE
from tests.unit.worker.test_job_outcomes import HOUR_S, LIMITS, call_job, receiving


def test_a_successor_repeats_a_call_whose_answer_was_lost_and_it_has_its_effect_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The callee kept its answer under the job's id: the job's row goes only with what its instance was told."""
    keys: list[str] = []
    clock = ManualClock()
    first = JobStage(monkeypatch, clock=clock, guests=receiving(keys))
    held: list[Any] = []
    first.stage.worker.job_calls.answered = lambda *lost: held.append(lost)  # type: ignore[method-assign]
    first.put("a", call_job("b", "receive", 5, then="_sent"))
    while not held:
        first.stage.do(lambda: None)
    store = left_by_a_dead_worker(first.store)
    second = JobStage(monkeypatch, store=store, clock=clock, guests=receiving(keys))
    second.settle()

    assert len(keys) == 1, "the second call was answered with what is kept"
    assert second.total("b") == 5
    assert [each["outcome"]["result"] for each in second.runs] == [5]


def test_a_call_is_not_tried_again_once_what_was_kept_of_its_first_try_may_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    host = JobStage(monkeypatch, guests=receiving(keys, [HostUnavailableError("busy")] * 2))
    host.put("a", call_job("b", then="_sent"))
    host.settle()
    assert host.rows("a")[0][1].tried_us == host.clock.wall_us()
    host.advance(23.5 * HOUR_S)

    assert len(keys) == 1
    (told,) = host.runs
    assert (told["outcome"]["ok"], told["outcome"]["unknown"], told["outcome"]["tries"]) == (False, True, 1)


def test_a_call_that_is_tried_past_what_was_kept_takes_effect_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run without the rule: an answer that was lost, an hour before the callee forgets, and a try after that."""
    keys: list[str] = []
    host = JobStage(monkeypatch, guests=receiving(keys))
    host.stage.worker.job_calls._known_us = lambda: 1 << 62  # type: ignore[method-assign]
    answered = host.stage.worker.job_calls.answered
    lost: list[Any] = []

    def lose(delivery: Any, answer: Answer) -> None:
        """The first answer never comes."""
        if not lost:
            lost.append(answer)
            error = HostUnavailableError("its worker died")
            answer = Answer(error.status, error.to_json())
        answered(delivery, answer)

    host.stage.worker.job_calls.answered = lose  # type: ignore[method-assign]
    host.put("a", call_job("b", "receive", 5, then="_sent"))
    host.settle()
    host.stage.do(lambda: host.store._rows[TYPE, b"b"].receipts.clear())  # a day and an hour later
    host.advance(25 * HOUR_S)

    assert host.total("b") == 10


def test_a_call_whose_effect_nobody_knows_is_abandoned_and_tried_again_only_if_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    guests = receiving(keys, [HostUnavailableError("busy")])
    guests[b"retry"] = lambda turn, given: _EDITS[b"retry_job"](turn).decode()
    host = JobStage(monkeypatch, guests=guests)
    id_ = host.put("a", call_job("b"))
    host.settle()
    host.advance(24 * HOUR_S)
    (row,) = host.jobs("a")
    assert (row["state"], row["unknown"]) == ("abandoned", True)

    status, refused = host.stage.call("a", "retry", [id_, False])
    assert status == 500
    assert "took effect is unknown: again=true" in refused["error"]["message"]
    assert host.stage.call("a", "retry", [id_, True])[0] == 200
    host.settle()
    assert (len(keys), host.total("b"), host.rows("a")) == (2, 1, [])


def test_a_call_that_is_tried_again_by_an_operator_is_not_tried_past_what_was_kept_of_its_first_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first try had its effect, and the answer was lost: only that the effect may be had twice is `again`'s."""
    guests = receiving([])
    guests[b"retry"] = lambda turn, given: _EDITS[b"retry_job"](turn).decode()
    host = JobStage(monkeypatch, guests=guests)
    answered = host.stage.worker.job_calls.answered
    lost: list[Any] = []

    def lose(delivery: Any, answer: Answer) -> None:
        if not lost:
            lost.append(answer)
            error = HostUnavailableError("its worker died")
            answer = Answer(error.status, error.to_json())
        answered(delivery, answer)

    host.stage.worker.job_calls.answered = lose  # type: ignore[method-assign]
    id_ = host.put("a", call_job("b", "receive", 5, then="_sent"))
    host.settle()

    def wait_a_day() -> None:
        jobs = host.store._rows[TYPE, b"a"].jobs
        jobs[bytes.fromhex(id_)] = replace(jobs[bytes.fromhex(id_)], due_us=host.clock.wall_us() + 48 * HOUR_S * SECOND)
        host.store._rows[TYPE, b"b"].receipts.clear()

    host.stage.do(wait_a_day)
    host.advance(25 * HOUR_S)
    assert host.runs == []
    assert host.stage.call("a", "retry", [id_, False])[0] == 200
    host.settle()

    assert host.total("b") == 5
    (told,) = host.runs
    assert (told["outcome"]["ok"], told["outcome"]["unknown"]) == (False, True)


@pytest.mark.parametrize(
    ("last", "unknown"),
    [
        (HostUnavailableError("did not run"), True),
        (ActorUnknownMethodError("gone in this version"), True),
        (ActorOutputGateError("lost"), True),
        (ActorMethodError("not today"), False),
        (ActorError("closed"), False),
    ],
)
def test_what_one_try_left_unknown_stays_so_until_the_callee_itself_has_answered(
    last: HoldfastError, unknown: bool
) -> None:
    """A turn of the callee looks for what is kept of the earlier try; who refuses before that does not know."""
    first = ActorOutputGateError("its worker died")
    limits = LIMITS.replace(job_tries_max=3)
    after = judge(Job("call", 1), Answer(first.status, first.to_json()), 0, limits)
    busy = HostUnavailableError("busy")
    after = judge(after, Answer(busy.status, busy.to_json()), 0, limits)
    over = judge(after, Answer(last.status, last.to_json()), 0, limits)

    assert (after.state, after.unknown) == ("retrying", True)
    assert json.loads(over.outcome)["unknown"] == over.unknown == unknown
    assert not judge(after, Answer(200, b"5"), 0, limits).unknown
