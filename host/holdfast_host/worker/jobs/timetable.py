"""Which jobs of a pool are due, and whose turn it is: those due within a minute, read page by page.

All that is due before where the pages have come to is known here: it waits for its time, or for its turn among those
that are due, or its instance has more than may be held of it and is read by itself, once what is held of it has gone.
So neither many jobs of one instance nor many instances of one function keep others from being found.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.jobs import DueJob, DuePage
from holdfast_host.worker.jobs.fair_queue import FairQueue
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable

    from holdfast_host.storage.store import Store, StoredInstance

MINUTE_US: Final = 60_000_000
PAGE_ROWS: Final = 256
HELD_OF_INSTANCE: Final = 128  # that are due and wait for their turn
HELD_OF_FUNCTION: Final = 2_048
_HEAP_MAX: Final = 32 * PAGE_ROWS

Position = tuple[int, int, bytes]
_END: Final[Position] = (1 << 64, 0, b"")


@dataclass(slots=True)
class JobPage:
    """What to read next: due rows of all instances, or what one of them has more."""

    pool: str
    until_us: int
    positions: dict[int, Position]
    instance: StoredInstance | None = None
    but: set[bytes] = field(default_factory=set)
    found: DuePage | None = None
    rows: list[DueJob] = field(default_factory=list)
    is_all: bool = True

    def read(self, store: Store) -> JobPage:
        """The page itself, read; any thread."""
        if self.instance is None:
            self.found = store.jobs.due(self.pool, self.positions, self.until_us, PAGE_ROWS)
        else:
            self.rows, self.is_all = store.jobs.due_of(
                self.instance, self.pool, self.until_us, self.but, HELD_OF_INSTANCE
            )
        return self


@leaders
class JobTimetable:
    """The jobs of one pool of one worker that are due soon."""

    def __init__(self, pool: str, function_of: Callable[[int], str], function_max: int, instance_max: int) -> None:
        """`function_of` names the function that a type belongs to; the two others bound what is let in at once."""
        self._pool = pool
        self._function_of = function_of
        self._queue = FairQueue(function_max, instance_max)
        self._due: dict[tuple[StoredInstance, bytes], int] = {}
        self._heap: list[tuple[int, int, StoredInstance, bytes]] = []  # with what no longer counts, until it comes up
        self._tickets = itertools.count()
        self._read_to: dict[int, Position] = {}  # by partition: all that is due up to there is known
        self._drawn_in = _END  # since a page was opened: what it brings from there on is not kept
        self._horizon_us = -1  # a page must be read when that has come
        self._more: dict[str, dict[StoredInstance, None]] = {}  # that have more than is held of them, by function
        self._busy: dict[StoredInstance, set[bytes]] = {}  # let in, and not over
        self._changed: dict[tuple[StoredInstance, bytes], int | None] | None = None  # while a page is read

    def __len__(self) -> int:
        """How many jobs are in memory, without those let in."""
        return len(self._due)

    def put(self, stored: StoredInstance, id_: bytes, due_us: int | None) -> None:
        """The job is due then, as of the last commit; None: never, as far as this pool is concerned."""
        key = (stored, id_)
        if self._changed is not None:
            self._changed[key] = due_us
        if due_us is None or (due_us, stored.number, id_) > self._read_to.get(stored.partition, (-1, 0, b"")):
            self._due.pop(key, None)
        elif self._due.get(key) != due_us:
            self._due[key] = due_us
            heapq.heappush(self._heap, (due_us, next(self._tickets), stored, id_))
            if len(self._heap) > _HEAP_MAX:
                self._shrink()

    def look_for(self, stored: StoredInstance) -> None:
        """What is known of an instance may be wrong: read what it has that is due."""
        self._more.setdefault(self._function_of(stored.type_id), {})[stored] = None

    def take(self, now_us: int) -> DueJob | None:
        """The next that is due by the wall clock and whose turn it is; `leave` follows for it."""
        self._gather(now_us)
        while (found := self._queue.take()) is not None:
            stored, (due_us, id_) = found
            if self._due.get((stored, id_)) == due_us:
                del self._due[stored, id_]
                self._busy.setdefault(stored, set()).add(id_)
                return DueJob(due_us, stored, id_)
            self._queue.leave(stored)  # it has been moved or cancelled since
        return None

    def leave(self, stored: StoredInstance, id_: bytes) -> None:
        """One that was taken is over."""
        busy = self._busy.get(stored)
        if busy is not None and id_ in busy:
            busy.discard(id_)
            if not busy:
                del self._busy[stored]
            self._queue.leave(stored)

    def lacks(self, now_us: int) -> bool:
        """Whether a page must be read to know what is due by then."""
        self._gather(now_us)
        return now_us >= self._horizon_us or self._hungry() is not None

    def open_page(self, now_us: int) -> JobPage:
        """The page to read, one at a time: `fill` follows."""
        self._changed, self._drawn_in = {}, _END
        hungry = self._hungry()
        if hungry is None or now_us >= self._horizon_us:
            return JobPage(self._pool, now_us + MINUTE_US, dict(self._read_to))
        self._forget_more(hungry)
        but = self._queue.ids_of(hungry) | self._busy.get(hungry, set())
        return JobPage(self._pool, now_us + 1, {}, hungry, but)

    def fill(self, page: JobPage, under_way: Container[Hashable] = ()) -> None:
        """The page was read; what is under way is left out: whoever ends it says when it is due."""
        changed, self._changed = self._changed or {}, None
        if page.found is not None:
            self._read_to = {number: min(at, self._drawn_in) for number, at in page.found.positions.items()}
            self._horizon_us = min(position[0] for position in self._read_to.values())
        elif page.instance is not None and not page.is_all:
            self.look_for(page.instance)
        rows = page.rows if page.found is None else page.found.rows
        now: dict[tuple[StoredInstance, bytes], int | None] = {(row.stored, row.id): row.due_us for row in rows}
        for (stored, id_), due_us in {**now, **changed}.items():
            if id_ not in self._busy.get(stored, ()) and (stored, id_) not in under_way:
                self.put(stored, id_, due_us)

    def forget(self, is_gone: Callable[[StoredInstance], bool]) -> None:
        """Nothing of these instances is due here."""
        self._due = {key: due_us for key, due_us in self._due.items() if not is_gone(key[0])}
        for stored in [each for instances in self._more.values() for each in instances if is_gone(each)]:
            self._forget_more(stored)

    def read_anew(self) -> None:
        """There are instances of which nothing was read: the next page begins at the beginning."""
        self._read_to, self._horizon_us = {}, -1

    def next_us(self) -> int:
        """The wall time at which `take` will have something to do, where nothing that was let in ends before."""
        heap, due = self._heap, self._due
        while heap and due.get((heap[0][2], heap[0][3])) != heap[0][0]:
            heapq.heappop(heap)
        return min(heap[0][0], self._horizon_us) if heap else self._horizon_us

    def _gather(self, now_us: int) -> None:
        """Put in line what is due."""
        heap, due = self._heap, self._due
        while heap and heap[0][0] <= now_us:
            due_us, _, stored, id_ = heapq.heappop(heap)
            if due.get((stored, id_)) != due_us:
                continue
            function = self._function_of(stored.type_id)
            if (
                self._queue.waiting_of(stored) < HELD_OF_INSTANCE
                and self._queue.waiting_of_function(function) < HELD_OF_FUNCTION
            ):
                self._queue.add(function, stored, (due_us, id_))
            else:
                del due[stored, id_]
                self.look_for(stored)

    def _hungry(self) -> StoredInstance | None:
        """An instance that has more than was held of it, of which nothing waits any more."""
        for function, instances in self._more.items():
            if self._queue.waiting_of_function(function) < HELD_OF_FUNCTION // 2:
                for stored in instances:  # as many as wait of the function are passed over at most
                    if not self._queue.waiting_of(stored):
                        return stored
        return None

    def _forget_more(self, stored: StoredInstance) -> None:
        for function in [name for name, instances in self._more.items() if stored in instances]:
            del self._more[function][stored]
            if not self._more[function]:
                del self._more[function]

    def _shrink(self) -> None:
        """Forget what no longer counts; if that is not enough, what is due last, and draw in how far was read."""
        rows = [row for row in self._heap if self._due.get((row[2], row[3])) == row[0]]
        if len(rows) > _HEAP_MAX // 2:
            rows.sort()
            first = rows[_HEAP_MAX // 4][0]
            for _, _, stored, id_ in (row for row in rows if row[0] >= first):
                self._due.pop((stored, id_), None)
            rows = [row for row in rows if row[0] < first]
            self._drawn_in = min(self._drawn_in, (first, 0, b""))
            self._read_to = {number: min(at, self._drawn_in) for number, at in self._read_to.items()}
            self._horizon_us = min(self._horizon_us, first)
        heapq.heapify(rows)
        self._heap = rows
