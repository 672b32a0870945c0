"""Everything of a worker that comes due: its alarms, and the pools of its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.alarms.deliveries import Alarms
    from holdfast_host.worker.commits.gate import Group
    from holdfast_host.worker.deliveries.deliveries import Deliveries
    from holdfast_host.worker.deliveries.dispatch import Rest
    from holdfast_host.worker.jobs.deliveries import Jobs
    from holdfast_host.worker.turns.entry import Entry


@leaders
class Timers:
    """What the loop asks of all of them."""

    __slots__ = ("_alarms", "_all", "_clock", "_rest", "jobs")

    def __init__(self, alarms: Alarms, jobs: tuple[Jobs, ...], clock: Clock, rest: Rest) -> None:
        self._alarms = alarms
        self.jobs = jobs
        self._all: tuple[Deliveries, ...] = (alarms, *jobs)
        self._clock = clock
        self._rest = rest

    @any_thread
    def is_due(self) -> bool:
        """True when `release` would have something to do (monitor)."""
        return self._clock.wall_us() >= self._rest.until_us and any(each.is_due() for each in self._all)

    def wait_s(self, longest_s: float) -> float:
        """How long the leader may sleep."""
        until_us = self._rest.until_us
        if until_us:  # as in each round without any: min() and max() cost more
            wait_s = (until_us - self._clock.wall_us()) / 1e6
            return longest_s if wait_s > longest_s else max(0.0, wait_s)
        for each in self._all:
            longest_s = each.wait_s(longest_s)
        return longest_s

    def release(self, generation: int) -> bool:
        """Put what is due into the mailboxes. False: the leadership is lost."""
        now_us = self._clock.wall_us()
        if now_us < self._rest.until_us:
            return True
        for each in self._all:
            if now_us >= each.quiet_until_us and not each.release(generation, now_us):
                return False
        self._rest.until_us = min([each.quiet_until_us for each in self._all])
        return True

    def settle(self, group: Group, lost: Mapping[Entry, HoldfastError]) -> None:
        """The group is durable, but for the lost: learn what it changed."""
        alarms = jobs = bool(lost)
        for batch in group.batches:
            changes = batch.changes
            if changes.alarm_changed:
                alarms = True
            if changes.jobs is not None or changes.erased:
                jobs = True
        if alarms:
            self._alarms.settle(group, lost)
        for each in self.jobs if jobs else ():
            each.settle(group, lost)

    def take_up_parked(self, type_ids: Iterable[int]) -> None:
        """These types are deployed now: what is parked of them is due again."""
        found = set(type_ids)
        self._alarms.take_up_parked(found)
        self.jobs[0].take_up_parked(found)  # of all pools: it runs nothing
