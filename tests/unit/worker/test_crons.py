"""Crons: at each of their times, whatever clocks, handlers and operators do."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.clock import utc_text
from holdfast_host.core.cron import next_after
from holdfast_host.storage.store import Changes
from holdfast_host.storage.turn_jobs import TurnJobs
from holdfast_host.worker.inspection.edits import _EDITS
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.job_stage import SECOND, JobStage, arguments, cancel, put
from tests.unit.worker.stage import add


def test_a_cron_runs_at_each_of_its_times_and_says_what_it_slept_through(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    id_ = host.run("a", cron="*/10 * * * *", key="tick")
    for _ in range(3):
        host.advance((host.rows("a")[0][1].due_us - host.clock.wall_us()) / 1e6)
    host.advance(3600.0)

    assert [each["missed"] for each in host.runs] == [0, 0, 0, 5]
    assert [each["cron"] for each in host.runs] == ["*/10 * * * *"] * 4
    assert {each["id"] for each in host.runs} == {id_}
    times = [utc_text(each["scheduled_us"])[14:19] for each in host.runs]
    assert all(time.endswith("0:00") for time in times)
    assert host.total("a") == 4


def test_a_cron_that_the_constructor_says_again_at_each_activation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cron = {"kind": "run", "method": "_tick", "arguments": arguments(), "cron": "0 * * * *", "key": "tick"}
    host = JobStage(monkeypatch, lambda turn, info: (put(turn, cron), add(turn, 1)))
    first = host.put("a", cron)
    for _ in range(3):
        host.advance(1800.0)
        assert host.put("a", cron) == first
        host.advance(1800.0)

    assert host.total("a") == 3


@pytest.mark.parametrize("replaces", [False, True])
def test_a_cron_that_is_said_again_when_it_is_due_runs_then_and_would_never_if_the_same_again_replaced_it(
    monkeypatch: pytest.MonkeyPatch, replaces: bool
) -> None:
    """As a constructor says it, where a call comes before the run."""
    if replaces:
        put_job = TurnJobs.put_job
        monkeypatch.setattr(TurnJobs, "put_job", lambda turn, job: put_job(turn, replace(job, repeats=False)))
    began, go_on = threading.Event(), threading.Event()
    cron = {"kind": "run", "method": "_tick", "arguments": arguments(), "cron": "0 * * * *", "key": "tick"}

    def take_long(turn: Turn, _: Any) -> None:
        began.set()
        go_on.wait(30)

    host = JobStage(monkeypatch, guests={b"take_long": take_long})
    first = host.put("a", cron)
    due_us = host.rows("a")[0][1].due_us
    long = host.stage.client.send("a", "take_long")
    assert began.wait(10)
    said = host.stage.client.send("a", "put", cron)
    host.stage.do(lambda: None)
    host.clock.advance((due_us - host.clock.wall_us()) / SECOND + 1)
    go_on.set()
    assert host.stage.client.wait(long)[0] == 200
    status, again = host.stage.client.wait(said)
    host.settle()

    assert status == 200
    assert (again == first) == (not replaces)
    assert len(host.runs) == (not replaces)
    assert host.rows("a")[0][1].due_us == due_us + 3600 * SECOND


def test_a_cron_whose_handler_cancels_it_or_says_another_time_does_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    cron = {"kind": "run", "method": "_tick", "arguments": arguments(), "cron": "0 * * * *", "key": "tick"}
    host = JobStage(monkeypatch, lambda turn, info: cancel(turn, {"key": "tick"}))
    host.put("a", cron)
    host.advance(3600.0)
    assert host.rows("a") == []
    host.handler = lambda turn, info: put(turn, {**cron, "cron": "@daily"})
    host.put("a", cron)
    host.advance(3600.0)
    assert [each["cron"] for each in host.jobs("a")] == ["@daily"]


def test_a_cron_with_a_clock_that_is_set_back_runs_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    host.run("a", cron="0 * * * *")
    host.advance(3600.0)
    host.clock._wall_us -= 1800 * 1_000_000
    host.settle()
    host.advance(1800.0)
    assert len(host.runs) == 1
    host.advance(3600.0)
    assert len(host.runs) == 2


@pytest.mark.parametrize(("by_the_clock", "runs"), [(False, 1), (True, 2)])
def test_a_cron_runs_an_hour_once_though_its_clock_is_set_back_meanwhile_and_twice_if_only_the_clock_said_what_is_next(
    monkeypatch: pytest.MonkeyPatch, by_the_clock: bool, runs: int
) -> None:
    host = JobStage(monkeypatch)

    def set_back_once(turn: Turn, info: dict[str, Any]) -> None:
        if len(host.runs) == 1:
            host.clock._wall_us -= 1800 * SECOND

    def finish(turn: TurnJobs, changes: Changes, taken: bytes) -> None:
        assert turn._taken_next is not None
        due_us = next_after("0 * * * *", "UTC", host.clock.wall_us())
        changes.jobs = {taken: replace(turn._taken_next, due_us=due_us, scheduled_us=due_us)}

    if by_the_clock:
        monkeypatch.setattr(TurnJobs, "_finish_taken", finish)
    host.handler = set_back_once
    host.run("a", cron="0 * * * *")
    host.advance((host.rows("a")[0][1].due_us - host.clock.wall_us()) / SECOND)
    host.advance(1800.0)

    assert len(host.runs) == runs
    assert len({each["scheduled_us"] for each in host.runs}) == 1


def test_a_cron_that_an_operator_runs_now_runs_at_its_next_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests={b"retry": lambda turn, given: _EDITS[b"retry_job"](turn).decode()})
    id_ = host.run("a", cron="0 * * * *")
    next_us = host.rows("a")[0][1].due_us
    host.advance(60.0)
    assert host.stage.call("a", "retry", [id_, False])[0] == 200
    host.settle()

    assert [each["missed"] for each in host.runs] == [0]
    assert host.rows("a")[0][1].due_us == next_us
