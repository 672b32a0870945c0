"""Everything of a worker that comes due: its alarms, and the pools of its jobs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.worker.alarms.deliveries import Alarms
    from holdfast_host.worker.commits.gate import Group
    from holdfast_host.worker.deliveries.deliveries import Deliveries
    from holdfast_host.worker.deliveries.dispatch import Rest
    from holdfast_host.worker.jobs.deliveries import Jobs
    from holdfast_host.worker.turns.entry import Entry


@leaders
class Timers:
    """What the loop asks of all of them."""

    __slots__ = ("_alarms", "_all", "_clock", "_rest", "held", "jobs")

    def __init__(self, alarms: Alarms, jobs: tuple[Jobs, ...], clock: Clock, rest: Rest) -> None:
        self._alarms = alarms
        self.jobs = jobs
        self._all: tuple[Deliveries, ...] = (alarms, *jobs)
        self._clock = clock
        self._rest = rest
        self.held = False  # nothing more becomes due

    @any_thread
    def is_due(self) -> bool:
        """True when `release` would have something to do (monitor)."""
        if self.held:
            return False
        return self._clock.wall_us() >= self._rest.until_us and any(each.is_due() for each in self._all)

    def wait_s(self, longest_s: float) -> float:
        """How long the leader may sleep."""
        until_us = self._rest.until_us
        if until_us:  # as in each round without any: min() and max() cost more
            wait_s = (until_us - self._clock.wall_us()) / 1e6
            return longest_s if wait_s > longest_s else max(0.0, wait_s)
        if self.held:
            return longest_s
        for each in self._all:
            longest_s = each.wait_s(longest_s)
        return longest_s

    def release(self, generation: int) -> bool:
        """Put what is due into the mailboxes. False: the leadership is lost."""
        now_us = self._clock.wall_us()
        if now_us < self._rest.until_us:
            return True
        if self.held:
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

    @property
    def is_reading(self) -> bool:
        """Whether a page of what is due is on its way."""
        return any(each.is_reading for each in self._all)

    def under_way(self) -> Iterator[StoredInstance]:
        """The instances for which something was taken that is not over."""
        return itertools.chain.from_iterable(each.under_way for each in self._all)

    def read_anew(self) -> None:
        """There are instances that were another owner's: what is due of them is not known, nor what has begun."""
        for each in self._all:
            each.read_anew()

    def forget(self, is_gone: Callable[[StoredInstance], bool]) -> None:
        """These instances are another owner's: nothing of them is due here."""
        for each in self._all:
            each.forget(is_gone)

    def resume(self) -> None:
        """What was held becomes due."""
        self.held = False
        for each in self._all:
            each.wake()
