"""What a large `delete_all` or erasure leaves: rows under a number that none has any more, deleted a piece at a time.

To delete a million rows takes most of a second, and one commit at a time is what a partition has. So a commit deletes
no more than `delete_rows_max` rows in their place, of all instances that it clears; an instance that has more goes on
under another data number, and a garbage row says, from the same commit on, that the old one's rows are to be deleted.
`sweep` does that, with the groups and between them.

A row counts as one, and as one more for each KiB of its value: that is about what deleting it costs, and so a piece
takes about as long whatever the rows are. A group sweeps at least as much as it writes. So there is never more garbage
than what was stored when there last was none, however often an instance fills and clears itself.

An instance that is erased and has many receipts or jobs leaves them in the same way, and goes on under another number.

Invariant: what is swept was left by a commit that has been settled, so that nobody reads it; see LmdbStore.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, Final

from holdfast_host.core.limits import KIB, Limits
from holdfast_host.storage.lmdb.jobs import delete_jobs
from holdfast_host.storage.lmdb.keys import GARBAGE_FIRST, data_prefix, garbage_key, unpack_garbage_key
from holdfast_host.storage.lmdb.receipts import delete_receipts
from holdfast_host.storage.store import Changes

_AGAIN_S: Final = 1.0  # after a sweep that found no room
_WITH_APART: Final = b"\1"  # a garbage row's value
_LOOK_EACH: Final = 64  # rows between looks at the clock


class Garbage:
    """What is to be deleted in one partition, and how much at a time. The thread's that commits, but for what says so.

    Attributes:
        there: Whether there is some that nobody keeps.
        kept: Numbers whose rows are passed by, see lmdb.imports; replaced by any thread.
        mark: Another object each time that something was left.
    """

    def __init__(self, limits: Limits, *, there: bool) -> None:
        self.rows_max = limits.delete_rows_max
        self.there = there
        self.kept: frozenset[int] = frozenset()
        self.mark = object()
        self._rows_left = 0
        self._not_before = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is something to sweep, and no sweep has just failed for want of room; any thread."""
        return self.there and time.monotonic() >= self._not_before

    def note(self) -> None:
        """Something was left, by a commit that has been settled; any thread."""
        self.mark = object()
        self.there = True

    def swept(self, mark: object, *, left: bool) -> None:
        """A sweep is durable that began under that mark."""
        self.there = False
        if left or self.mark is not mark:
            self.there = True

    def put_off(self) -> None:
        """There was no room to delete in: what makes it is others' doing."""
        self._not_before = time.monotonic() + _AGAIN_S

    def begin_group(self) -> None:
        """A transaction begins, which may clear as much as any."""
        self._rows_left = self.rows_max

    def may_delete(self, txn: Any, data_number: int, live_bytes: int) -> bool:
        """Whether the transaction may delete an instance's rows as well.

        It looks at no more of them than it may delete, and where they are too many, it may delete half as much from
        then on: to look in vain a thousand times would take as long as what this is to prevent.
        """
        rows_left = self._rows_left - live_bytes // KIB
        if rows_left <= 0:
            return False
        prefix = data_prefix(data_number)
        with txn.cursor() as cursor:
            there = cursor.set_range(prefix)
            while there and cursor.key().startswith(prefix):
                rows_left -= 1
                if rows_left < 0:
                    self._rows_left //= 2
                    return False
                there = cursor.next()
        self._rows_left = rows_left
        return True

    def delete_apart(self, txn: Any, number: int) -> bool:
        """Delete an instance's receipts and jobs, as many as the transaction may still; whether that was all."""
        for delete in (delete_receipts, delete_jobs):
            self._rows_left -= delete(txn, number, self._rows_left)
        return self._rows_left > 0

    def share(self, written: Collection[Changes]) -> int:
        """How much a group sweeps beside what it writes, in rows."""
        rows = sum(len(changes.writes) + changes.size_bytes // KIB for changes in written)
        return max(rows, self.rows_max // 4, 1)


def leave(txn: Any, number: int, *, apart: bool = False) -> None:
    """From this commit on, the data rows under a number are garbage; receipts and jobs, where it is nobody's number."""
    txn.put(garbage_key(number), _WITH_APART if apart else b"")


def is_there(txn: Any) -> bool:
    """Whether there is any garbage."""
    with txn.cursor() as cursor:
        return bool(cursor.set_range(GARBAGE_FIRST)) and bytes(cursor.key()[:1]) == GARBAGE_FIRST


def sweep(txn: Any, kept: frozenset[int], rows_max: int, over_at: float) -> tuple[bool, int]:
    """Delete about so many rows of what is garbage; whether there is more, and how many rows more might go now.

    Args:
        txn: a transaction with `buffers=True`, which can tell a value's size without reading it from the disk.
        kept: numbers that are passed by, and do not count as more.
        rows_max: at least 1; a row with a large value counts as several.
        over_at: when to stop in any case, by time.perf_counter; looked at only now and then.
    """
    rows = deleted = 0
    first = GARBAGE_FIRST
    with txn.cursor() as cursor:
        while cursor.set_range(first) and bytes(cursor.key()[:1]) == GARBAGE_FIRST:
            number = unpack_garbage_key(cursor.key())
            if number in kept:
                first = garbage_key(number + 1)
                continue
            prefix = data_prefix(number)
            there = cursor.set_range(prefix)
            while there and bytes(cursor.key()[: len(prefix)]) == prefix:
                deleted += 1
                if rows >= rows_max or (deleted % _LOOK_EACH == 0 and time.perf_counter() >= over_at):
                    return True, 0
                rows += 1 + len(cursor.value()) // KIB
                there = cursor.delete()  # moves to the next row
            if bytes(txn.get(garbage_key(number))) == _WITH_APART:
                for delete in (delete_receipts, delete_jobs):
                    rows += delete(txn, number, max(1, rows_max - rows))
                    if rows >= rows_max:
                        return True, 0  # the garbage row stays: the next one looks whether that was all
            txn.delete(garbage_key(number))
    return False, rows_max - rows
