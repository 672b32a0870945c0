"""Alarms beside what else happens: clocks that jump, classes that go, a host that stops, turns that compute."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import Alarm, Batch, Changes
from holdfast_host.worker.turns.turn import Turn
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.alarm_stage import (
    SECOND,
    AlarmStage,
    fail,
)
from tests.unit.worker.stage import TYPE


def test_a_clock_that_jumps_ahead_loses_no_alarm_and_fires_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    names = [f"n{number}" for number in range(50)]
    for number, name in enumerate(names):
        host.set(name, 3600.0 * (number + 1))
    host.advance(3600.0 * 25)
    half = list(host.runs)
    host.advance(3600.0 * 1000)

    assert half == [(name, 0) for name in names[:25]]
    assert host.runs == [(name, 0) for name in names]


def test_the_leader_looks_at_the_clock_every_second_however_far_away_the_earliest_alarm_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = AlarmStage(monkeypatch)
    host.set("far", 50.0)
    host.settle()
    assert host.stage.do(lambda: host.stage.worker.alarms.wait_s(1.0)) == 1.0
    host.set("a", 0.25)
    host.settle()
    assert host.stage.do(lambda: host.stage.worker.alarms.wait_s(1.0)) == 0.25


def test_a_clock_that_is_set_back_fires_none_again_and_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    host.set("ran", 10.0)
    host.set("waits", 30.0)
    host.advance(20.0)
    host.clock._wall_us -= 3600 * SECOND
    host.settle()
    host.set("new", 5.0)
    host.advance(10.0)
    after_the_jump = list(host.runs)
    host.advance(3600.0)

    assert after_the_jump == [("ran", 0), ("new", 0)]
    assert host.runs == [("ran", 0), ("new", 0), ("waits", 0)]


def test_an_alarm_taken_up_just_before_the_clock_is_set_back_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    hold, held = threading.Event(), threading.Event()

    def busy(turn: Turn, _: Any) -> None:
        held.set()
        hold.wait(10)

    host.stage.guests[b"busy"] = busy
    host.stage.deploy()
    host.set("a", 1.0)
    slot = host.stage.client.send("a", "busy")
    assert held.wait(10)
    host.clock.advance(1.0)
    while not host.stage.do(lambda: host.stage.worker.alarms._under_way):
        pass
    host.clock._wall_us -= 60 * SECOND
    hold.set()
    host.stage.client.wait(slot)
    host.settle()
    early = list(host.runs)
    host.advance(60.0)

    assert early == []
    assert host.runs == [("a", 0)]


def test_an_alarm_without_its_class_is_parked_and_taken_up_when_the_class_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = AlarmStage(monkeypatch, fail)
    host.set("fresh", 5.0)
    host.set("retrying", 1.0)
    host.advance(1.0)
    loaded = host.stage.do(lambda: host.stage.worker.deployments._by_type.pop(TYPE))
    host.advance(10_000)
    parked = {name: host.row(name) for name in ("fresh", "retrying")}
    host.handler = None
    host.stage.do(lambda: host.stage.worker.deployments._by_type.__setitem__(TYPE, loaded))
    host.stage.do(lambda: host.stage.worker.alarms.take_up_parked([TYPE]))
    host.settle()

    assert [(row.state, row.retry_count) for row in parked.values() if row] == [("parked", 0), ("parked", 1)]
    assert sorted(host.runs) == [("fresh", 0), ("retrying", 0), ("retrying", 1)]
    assert host.row("fresh") is host.row("retrying") is None


def test_hundreds_of_parked_alarms_are_taken_up_at_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    rows = [store.locate(TYPE, b"n%03d" % number) for number in range(300)]
    parked = Alarm(due_us=5, scheduled_us=5, state="parked")
    store.commit(2, [Batch(each, Changes(alarm=parked, alarm_changed=True)) for each in rows])
    host = AlarmStage(monkeypatch, store=store)
    host.stage.do(lambda: host.stage.worker.alarms.take_up_parked([TYPE]))
    host.settle()

    assert len(host.runs) == len(set(host.runs)) == 300


def test_no_alarm_begins_while_the_host_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    drained = threading.Event()
    host.set("a", 1.0)
    host.stage.do(lambda: host.stage.worker.loop.drain(drained.set))
    host.clock.advance(10.0)
    host.stage.do(lambda: None)
    host.stage.do(lambda: None)

    assert drained.wait(5)
    assert host.runs == []
    assert host.row("a") is not None
    assert host.stage.do(lambda: host.stage.worker.alarms.wait_s(1.0)) == 1.0


def test_a_handler_whose_writes_were_lost_has_failed_and_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    host.set("a", 1.0)
    host.store.lose_next([b"a"])
    host.clock.advance(1.0)
    host.stage.do(lambda: None)
    while (row := host.row("a")) is not None and row.retry_count == 0:
        host.stage.do(lambda: None)
    assert row is not None
    assert "StorageFullError" in row.last_error
    host.advance(1.0)

    assert host.runs == [("a", 0), ("a", 1)]
    assert host.row("a") is None
    assert host.total("a") == 1


def test_an_alarm_does_not_wait_for_another_instance_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    ran = threading.Event()
    host.handler = lambda turn, info: ran.set()
    host.set("a", 1.0)
    slow = host.stage.client.send("slow", "compute", 5.0)
    while not host.stage.do(lambda: host.stage.worker.running):
        pass
    host.clock.advance(1.0)

    assert ran.wait(3)
    assert not host.stage.client.answered(slow)


@pytest.mark.limit("alarm_timeout_s")
def test_the_time_of_a_handler_is_the_alarms_and_not_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(method_timeout_s=0.05, alarm_timeout_s=0.3, alarm_retries_max=0)
    host = AlarmStage(monkeypatch, limits=limits)
    host.handler = lambda turn, info: host.stage.guests[b"compute"](
        turn, {b"short": 0.15, b"long": 5.0}[turn.entry.stored.name]
    )
    host.set("short", 1.0)
    host.set("long", 1.0)
    host.advance(1.0)
    row = host.row("long")

    assert host.row("short") is None
    assert row is not None
    assert row.state == "abandoned"
    assert "over its budget of 0.3 s" in row.last_error


def test_an_alarm_finds_room_in_a_full_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch, limits=Limits(mailbox_turns_max=2))
    hold, held = threading.Event(), threading.Event()

    def busy(turn: Turn, _: Any) -> None:
        held.set()
        hold.wait(10)

    host.stage.guests[b"busy"] = busy
    host.stage.deploy()
    host.set("a", 1.0)
    slots = [host.stage.client.send("a", "busy")]
    assert held.wait(10)
    slots += [host.stage.client.send("a", "add", 1)]
    host.stage.call("other", "read")
    host.clock.advance(1.0)
    while not host.stage.do(lambda: host.stage.worker.alarms._under_way):
        pass
    slots += [host.stage.client.send("a", "add", 1)]
    refused = host.stage.call("a", "add", 1)
    hold.set()
    replies = [host.stage.client.wait(slot)[0] for slot in slots]
    host.settle()

    assert refused[0] == 429
    assert replies == [200, 200, 200]
    assert host.runs == [("a", 0)]
    assert host.stage.do(lambda: host.stage.worker.mailboxes.waiting_turns) == 0
