"""An alarm's delivery goes through its stages, and through nothing else."""

from __future__ import annotations

import itertools
import threading
from typing import Any, cast

import pytest

from holdfast_host.core.errors import HoldfastError, InternalError
from holdfast_host.storage.store import Alarm, StoredInstance
from holdfast_host.worker.deliveries.stages import NEXT, Delivery, Stage
from holdfast_host.worker.turns.turn import Turn
from tests.harness.clock import ManualClock
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.alarm_stage import SECOND, AlarmStage, fail, left_by_a_dead_worker

S = Stage
READ = [S.QUEUED, S.READING, S.QUEUED]  # what precedes every decision


def at(stage: Stage) -> Delivery:
    return Delivery(cast("Any", None), StoredInstance(0, 1, b"a", 1), due_us=1, stage=stage)


@pytest.mark.parametrize(("here", "there"), list(itertools.product(Stage, Stage)), ids=lambda each: each.name)
def test_only_a_stage_that_follows_is_entered(here: Stage, there: Stage) -> None:
    delivery = at(here)
    if there in NEXT[here]:
        delivery.enter(there)

        assert delivery.stage is there
        return
    with pytest.raises(InternalError, match=r"a delivery that .* cannot become one that "):
        delivery.enter(there)
    assert delivery.stage is here


def test_every_stage_has_its_followers_is_reached_and_leads_to_the_end() -> None:
    def reached(start: Stage) -> set[Stage]:
        found, ahead = set[Stage](), [start]
        while ahead:
            for stage in NEXT[ahead.pop()] - found:
                found.add(stage)
                ahead.append(stage)
        return found

    assert set(NEXT) == set(Stage)
    assert reached(S.DUE) == set(Stage) - {S.DUE}
    assert all(S.OVER in reached(stage) for stage in Stage if stage is not S.OVER)
    assert NEXT[S.OVER] == frozenset()


class Traced(AlarmStage):
    """Notes the stages of all deliveries, by name of the instance."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *arguments: Any, **further: Any) -> None:
        self.stages: dict[str, list[Stage]] = {}
        enter, store = Delivery.enter, further.setdefault("store", MemoryStore())

        def noted(delivery: Delivery, stage: Stage) -> None:
            enter(delivery, stage)
            stored = delivery.stored
            if stored is store.place(stored.type_id, stored.name):  # workers of tests before this one run on
                self.stages.setdefault(stored.name.decode(), []).append(stage)

        monkeypatch.setattr(Delivery, "enter", noted)
        super().__init__(monkeypatch, *arguments, **further)


def test_a_first_attempt_runs_and_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Traced(monkeypatch)
    host.set("a", 5)
    host.advance(5)

    assert host.stages == {"a": [*READ, S.RUNNING, S.WRITING, S.OVER]}


def test_a_retry_is_noted_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Traced(monkeypatch, fail)
    host.set("a", 5)
    host.advance(5)
    host.stages.clear()
    host.handler = None
    host.advance(1)

    assert host.stages == {"a": [*READ, S.NOTING, S.QUEUED, S.RUNNING, S.WRITING, S.OVER]}


def test_an_alarm_that_is_cleared_meanwhile_is_over_without_its_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    held, go_on = threading.Event(), threading.Event()

    def clear_late(turn: Turn, _: Any) -> None:
        held.set()
        assert go_on.wait(10)
        turn.storage.delete_alarm()

    host = Traced(monkeypatch)
    host.stage.guests[b"clear_late"] = clear_late
    host.stage.deploy()
    host.set("a", 5)
    slot = host.stage.client.send("a", "clear_late")
    assert held.wait(10)
    host.clock.advance(5)
    while not host.stages:
        host.stage.do(lambda: None)
    go_on.set()
    host.stage.client.wait(slot)
    host.settle()

    assert host.runs == []
    assert host.stages == {"a": [*READ, S.OVER]}


def test_those_that_killed_a_worker_wait_in_line_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first = AlarmStage(monkeypatch)
    now_us = first.clock.wall_us()
    for name in ("a", "b"):
        first.set(name, 3_600)
        row = first.store._rows[1, name.encode()]
        row.alarm = Alarm(now_us - SECOND, 1, now_us - SECOND, "retrying", "the worker died", killed=True)
    store = left_by_a_dead_worker(first.store)
    host = Traced(monkeypatch, store=store, clock=ManualClock(now_us))
    host.settle()

    ran = [S.NOTING, S.QUEUED, S.RUNNING, S.WRITING, S.OVER]
    assert sorted(host.runs) == [("a", 1), ("b", 1)]
    assert sorted(host.stages.values(), key=len) == [[*READ, *ran], [*READ, S.IN_LINE, *READ, *ran]]


def test_what_is_lost_on_its_way_to_the_disk_is_put_aside_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_once(turn: Turn, _: dict[str, Any]) -> None:
        turn.storage.put(b"k", b"1")
        if len(host.runs) == 1:
            host.store.lose_next([b"a"])
            raise HoldfastError("not today")

    host = Traced(monkeypatch, lose_once)
    host.set("a", 5)
    host.advance(5)

    assert host.stages["a"][:12] == [
        *READ, S.RUNNING, *READ, S.WRITING, S.ASIDE, *READ
    ]  # fmt: skip
    assert host.stages["a"][12] is S.WRITING
    assert host.stages["a"][-1] is S.OVER
