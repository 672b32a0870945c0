"""Leader and followers as a primitive: who leads, who hands in."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import pytest

from holdfast_host.worker.threads.leadership import PARKED_MAX, Leadership


class Stage:
    """Threads that lead and report; a test tells the leader what to do next."""

    def __init__(self) -> None:
        self.orders: queue.Queue[str] = queue.Queue()
        self.events: queue.Queue[tuple[str, int]] = queue.Queue()
        self.failures: queue.Queue[BaseException] = queue.Queue()
        self.release = threading.Semaphore(0)
        self.handed_in: queue.Queue[Callable[[], None]] = queue.Queue()
        self.leadership = Leadership(self.handed_in.put)
        self.leadership.start(self.lead, self.failures.put)

    def lead(self, generation: int) -> None:
        self.events.put(("leads", generation))
        while True:
            order = self.orders.get(timeout=10)
            if order == "fail":
                raise RuntimeError("a bug")
            detached = order == "block"
            if not self.leadership.in_section(
                generation, time.monotonic(), generation, self.work, self.follow, detached=detached
            ):
                self.events.put(("hands in", generation))
                return

    def work(self, generation: int) -> None:
        self.events.put(("in section", generation))
        self.release.acquire(timeout=10)

    def follow(self, generation: int, _: None) -> None:
        self.events.put(("follows", generation))

    def next(self) -> tuple[str, int]:
        return self.events.get(timeout=10)


def count_turn_threads() -> int:
    return sum(thread.name == "holdfast-turns" for thread in threading.enumerate())


def test_a_short_section_keeps_the_leadership() -> None:
    stage = Stage()
    stage.orders.put("work")
    stage.release.release()

    assert [stage.next() for _ in range(3)] == [("leads", 1), ("in section", 1), ("follows", 1)]


def test_a_long_section_loses_the_leadership_when_something_waits_and_hands_its_result_in() -> None:
    stage = Stage()
    stage.orders.put("work")
    events = [stage.next(), stage.next()]
    late = time.monotonic() + 1

    assert not stage.leadership.promote_if_slow(late, 0.002, lambda: False)
    assert stage.leadership.promote_if_slow(late, 0.002, lambda: True)
    events.append(stage.next())
    stage.release.release()
    events.append(stage.next())

    assert events == [("leads", 1), ("in section", 1), ("leads", 2), ("hands in", 1)]
    assert stage.leadership.detached == 1

    stage.handed_in.get(timeout=10)()

    assert stage.next() == ("follows", 1)
    assert stage.leadership.detached == 0


def test_a_section_that_is_being_given_away_cannot_be_ended_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two threads would lead."""
    stage = Stage()
    stage.orders.put("work")
    stage.next(), stage.next()
    leadership, appoint = stage.leadership, stage.leadership._appoint
    ended: list[object] = []

    def end_and_appoint() -> None:
        ended.append(leadership.pause_section(1))
        appoint()

    monkeypatch.setattr(leadership, "_appoint", end_and_appoint)

    assert leadership.promote_if_slow(time.monotonic() + 1, 0.002, lambda: True)
    assert ended == [None]
    assert not leadership.hand_over(1)


def test_a_section_that_has_ended_cannot_be_given_away() -> None:
    stage = Stage()
    stage.orders.put("work")
    stage.next(), stage.next()
    leadership = stage.leadership

    def end() -> bool:
        return leadership.pause_section(1) is not None

    assert not leadership.promote_if_slow(time.monotonic() + 1, 0.002, end)
    assert leadership.generation == 1


def test_a_section_that_is_young_is_left_alone() -> None:
    stage = Stage()
    stage.orders.put("work")
    stage.next(), stage.next()

    assert not stage.leadership.promote_if_slow(time.monotonic(), 60, lambda: True)


def test_a_thread_that_is_about_to_block_hands_over_once() -> None:
    stage = Stage()
    stage.orders.put("block")
    events = {stage.next() for _ in range(3)}

    assert events == {("leads", 1), ("leads", 2), ("in section", 1)}
    assert not stage.leadership.hand_over(1)


def test_followers_are_reused_and_their_number_is_bounded() -> None:
    stage = Stage()
    stage.next()
    before = count_turn_threads()
    for _ in range(50):
        stage.orders.put("block")
        seen = {stage.next()[0], stage.next()[0]}
        assert seen == {"in section", "leads"}
        stage.release.release()
        assert stage.next()[0] == "hands in"

    assert count_turn_threads() - before <= PARKED_MAX
    assert len(stage.leadership._parked) <= PARKED_MAX


def test_an_exception_in_the_leader_is_reported() -> None:
    stage = Stage()
    stage.orders.put("fail")

    assert str(stage.failures.get(timeout=10)) == "a bug"
