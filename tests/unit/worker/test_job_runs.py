"""Runs: due, retried, abandoned, parked, killed with their worker."""

from __future__ import annotations

import threading
from collections.abc import Container
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.storage.jobs import DueJob, DuePage
from holdfast_host.storage.store import StoredInstance
from holdfast_host.worker.alarms.deliveries import Alarms
from holdfast_host.worker.deliveries.dispatch import READY_MAX
from holdfast_host.worker.jobs.deliveries import FUNCTION_MAX
from holdfast_host.worker.turns.turn import Turn
from tests.harness.clock import ManualClock
from tests.unit.worker.alarm_stage import set_alarm
from tests.unit.worker.job_stage import JobStage, arguments, fail, left_by_a_dead_worker, list_jobs, put
from tests.unit.worker.stage import TYPE, Guest, add


def test_a_run_runs_at_its_time_and_not_before_with_what_it_was_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    id_ = host.run("a", 10.0, method="_expire", arguments=arguments("order-17", when=1))
    due_us = host.rows("a")[0][1].due_us
    host.advance(9.999)
    before = list(host.runs)
    host.advance(0.001)

    assert before == []
    assert host.runs == [
        {
            "instance": "a", "id": id_, "kind": "run", "method": "_expire", "missed": 0, "scheduled_us": due_us,
            "retry_count": 0, "arguments": arguments("order-17", when=1),
        }
    ]  # fmt: skip
    assert host.total("a") == 1
    assert host.rows("a") == []


def test_the_job_goes_in_the_commit_that_carries_the_writes_of_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    host.run("a", 1.0)
    host.store.hold()
    host.clock.advance(1.0)
    host.stage.do(lambda: None)
    host.store.wait_held()

    assert len(host.rows("a")) == 1
    assert host.store.get(host.stored("a"), b"total") is None
    host.store.complete()
    host.store.let_go()
    host.settle()
    assert host.rows("a") == []
    assert host.store.get(host.stored("a"), b"total") == b"1"


def test_a_run_that_fails_is_tried_again_as_an_alarm_and_then_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, fail)
    host.run("a", 1.0)
    for seconds in (1, 1, 2, 4, 8, 16, 32, 600):
        host.advance(seconds)

    assert host.told == [("a", count) for count in range(7)]
    (row,) = host.jobs("a")
    assert (row["state"], row["tries"]) == ("abandoned", 6)
    assert row["last_error"] == "ActorMethodError: not today"
    assert host.stage.worker.runs.abandoned == 1
    assert host.store.get(host.stored("a"), b"total") is None


def test_a_job_of_a_turn_that_fails_never_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def put_and_fail(turn: Turn, job: Any) -> None:
        put(turn, job)
        raise HoldfastError("refused")

    host = JobStage(monkeypatch, guests={b"put_and_fail": put_and_fail})
    job = {"kind": "run", "method": "m", "arguments": arguments()}
    assert host.stage.call("a", "put_and_fail", job)[0] == 500
    host.advance(1.0)

    assert host.runs == []
    assert host.rows("a") == []


def test_a_job_that_is_cancelled_or_replaced_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    first = host.run("a", 5.0)
    host.run("a", 5.0, key="k", method="_old")
    host.run("a", 5.0, key="k", method="_new")
    assert host.stage.call("a", "cancel", {"id": first}) == (200, True)
    assert host.stage.call("a", "cancel", {"id": first}) == (200, False)
    assert host.stage.call("a", "cancel", {"key": "other"}) == (200, False)
    host.advance(5.0)

    assert [each["method"] for each in host.runs] == ["_new"]


def test_a_turn_lists_its_jobs_its_own_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests={b"put_and_list": lambda turn, job: (put(turn, job), list_jobs(turn, None))[1]})
    first = host.run("a", 5.0, key="k", method="_later")
    status, page = host.stage.call("a", "put_and_list", {"kind": "run", "method": "_now", "arguments": arguments()})

    assert status == 200
    assert page["next"] == ""
    by_method = {each["method"]: each for each in page["jobs"]}
    assert by_method.keys() == {"_later", "_now"}
    assert by_method["_later"] == {
        "id": first, "kind": "run", "state": "armed", "due_us": host.clock.wall_us() + 5_000_000, "key": "k",
        "method": "_later", "tries": 0,
    }  # fmt: skip


def test_a_parked_run_is_taken_up_when_its_type_is_deployed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    host.run("a", 1.0)
    host.stage.do(lambda: host.stage.worker.deployments.remove("f"))
    host.advance(1.0)
    parked = [each["state"] for each in host.jobs("a")]
    host.stage.do(host.stage.deploy)
    host.stage.do(lambda: host.stage.worker.timers.take_up_parked([TYPE]))
    host.settle()

    assert parked == ["parked"]
    assert host.told == [("a", 0)]


def test_a_run_that_was_on_its_way_to_be_parked_when_its_type_was_deployed_again_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = JobStage(monkeypatch)
    host.run("a", 1.0)
    host.stage.do(lambda: host.stage.worker.deployments.remove("f"))
    host.store.hold()
    host.clock.advance(1.0)
    host.stage.do(lambda: None)
    host.store.wait_held()
    host.stage.do(host.stage.deploy)
    host.stage.do(lambda: host.stage.worker.timers.take_up_parked([TYPE]))
    host.stage.do(lambda: None)  # what is parked was read: nothing yet
    host.store.let_go()
    host.settle()

    assert host.told == [("a", 0)]


def test_a_run_that_is_being_taken_up_is_not_taken_a_second_time_where_a_page_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A commit is seen by whoever reads before the leader hears that it is settled."""
    host = JobStage(monkeypatch)
    id_ = bytes.fromhex(host.run("a", 1.0))
    host.stage.do(lambda: host.stage.worker.deployments.remove("f"))
    host.advance(1.0)
    due_us = host.rows("a")[0][1].due_us
    host.store.hold()
    host.stage.do(host.stage.deploy)
    host.stage.do(lambda: host.stage.worker.timers.take_up_parked([TYPE]))
    host.stage.do(lambda: None)
    host.store.wait_held()

    def show() -> None:
        runs = host.stage.worker.runs
        page = runs._open_page(host.clock.wall_us())
        page.found = DuePage([DueJob(due_us, host.stored("a"), id_)], {0: (host.clock.wall_us() + 1, 0, b"")}, True)
        runs._have_due(page)

    host.stage.do(show)
    host.store.let_go()
    host.settle()

    assert host.told == [("a", 0)]
    assert host.rows("a") == []


def test_what_would_be_parked_again_at_once_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a quarantined instance with more than a page of parked runs, each page would be taken up for ever."""
    host = JobStage(monkeypatch)
    mailboxes = host.stage.worker.mailboxes
    for name in ("a", "b"):
        for _ in range(100 if name == "a" else 1):
            host.run(name, 1.0)
    host.stage.do(lambda: mailboxes.set_quarantined([(TYPE, "a"), (TYPE, "b")]))
    host.advance(1.0)
    assert {each["state"] for name in ("a", "b") for each in host.jobs(name)} == {"parked"}
    commits = len(host.store.groups)
    host.stage.do(lambda: mailboxes.set_quarantined([(TYPE, "a")]))
    host.stage.do(lambda: host.stage.worker.timers.take_up_parked([TYPE]))
    host.settle()

    assert host.told == [("b", 0)]
    assert len(host.rows("a")) == 100
    assert len(host.store.groups) - commits <= 4
    host.stage.do(lambda: mailboxes.set_quarantined([]))
    host.stage.do(lambda: host.stage.worker.timers.take_up_parked([TYPE]))
    host.settle()
    assert host.total("a") == 100


def test_what_is_parked_of_a_type_that_is_not_deployed_is_not_read_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have been undeployed while it was taken up."""
    host = JobStage(monkeypatch)
    host.run("a", 1.0)
    host.stage.do(lambda: host.stage.worker.deployments.remove("f"))
    host.advance(1.0)
    read: list[int] = []

    def parked(type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[tuple[StoredInstance, bytes]]:
        read.append(type_id)
        return [(host.stored("a"), id_) for id_, _ in host.rows("a")]

    monkeypatch.setattr(host.store.jobs, "parked", parked)
    host.stage.do(lambda: host.stage.worker.timers.take_up_parked([TYPE]))
    for _ in range(20):
        host.stage.do(lambda: None)

    assert read == []
    assert [each["state"] for each in host.jobs("a")] == ["parked"]


def test_a_run_that_was_under_way_when_its_worker_died_is_told_and_in_the_end_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is due at a start is written down before it runs: if it kills again, that is seen, and counts."""
    clock = ManualClock()
    first = JobStage(monkeypatch, clock=clock)
    first.run("a", 1.0)
    store, third_store = left_by_a_dead_worker(first.store), left_by_a_dead_worker(first.store)
    clock.advance(5.0)
    seen: list[bool] = []
    second = JobStage(monkeypatch, store=store, clock=clock)
    second.handler = lambda turn, info: seen.append(second.rows("a")[0][1].begun)
    second.settle()
    assert seen == [True]

    row = third_store._rows[TYPE, b"a"]
    ((id_, job),) = row.jobs.items()
    row.jobs[id_] = type(job)(**{**{f: getattr(job, f) for f in job.__slots__}, "begun": True})
    third = JobStage(monkeypatch, store=third_store, clock=clock)
    third.settle()
    assert third.runs == []
    ((_, left),) = third.rows("a")
    assert (left.state, left.retry_count, left.killed, left.begun) == ("retrying", 1, True, False)


def test_what_was_set_while_no_worker_ran_is_found_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    first = JobStage(monkeypatch, clock=clock)
    for number in range(600):
        first.run(f"n{number % 3}", 5.0 + number)
    store = left_by_a_dead_worker(first.store)
    clock.advance(3600.0)
    second = JobStage(monkeypatch, store=store, clock=clock)
    second.settle()

    assert len(second.runs) == 600
    assert sum(second.total(f"n{number}") for number in range(3)) == 600


def test_an_instance_with_thousands_of_due_jobs_runs_them_all_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than may be held of an instance is read again by itself, until it has gone."""

    def put_many(turn: Turn, count: int) -> None:
        for _ in range(count):
            put(turn, {"kind": "run", "method": "m", "arguments": arguments()})

    host = JobStage(monkeypatch, guests={b"put_many": put_many})
    assert host.stage.call("a", "put_many", 200)[0] == 200
    assert host.stage.call("a", "put_many", 200)[0] == 200
    host.run("b")
    host.settle()

    assert (host.total("a"), host.total("b")) == (400, 1)
    assert host.rows("a") == []


@pytest.mark.parametrize(
    ("job", "what"),
    [
        ([], "one JSON object"),
        ({}, "kind of a job is None: it must be one of run, call, http"),
        ({"kind": "run", "arguments": arguments()}, "method of a job is ''"),
        ({"kind": "run", "method": "m"}, "arguments of a job must be"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "then": "x"}, "kind run has no member 'then'"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "due_us": 1.5}, "due_us of a job is 1.5"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "due_us": 1 << 62}, "within 10 years"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "key": ""}, "key of a job must have 1 to 255 bytes"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "key": "é" * 128}, "key of a job must have 1 to 255"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "tz": "UTC"}, "tz of a job needs a cron"),
        ({"kind": "run", "method": "m", "arguments": arguments(), "cron": "0 9 * *"}, "cron of a job: "),
        ({"kind": "run", "method": "m", "arguments": arguments(), "cron": "@daily", "tz": "Mars/X"}, "is no time zone"),
        ({"kind": "http", "request": {"method": "GET", "url": "x", "redirects": True}}, "cannot have redirects"),
        ({"kind": "http", "request": {"method": "GET"}}, "url of a job is ''"),
        ({"kind": "http", "request": {"method": "GET", "url": "x", "headers": [["a b", "c"]]}}, "no name of a header"),
        ({"kind": "call", "binding": "T", "name": "b", "arguments": arguments()}, "method of a job is ''"),
    ],
)
def test_a_job_that_breaks_a_rule_is_refused_by_name_and_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, job: Any, what: str
) -> None:
    host = JobStage(monkeypatch)

    assert what in host.refused("a", job)
    assert host.rows("a") == []


def test_a_component_without_the_export_can_make_no_job_and_one_it_has_fails_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = JobStage(monkeypatch)
    host.run("a", 1.0)
    del host.stage.guests[b"job"]
    host.stage.do(host.stage.deploy)
    assert "exports no `job`" in host.refused("b", {"kind": "run", "method": "m", "arguments": arguments()})
    host.advance(1.0)

    (row,) = host.jobs("a")
    assert row["last_error"].startswith("ActorUnknownMethodError: T runs no jobs in version 1 of 'f'")


@pytest.mark.parametrize(("turn_s", "let_in"), [(0.01, 4), (0.0002, 10), (0.00005, 12)])
def test_so_many_runs_are_let_in_at_once_as_take_two_milliseconds(
    monkeypatch: pytest.MonkeyPatch, turn_s: float, let_in: int
) -> None:
    """They share a commit; and no call finds more of them before it."""
    ready: list[int] = []
    host = JobStage(monkeypatch, lambda *_: ready.append(host.stage.worker.runs._ready + 1))
    for number in range(12):
        host.run(f"n{number}", 1.0)
    host.settle()
    host.stage.do(lambda: setattr(host.stage.worker.runs, "_turn_s", turn_s))

    host.advance(1.0)
    assert len(ready) == 12
    assert ready[0] == max(ready) == let_in


def test_slow_jobs_delay_no_alarm_and_no_call_and_all_of_them_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than a function may have under way; what is left over runs when they are done."""
    monkeypatch.setitem(FUNCTION_MAX, "run", 8)
    ran, go_on = threading.Event(), threading.Event()
    guests: dict[bytes, Guest] = {b"alarm": lambda turn, info: ran.set(), b"set": set_alarm}
    host = JobStage(monkeypatch, lambda turn, info: go_on.wait(30) and add(turn, 1), guests=guests)
    for number in range(12):
        host.run(f"n{number}", 1.0)
    host.clock.advance(1.0)
    assert host.stage.call("a", "set", host.clock.wall_us()) == (200, None)

    assert ran.wait(10)
    assert host.stage.call("b", "add", 5) == (200, 5)
    assert host.stage.do(lambda: len(host.stage.worker.runs.under_way)) == 8
    go_on.set()
    host.settle()
    assert len(host.runs) == 12


def test_with_one_pool_for_both_an_alarm_would_wait_until_slow_jobs_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mechanism."""
    monkeypatch.setitem(FUNCTION_MAX, "run", 8)
    ran, go_on = threading.Event(), threading.Event()
    guests: dict[bytes, Guest] = {b"alarm": lambda turn, info: ran.set(), b"set": set_alarm}
    host = JobStage(monkeypatch, lambda turn, info: go_on.wait(30) and add(turn, 1), guests=guests)
    runs = host.stage.worker.runs
    monkeypatch.setattr(Alarms, "_ready_max", lambda alarms: 0 if len(runs._under_way) >= 8 else READY_MAX)
    for number in range(12):
        host.run(f"n{number}", 1.0)
    host.clock.advance(1.0)
    while host.stage.do(lambda: len(runs._under_way)) < 8:
        pass
    assert host.stage.call("a", "set", host.clock.wall_us()) == (200, None)
    for _ in range(100):
        host.stage.do(lambda: None)

    assert not ran.is_set()
    go_on.set()
    assert ran.wait(10)
    host.settle()
