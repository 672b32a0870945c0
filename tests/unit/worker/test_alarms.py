"""Alarms and their rows: due, retried, abandoned, moved, killed with their worker."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.imports import HANDLERS
from holdfast_host.storage.store import Alarm, Batch, Changes
from holdfast_host.worker.alarms.queries import types_with_alarms
from holdfast_host.worker.turns.turn import Turn
from tests.harness.clock import ManualClock
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.alarm_stage import (
    SECOND,
    AlarmStage,
    fail,
    left_by_a_dead_worker,
    set_alarm,
)
from tests.unit.worker.stage import TYPE, Stage, add


def test_an_alarm_runs_at_its_time_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    host.set("a", 10.0)
    host.advance(9.999)
    before = list(host.runs)
    host.advance(0.001)

    assert before == []
    assert host.runs == [("a", 0)]
    assert host.total("a") == 1


def test_the_worker_wakes_by_itself_for_an_alarm_that_was_set_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = threading.Event()
    stage = Stage(monkeypatch, guests={b"alarm": lambda turn, info: ran.set(), b"set": set_alarm})
    assert stage.call("far", "set", time.time_ns() // 1000 + 30 * SECOND) == (200, None)
    began = time.monotonic()
    assert stage.call("soon", "set", time.time_ns() // 1000 + SECOND // 20) == (200, None)

    assert ran.wait(10)
    assert time.monotonic() - began < 0.8  # it would wake by itself after a second


def test_the_row_goes_in_the_commit_that_carries_the_writes_of_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    host.set("a", 1.0)
    host.store.hold()
    host.clock.advance(1.0)
    host.stage.do(lambda: None)
    host.store.wait_held()

    assert host.row("a") is not None
    assert host.store.get(host.stored("a"), b"total") is None

    host.store.complete()
    host.store.let_go()
    host.settle()

    assert host.row("a") is None
    assert host.store.get(host.stored("a"), b"total") == b"1"


def test_inside_its_handler_an_alarm_is_gone_and_can_be_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    def handler(turn: Turn, info: dict[str, Any]) -> None:
        seen.append(turn.storage.get_alarm())
        turn.storage.delete_alarm()
        if len(seen) < 3:
            turn.storage.set_alarm(info["scheduled_us"] + SECOND)

    host = AlarmStage(monkeypatch, handler)
    host.set("a", 1.0)
    for _ in range(5):
        host.advance(1.0)

    assert seen == [None, None, None]
    assert host.runs == [("a", 0)] * 3
    assert host.row("a") is None


@pytest.mark.limit("alarm_retries_max")
def test_a_handler_that_fails_is_retried_after_1_2_4_8_16_32_s_and_then_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = AlarmStage(monkeypatch, fail)
    host.set("a", 1.0)
    scheduled_us = host.clock.wall_us() + SECOND
    host.advance(1.0)
    for number, delay_s in enumerate([1, 2, 4, 8, 16, 32], start=1):
        row = host.row("a")
        assert row is not None
        assert (row.state, row.retry_count, row.scheduled_us) == ("retrying", number, scheduled_us)
        assert row.due_us == host.clock.wall_us() + delay_s * SECOND
        host.advance(delay_s - 0.001)
        assert len(host.runs) == number
        host.advance(0.001)
        assert len(host.runs) == number + 1
    host.advance(10_000)
    row = host.row("a")

    assert host.runs == [("a", number) for number in range(7)]
    assert row is not None
    assert (row.state, row.retry_count) == ("abandoned", 6)
    assert row.last_error == "ActorMethodError: not today"
    assert host.total("a") == 0
    assert host.stage.call("a", "when") == (200, None)


def test_an_abandoned_alarm_lives_again_when_the_actor_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch, fail, limits=Limits(alarm_retries_max=0))
    host.set("a", 1.0)
    host.advance(1.0)
    row = host.row("a")
    assert row is not None
    assert row.state == "abandoned"
    host.handler = None
    host.set("a", 1.0)
    host.advance(1.0)

    assert host.runs == [("a", 0), ("a", 0)]
    assert host.total("a") == 1


def test_an_alarm_that_nobody_handles_ends_abandoned_and_is_handled_once_somebody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = AlarmStage(monkeypatch)
    host.set("a", 1.0)
    deaf = replace(host.stage.loaded(2), handlers=frozenset())
    host.stage.do(lambda: host.stage.worker.deployments._install(deaf))
    for _ in range(8):
        host.advance(64.0)
    row = host.row("a")

    assert host.runs == []
    assert row is not None
    assert (row.state, row.retry_count) == ("abandoned", 6)
    assert row.last_error == "ActorUnknownMethodError: T has no alarm handler in version 2 of 'f'"
    host.stage.do(lambda: host.stage.deploy(3))
    host.set("a", 1.0)
    host.advance(1.0)
    assert host.runs == [("a", 0)]


def test_a_type_without_a_handler_can_set_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    host.stage.guests[b"by_import"] = lambda turn, due_us: HANDLERS["alarms", "set"](turn, due_us)
    deaf = replace(host.stage.deploy(2), handlers=frozenset())
    host.stage.do(lambda: host.stage.worker.deployments._install(deaf))

    status, said = host.stage.call("a", "by_import", 5)

    assert status == 500
    assert "T has no alarm handler" in str(said)
    assert host.row("a") is None


def test_types_with_alarms_are_those_of_which_one_waits() -> None:
    store = MemoryStore(4, Limits())
    states = [(1, "armed"), (2, "retrying"), (3, "parked"), (4, "abandoned")]
    for type_id, state in states:
        alarm = Alarm(due_us=5, scheduled_us=5, state=state)
        store.commit(1 + type_id, [Batch(store.locate(type_id, b"a"), Changes(alarm=alarm, alarm_changed=True))])

    assert types_with_alarms(store, {1, 2, 3, 4, 5}) == {1, 2, 3}
    assert types_with_alarms(store, {2, 5}) == {2}


def test_a_retry_is_written_down_before_it_runs_and_a_first_run_costs_no_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    durable: list[Alarm | None] = []

    def handler(turn: Turn, info: dict[str, Any]) -> None:
        durable.append(host.row("a"))
        if info["retry_count"] == 0:
            raise HoldfastError("once")

    host = AlarmStage(monkeypatch, handler)
    host.set("a", 1.0)
    host.advance(1.0)
    host.advance(1.0)

    assert [(row.retry_count, row.begun) for row in durable if row] == [(0, False), (1, True)]


def test_a_sync_in_a_handler_leaves_the_alarm_armed_until_the_turn_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    after_sync: list[Alarm | None] = []

    def handler(turn: Turn, info: dict[str, Any]) -> None:
        add(turn, 1)
        turn.storage.delete_alarm()
        turn.sync()
        after_sync.append(host.row("a"))
        add(turn, 10)
        if info["retry_count"] == 0:
            raise HoldfastError("after the sync")

    host = AlarmStage(monkeypatch, handler)
    host.set("a", 1.0)
    host.advance(1.0)
    host.advance(1.0)

    assert [row is not None and row.retry_count for row in after_sync] == [0, 1]
    assert host.runs == [("a", 0), ("a", 1)]
    assert host.total("a") == 12
    assert host.row("a") is None


def test_an_alarm_that_a_handler_sets_and_syncs_takes_the_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(turn: Turn, info: dict[str, Any]) -> None:
        if len(host.runs) > 1:
            return
        turn.storage.set_alarm(info["scheduled_us"] + 5 * SECOND)
        turn.sync()
        raise HoldfastError("after the sync")

    host = AlarmStage(monkeypatch, handler)
    host.set("a", 1.0)
    host.advance(1.0)
    row = host.row("a")
    host.advance(5.0)

    assert row is not None
    assert (row.state, row.retry_count) == ("armed", 0)
    assert host.runs == [("a", 0), ("a", 0)]
    assert host.row("a") is None


def test_an_alarm_that_is_moved_or_cleared_before_its_turn_comes_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    host = AlarmStage(monkeypatch)
    hold, held = threading.Event(), threading.Event()

    def busy(turn: Turn, _: Any) -> None:
        held.set()
        hold.wait(10)

    host.stage.guests[b"busy"] = busy
    host.stage.deploy()
    host.set("moved", 1.0)
    host.set("cleared", 1.0)
    slots = []
    for name, method, argument in [("moved", "set", host.clock.wall_us() + 60 * SECOND), ("cleared", "clear", None)]:
        held.clear()
        slots.append(host.stage.client.send(name, "busy"))
        assert held.wait(10)
        slots.append(host.stage.client.send(name, method, argument))
    host.stage.call("other", "read")  # by then what was sent before it has arrived
    host.clock.advance(1.0)
    while host.stage.do(lambda: len(host.stage.worker.alarms._under_way)) < 2:
        pass
    hold.set()
    for slot in slots:
        host.stage.client.wait(slot)
    host.settle()

    assert host.runs == []

    host.advance(59.0)

    assert host.runs == [("moved", 0)]


def test_what_is_overdue_at_the_start_runs_at_once_and_in_due_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = AlarmStage(monkeypatch)
    names = [f"n{number:03}" for number in range(300)]
    for number, name in enumerate(names):
        first.set(name, 10 + number)
    first.clock.advance(10_000)
    second = AlarmStage(
        monkeypatch,
        store=left_by_a_dead_worker(first.store),
        clock=ManualClock(first.clock.wall_us()),
        limits=Limits(promotion_after_s=3_600.0),  # a turn that a busy machine interrupts would be passed by another
    )
    second.settle()

    assert second.runs == [(name, 0) for name in names]
    assert second.stage.worker.alarms.delivered == 300


def test_few_alarms_at_a_time_stand_before_an_ordinary_call(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0

    def handler(turn: Turn, info: dict[str, Any]) -> None:
        nonlocal most
        most = max(most, len(host.stage.worker.mailboxes._ready))

    host = AlarmStage(monkeypatch, handler)
    for number in range(200):
        host.set(f"n{number}", 1.0)
    host.advance(1.0)

    assert len(host.runs) == 200
    assert most < 8


def test_an_alarm_that_kills_its_worker_every_time_ends_abandoned_and_takes_no_other_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The workers do not die here: the poison's turn stops for good, and a successor gets what was durable then."""
    for_ever = threading.Event()
    deaths = 0

    def handler(turn: Turn, info: dict[str, Any]) -> None:
        if turn.entry.stored.name == b"poison":
            died.set()
            for_ever.wait(60)
        add(turn, 1)

    died = threading.Event()
    host = AlarmStage(monkeypatch, handler)
    names = [f"n{number}" for number in range(20)]
    for name in ["poison", *names]:
        host.set(name, 1.0)
    host.clock.advance(1.0)
    stages = [host]
    counted: list[tuple[int, str]] = []
    for _ in range(200):
        host.stage.do(lambda: None)
        if died.is_set():
            died.clear()
            deaths += 1
            clock = ManualClock(host.clock.wall_us())
            host = AlarmStage(monkeypatch, handler, store=left_by_a_dead_worker(host.store), clock=clock)
            stages.append(host)
            continue
        poison = host.row("poison")
        assert poison is not None
        if not counted or counted[-1] != (poison.retry_count, poison.state):
            counted.append((poison.retry_count, poison.state))
        if poison.state == "abandoned":
            break
        host.clock.advance(1.0)
    host.settle()
    for_ever.set()
    poison = host.row("poison")

    assert poison is not None
    assert (poison.state, poison.retry_count) == ("abandoned", 6)
    assert poison.last_error == "HostUnavailableError: the worker died while the handler ran"
    assert 7 <= deaths <= 8
    assert {name: host.row(name) for name in names} == dict.fromkeys(names)
    assert {name: host.total(name) for name in names} == dict.fromkeys(names, 1)


def test_alarms_that_died_with_their_worker_run_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = most = 0
    counting = threading.Lock()
    enter = threading.Semaphore(0)

    def handler(turn: Turn, info: dict[str, Any]) -> None:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        enter.acquire(timeout=0.05)
        with counting:
            inside -= 1

    store = MemoryStore()
    rows = [store.locate(TYPE, b"n%d" % number) for number in range(6)]
    begun = Alarm(due_us=5, scheduled_us=5, begun=True)
    store.commit(2, [Batch(each, Changes(alarm=begun, alarm_changed=True)) for each in rows])
    host = AlarmStage(monkeypatch, handler, store=store)
    host.settle()
    counted = [host.row(f"n{number}") for number in range(6)]
    host.advance(1.0)

    assert [(row.retry_count, row.killed) for row in counted if row] == [(1, True)] * 6
    assert sorted(host.runs) == [(f"n{number}", 1) for number in range(6)]
    assert most == 1
