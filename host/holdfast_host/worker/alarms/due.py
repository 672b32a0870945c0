"""The alarms that are due soon, earliest first: what one cursor page of the store says, kept up with each commit.

The table knows every alarm that is due before its *horizon*, at most a minute ahead, and nothing of those behind it, so
that alarms that wait cost nothing. It says what is due; whether a delivery may begin is not decided here. The rows of
the store are the truth: whoever takes an alarm from here reads its row again.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdfast_host.storage.store import Store, StoredInstance

MINUTE_US: Final = 60_000_000
PAGE_ROWS: Final = 256  # read in about a millisecond
_HEAP_MAX: Final = 16 * PAGE_ROWS


class Timetable:
    """A heap of due times. The leader's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due: dict[StoredInstance, int] = {}
        self._heap: list[tuple[int, int, StoredInstance]] = []  # with what no longer counts, until it comes up
        self._tickets = itertools.count()
        self._horizon_us = -1  # all that is due before is here; of what is due at it, perhaps a part

    def __len__(self) -> int:
        """How many alarms are in memory."""
        return len(self._due)

    def put(self, instance: StoredInstance, due_us: int | None) -> None:
        """The instance's alarm is due then, as of the last commit; None: it has none that is ever due."""
        if due_us is None or due_us > self._horizon_us:
            self._due.pop(instance, None)
        elif self._due.get(instance) != due_us:
            self._due[instance] = due_us
            heapq.heappush(self._heap, (due_us, next(self._tickets), instance))
            if len(self._heap) > _HEAP_MAX:
                self._shrink()

    def take(self, now_us: int, busy: Collection[StoredInstance]) -> tuple[StoredInstance, int] | None:
        """The earliest alarm that is due, with its time, taken out; None where none is.

        Args:
            now_us: the wall clock.
            busy: instances to leave out when the store is read: their alarms are under way already.
        """
        heap = self._heap
        while True:
            self._drop_stale()
            if not heap:
                if now_us < self._horizon_us:
                    return None
                self._refill(now_us, busy)
                continue
            due_us, _, instance = heap[0]
            if due_us > now_us:
                return None
            heapq.heappop(heap)
            del self._due[instance]
            return instance, due_us

    def next_us(self) -> int:
        """The wall time at which `take` will have something to do."""
        self._drop_stale()
        return min(self._heap[0][0], self._horizon_us) if self._heap else self._horizon_us

    def _drop_stale(self) -> None:
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)

    def _refill(self, now_us: int, busy: Collection[StoredInstance]) -> None:
        """Read the earliest rows: more of them than there are busy instances, so that what is new is among them."""
        until_us = now_us + MINUTE_US
        asked = PAGE_ROWS + len(busy)
        rows = self._store.due_alarms(until_us, asked)
        self._horizon_us = rows[-1][0] if len(rows) == asked else until_us
        for due_us, instance in rows:
            if instance not in busy:
                self.put(instance, due_us)

    def _shrink(self) -> None:
        """Forget what no longer counts; if that is not enough, all but a page, and draw the horizon in."""
        rows = [(due_us, next(self._tickets), instance) for instance, due_us in self._due.items()]
        if len(rows) > _HEAP_MAX // 2:
            rows = heapq.nsmallest(PAGE_ROWS, rows)
            self._horizon_us = rows[-1][0]
            self._due = {instance: due_us for due_us, _, instance in rows}
        heapq.heapify(rows)
        self._heap = rows
