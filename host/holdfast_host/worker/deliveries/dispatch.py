"""What is due becomes a turn in its instance's mailbox, a bounded number at a time: the first half of a delivery.

What is due is known from pages of the store, each read in a section of its own; what is parked of a type that is
deployed again is due too. Which deliveries are under way, put aside for a moment, or in line, is known here. What
becomes of a turn that stands first in its mailbox is `deliveries`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.wire.calls.frames import Call
from holdfast_host.worker.deliveries.kinds import Kind
from holdfast_host.worker.deliveries.stages import UNREAD, Delivery, Stage
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable

    from holdfast_host.core.clock import Clock
    from holdfast_host.storage.store import Store, StoredInstance
    from holdfast_host.worker.deliveries.isolation import Isolation
    from holdfast_host.worker.deliveries.stages import Row
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.mailboxes import Mailboxes

READY_MAX: Final = 4  # of a kind in the ready queue: what an ordinary call may find before it
UNDER_WAY_MAX: Final = 128  # behind a running turn, running, or waiting for their commit
_NEVER_US: Final = 1 << 63


@leaders
class Rest:
    """Until when, by the wall clock, no kind of deliveries has anything to do: what each round asks first."""

    __slots__ = ("until_us",)

    def __init__(self) -> None:
        self.until_us = 0


@leaders
@dataclass(eq=False, kw_only=True)
class Dispatcher(Kind):
    """Puts what is due of one kind into the mailboxes, and keeps count of what is under way."""

    store: Store
    clock: Clock
    leadership: Leadership
    mailboxes: Mailboxes
    directory: Directory
    deployments: Deployments
    killed: Isolation
    rest: Rest

    def __post_init__(self) -> None:
        """Nothing is known to be due yet."""
        self.under_way_max = UNDER_WAY_MAX
        self._under_way: dict[Hashable, Delivery] = {}
        self._ready = 0
        self._aside: list[tuple[float, int, Delivery]] = []  # by the monotonic time at which they are tried again
        self._tickets = itertools.count()
        self._parked_types: set[int] = set()  # deployed types that may have parked rows
        self._unparking = 0
        self._reading_page = False
        self._is_stale = False  # the page that is being read was asked for before there were other instances
        self._reading_rows = 0  # of instances that count as ready
        self._next_us = 0
        self.opened_us = self.clock.wall_us()  # what is due by then, a predecessor may have begun
        self.quiet_until_us = 0  # whatever becomes of those under way, `release` has nothing to do before

    @property
    def under_way(self) -> Collection[StoredInstance]:
        """The instances whose rows are on their way: a bounded number."""
        return {delivery.stored: None for delivery in self._under_way.values()}

    def occupancy(self) -> dict[str, int]:
        """How many are on their way, put aside for a moment, and in line behind one that killed a worker."""
        return {"under_way": len(self._under_way), "aside": len(self._aside), "in_line": self.killed.line_of(self)}

    # What the loop asks.

    @any_thread
    def is_due(self) -> bool:
        """True when `release` would have something to do (monitor)."""
        return self.clock.wall_us() >= self._next_us

    def wait_s(self, longest_s: float) -> float:
        """How long the leader may sleep."""
        if self._parked_types and not self._unparking and not self._reading_page:
            return 0.0
        wait_s = min(longest_s, max(0.0, (self._next_us - self.clock.wall_us()) / 1e6))
        if self._aside:
            wait_s = min(wait_s, max(0.0, self._aside[0][0] - time.monotonic()))
        return wait_s

    def release(self, generation: int, now_us: int) -> bool:
        """Put what is due into the mailboxes, as much as may be there at once. False: the leadership is lost."""
        self.quiet_until_us = 0
        if self.mailboxes.draining:
            self._next_us = _NEVER_US
            self._aside.clear()  # the rows are for the next start
            self._parked_types.clear()
            return True
        while self._aside and time.monotonic() >= self._aside[0][0]:
            self.post(heapq.heappop(self._aside)[2])
        if self._parked_types and not self._unparking and not self._reading_page:
            return self._read_parked(generation, self._parked_types.pop())
        ready_max = self._ready_max()
        while self._ready < ready_max:
            if len(self._under_way) - self.killed.line_of(self) >= self.under_way_max:
                self._next_us = _NEVER_US  # the end of one of them wakes the leader
                return True
            found = self._take(now_us)
            if found is None:
                if not self._lacks(now_us):
                    self._rest()
                    return True
                self._next_us = _NEVER_US  # the end of the read wakes the leader
                if self._reading_page:
                    return True
                if not self._read_due(generation, now_us):
                    return False
                continue
            self.post(found)
        self._next_us = _NEVER_US if self._reading_rows else now_us  # the end of a read wakes the leader too
        return True

    # What wakes it.

    def take_up_parked(self, type_ids: Iterable[int]) -> None:
        """These types are deployed now: what is parked of them is due again."""
        self._parked_types.update(type_ids)
        self.wake()

    @property
    def is_reading(self) -> bool:
        """Whether a page is on its way."""
        return self._reading_page

    def read_anew(self) -> None:
        """There are instances that were another owner's, who may have begun what is due of them."""
        self.opened_us = self.clock.wall_us()
        if self._reading_page:
            self._is_stale = True
        else:
            self._read_anew()
        self.wake()

    def wake(self) -> None:
        """There may be something to do now."""
        self._next_us = self.quiet_until_us = self.rest.until_us = 0

    # A delivery's way.

    def post(self, delivery: Delivery) -> None:
        """Put a turn for it into the mailbox."""
        stored = delivery.stored
        delivery.enter(Stage.QUEUED)
        self._under_way[delivery.key] = delivery
        delivery.row_group = UNREAD
        loaded = self.deployments.find(stored.type_id)
        entry = self.directory.open(stored.type_id, stored.name, loaded.type if loaded else f"type {stored.type_id}")
        delivery.ready = self.mailboxes.deliver(self._turn(entry, delivery))
        self._ready += delivery.ready

    def finish(self, delivery: Delivery) -> None:
        """Nothing is left to do for this delivery."""
        delivery.enter(Stage.OVER)
        del self._under_way[delivery.key]
        self._unparking -= delivery.unpark
        self._forget(delivery)
        self._leave_line(delivery)

    def look_again(self, delivery: Delivery) -> None:
        """What is known of its row may be wrong: a delivery that is due now reads it, and notes what it says."""
        self._note_due(delivery, self.clock.wall_us())

    def put_aside(self, delivery: Delivery, seconds: float) -> None:
        """Try it again after a while."""
        delivery.enter(Stage.ASIDE)
        heapq.heappush(self._aside, (time.monotonic() + seconds, next(self._tickets), delivery))
        self.quiet_until_us = self.rest.until_us = 0

    # Inside.

    def _ready_max(self) -> int:
        """How many may be in the ready queue."""
        return READY_MAX

    def _note(self, delivery: Delivery, row: Row | None) -> None:
        """So its row stands now, durably. It may have been on its way to be parked when its type was deployed again."""
        self._note_due(delivery, row.due_us if row is not None and self._comes_due(row) else None)
        if row is not None and self._takes_up(row):
            stored = delivery.stored
            quarantined = self.mailboxes.is_quarantined(stored.type_id, stored.name)
            if not quarantined and self.deployments.find(stored.type_id) is not None:
                self.take_up_parked((stored.type_id,))

    def _note_due(self, delivery: Delivery, due_us: int | None) -> None:
        self._put(delivery, due_us)
        if due_us is not None:
            self._next_us = min(self._next_us, due_us)
            self.quiet_until_us = min(self.quiet_until_us, due_us)
            self.rest.until_us = min(self.rest.until_us, due_us)

    def _rest(self) -> None:
        """Nothing more is to be done now."""
        self._next_us = self._next_due_us()
        self.quiet_until_us = 0 if self._aside or self._parked_types else self._next_us

    def _turn(self, entry: Entry, delivery: Delivery) -> Turn:
        """A turn for it, that has not begun."""
        request = Call(0, entry.type_id, 0, self.CALL_KIND, 0, entry.stored.name, self.WHAT.encode(), b"", b"")
        return Turn(entry, None, request, math.inf, delivery=delivery)

    def _leave_line(self, delivery: Delivery) -> None:
        """Those behind it in the line of what has killed a worker wait for it no longer."""
        following = self.killed.leave(delivery)
        if following is not None:
            following.owner.post(following)

    def _leave_ready(self, delivery: Delivery) -> None:
        self._ready -= delivery.ready
        delivery.ready = False

    # What is read of the disk, each piece in a section of its own.

    def _read_due(self, generation: int, now_us: int) -> bool:
        """A page of what is due soon. False: the leadership is lost."""
        page = self._open_page(now_us)
        self._reading_page = True
        return self.leadership.read(generation, partial(page.read, self.store), self._have_due)

    def _have_due(self, page: Any) -> None:
        self._end_page()
        self._fill_page(page)
        if self._is_stale:
            self._is_stale = False
            self._read_anew()

    def _read_parked(self, generation: int, type_id: int) -> bool:
        """A page of what is parked of a type that is deployed again. False: the leadership is lost.

        What would be parked again at once stays as it is: to take it up so would never end.
        """
        kept_away = self.mailboxes.quarantined_of(type_id)
        if b"" in kept_away or self.deployments.find(type_id) is None:
            self.wake()
            return True
        self._reading_page = True
        read = partial(self._parked, type_id, kept_away)
        return self.leadership.read(generation, read, partial(self._have_parked, type_id))

    def _have_parked(self, type_id: int, page: Iterable[Delivery]) -> None:
        self._end_page()
        found = [each for each in page if each.key not in self._under_way]
        if not found or self.mailboxes.draining:
            return
        for delivery in found:
            self._unparking += 1
            self.post(delivery)
        self._parked_types.add(type_id)  # there may be more

    def _end_page(self) -> None:
        self._reading_page = False
        self.wake()
