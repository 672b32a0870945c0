"""The alarms that are due soon, earliest first: what one cursor page of the store says, kept up with each commit.

The table knows every alarm that is due before its *horizon*, at most a minute ahead, and nothing of those behind it, so
that alarms that wait cost nothing. It says what is due; whether a delivery may begin is not decided here. The rows of
the store are the truth: whoever takes an alarm from here reads its row again.

The table itself reads nothing: `lacks` says that a page is needed, `open_page` which, and `fill` is told what it says.
Meanwhile groups commit, before or after the page was read: what they change is put in again after it.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdfast_host.storage.store import Store, StoredInstance

MINUTE_US: Final = 60_000_000
PAGE_ROWS: Final = 256  # read in about a millisecond
_HEAP_MAX: Final = 16 * PAGE_ROWS


@dataclass(slots=True)
class DuePage:
    """The earliest rows of a store."""

    until_us: int
    rows_max: int
    rows: list[tuple[int, StoredInstance]] = field(default_factory=list)

    def read(self, store: Store) -> DuePage:
        """The page itself, read; any thread."""
        self.rows = store.due_alarms(self.until_us, self.rows_max)
        return self


@leaders
class DueAlarms:
    """A heap of due times."""

    def __init__(self) -> None:
        self._due: dict[StoredInstance, int] = {}
        self._heap: list[tuple[int, int, StoredInstance]] = []  # with what no longer counts, until it comes up
        self._tickets = itertools.count()
        self._horizon_us = -1  # all that is due before is here; of what is due at it, perhaps a part
        self._changed: dict[StoredInstance, int | None] | None = None  # since a page was opened, while it is read

    def __len__(self) -> int:
        """How many alarms are in memory."""
        return len(self._due)

    def put(self, instance: StoredInstance, due_us: int | None) -> None:
        """The instance's alarm is due then, as of the last commit; None: it has none that is ever due."""
        if self._changed is not None:
            self._changed[instance] = due_us
        if due_us is None or due_us > self._horizon_us:
            self._due.pop(instance, None)
        elif self._due.get(instance) != due_us:
            self._due[instance] = due_us
            heapq.heappush(self._heap, (due_us, next(self._tickets), instance))
            if len(self._heap) > _HEAP_MAX:
                self._shrink()

    def take(self, now_us: int) -> tuple[StoredInstance, int] | None:
        """The earliest alarm that is due by the wall clock, with its time, taken out; None where none is known."""
        heap = self._heap
        self._drop_stale()
        if not heap or heap[0][0] > now_us:
            return None
        due_us, _, instance = heapq.heappop(heap)
        del self._due[instance]
        return instance, due_us

    def lacks(self, now_us: int) -> bool:
        """Whether a page must be read to know what is due by then."""
        self._drop_stale()
        return not self._heap and now_us >= self._horizon_us

    def open_page(self, now_us: int, busy: int) -> DuePage:
        """The page to read: more rows than there are busy instances, so that what is new is among them.

        One at a time: `fill` follows.

        Args:
            now_us: the wall clock.
            busy: how many alarms are under way, which may have their rows yet.
        """
        self._changed = {}
        return DuePage(now_us + MINUTE_US, PAGE_ROWS + busy)

    def fill(self, page: DuePage, busy: Collection[StoredInstance]) -> None:
        """The page was read; leave out the busy instances: their alarms are under way already."""
        changed, self._changed = self._changed or {}, None
        rows = page.rows
        self._horizon_us = rows[-1][0] if len(rows) == page.rows_max else page.until_us
        now = {instance: due_us for due_us, instance in rows} | changed
        for instance, due_us in now.items():
            if instance not in busy:
                self.put(instance, due_us)

    def forget(self, is_gone: Callable[[StoredInstance], bool]) -> None:
        """Nothing of these instances is due here."""
        self._due = {instance: due_us for instance, due_us in self._due.items() if not is_gone(instance)}

    def read_anew(self) -> None:
        """There are instances of which nothing was read: the next page begins at the beginning."""
        self._horizon_us = -1

    def next_us(self) -> int:
        """The wall time at which `take` will have something to do."""
        self._drop_stale()
        return min(self._heap[0][0], self._horizon_us) if self._heap else self._horizon_us

    def _drop_stale(self) -> None:
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)

    def _shrink(self) -> None:
        """Forget what no longer counts; if that is not enough, all but a page, and draw the horizon in."""
        rows = [(due_us, next(self._tickets), instance) for instance, due_us in self._due.items()]
        if len(rows) > _HEAP_MAX // 2:
            rows = heapq.nsmallest(PAGE_ROWS, rows)
            self._horizon_us = rows[-1][0]
            self._due = {instance: due_us for due_us, _, instance in rows}
        heapq.heapify(rows)
        self._heap = rows
