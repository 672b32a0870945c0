"""Writing a group to a partition: one transaction, and what is done instead when it does not fit.

1. All batches in one write transaction, in order, with the epoch checked and the group's number recorded; one commit.
2. Where that meets a full map or disk, or an instance over its quota, nothing was committed: the same again with one
   child transaction per instance. Those that fail are lost, and who leans on them; the rest is committed together.
3. Where that commit itself does not fit, one transaction per instance, each after those it leans on. The group's number
   is in each: a crash between two makes a call that was not committed look committed, which its caller reads as
   "outcome unknown"; the other way round would let him repeat what was done.

A disk that fills up in the middle of a write makes that write short, which LMDB reports as EIO. So EIO on a disk below
its reserve is taken for a full one: the next try writes the pages anew, and the meta page, which alone makes them
count, never was written (if it was that write which failed, the environment is panicked).

Anything else that goes wrong (any other EIO at the sync, a panicked environment, another epoch, a bug of ours) is a
StoreBrokenError: after a failed sync a second one may succeed without having written, so nothing may be tried again.

An instance that clears more than a commit can delete in passing gets another number for its data; see lmdb.garbage.
The first way sweeps a piece of what earlier groups left so, and of expired receipts. `commit_sweep` does it in a commit
of its own, which leaves the meta row as it is: no call is made to look committed by it.

Where there is an archive, each of these transactions is written down in the spool before its commit, and confirmed
after: see archive.spool.

Threads: one commit at a time, of either kind; that is the leader's promise. A transaction stays on the thread that
began it.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import lmdb

from holdfast_host.core.errors import HoldfastError, StorageFullError
from holdfast_host.storage.archive.records import ArchivedBatch
from holdfast_host.storage.leans import Leans, lose_what_leans
from holdfast_host.storage.lmdb import garbage, receipts
from holdfast_host.storage.lmdb.free_space import shown
from holdfast_host.storage.lmdb.instance_rows import RefusedError, Tally, take_apart, write_instance
from holdfast_host.storage.lmdb.keys import META_KEY, Meta, pack_meta, unpack_meta
from holdfast_host.storage.lmdb.partition import Expired, Partition
from holdfast_host.storage.lmdb.receipts import Owner
from holdfast_host.storage.store import Batch, StoreBrokenError

_SWEEP_S = 0.002  # of a sweep's deletes: the sync comes on top
_FULL_ERRORS = (lmdb.MapFullError, lmdb.DiskError, lmdb.TxnFullError)
_FULL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def commit_group(partition: Partition, group: int, batches: Sequence[Batch], leans: Leans) -> dict[int, HoldfastError]:
    """Make a group durable; what was lost of it, by id() of the StoredInstance.

    Raises:
        StoreBrokenError: see above; the partition must not be written again.
    """
    tallies: dict[int, Tally] = {}
    written_bytes = 0
    for batch in batches:
        tally = tallies.get(id(batch.instance))
        if tally is None:
            tally = tallies[id(batch.instance)] = Tally(batch.instance)
        changes = batch.changes
        tally.batches.append(changes)
        if (changes.cleared or changes.erased) and not tally.spare_number:
            tally.spare_number = partition.take_number()
        written_bytes += changes.size_bytes
    if group <= partition.meta.group:
        raise StoreBrokenError(f"group {group} does not follow group {partition.meta.group}")
    try:
        partition.room.measure(written_bytes)
        lost = _commit(partition, group, tallies, leans)
        if lost:
            _check_usable(partition)
        return lost
    except StoreBrokenError:
        raise
    except Exception as error:
        raise StoreBrokenError(f"commit of group {group} in partition {partition.number} failed: {error}") from error


def commit_sweep(partition: Partition) -> None:
    """Delete a piece of the garbage; where there is no room for that, put it off.

    Raises:
        StoreBrokenError: as `commit_group`.
    """
    try:
        try:
            with partition.env.begin(write=True, buffers=True) as txn:
                _check_epoch(partition, txn)
                over_at = time.perf_counter() + _SWEEP_S
                swept, expired = _sweep(partition, txn, partition.garbage.rows_max, over_at)
                swept.take_apart(txn, expired)
            swept.settle(partition)
        except lmdb.Error as error:
            if not _wants_room(partition, error):
                raise
            _put_off(partition)
            _check_usable(partition)
    except StoreBrokenError:
        raise
    except Exception as error:
        raise StoreBrokenError(f"sweep of partition {partition.number} failed: {error}") from error


def _commit(partition: Partition, group: int, tallies: dict[int, Tally], leans: Leans) -> dict[int, HoldfastError]:
    number, first = next(iter(tallies.items()))
    sweeps = partition.garbage.is_due or (partition.expiry.first_s is not None and partition.expiry.is_due)
    try:
        _write_together(partition, group, tallies.values(), sweeps)
    except (RefusedError, lmdb.Error) as error:
        refusal = _storage_full(partition, error, first)
        for tally in tallies.values():
            tally.expired_bytes = 0
        if sweeps and not isinstance(error, RefusedError):  # it may be the sweep that found no room
            _put_off(partition)
            return _commit(partition, group, tallies, leans)
        if len(tallies) == 1:
            return {number: refusal}
    else:
        return {}
    try:
        return _write_in_children(partition, group, tallies, leans)
    except lmdb.Error as error:
        _storage_full(partition, error, first)
    return _write_one_by_one(partition, group, tallies, leans)


def _check_usable(partition: Partition) -> None:
    """Raise lmdb.PanicError where it was the meta page that found no room: nothing can be read or written any more."""
    with partition.env.begin():
        pass


class _Sweep:
    """What a transaction has swept, until it is committed."""

    def __init__(self, mark: object, *, garbage_left: bool, next_expiry_s: int | None) -> None:
        self._mark = mark
        self._garbage_left = garbage_left
        self._next_expiry_s = next_expiry_s
        self._expired: list[Expired] = []

    def take_apart(self, txn: Any, expired: dict[Owner, int]) -> None:
        """Bring the name rows of those up to date whose receipts are gone."""
        self._expired = [Expired(owner, bytes_, take_apart(txn, owner, bytes_)) for owner, bytes_ in expired.items()]

    def settle(self, partition: Partition) -> None:
        """It is durable."""
        partition.garbage.swept(self._mark, left=self._garbage_left)
        partition.expiry.first_s = self._next_expiry_s
        partition.expired += self._expired


def _put_off(partition: Partition) -> None:
    partition.garbage.put_off()
    partition.expiry.put_off()


def _sweep(partition: Partition, txn: Any, rows_max: int, over_at: float) -> tuple[_Sweep, dict[Owner, int]]:
    """Garbage first, then expired receipts; and how many bytes of those were whose."""
    mark = partition.garbage.mark  # first: what is left meanwhile is noted under another
    more, rows_left = garbage.sweep(txn, partition.garbage.kept, rows_max, over_at)
    expired = receipts.sweep_expired(txn, partition.expiry.now_s(), rows_left)
    return _Sweep(mark, garbage_left=more, next_expiry_s=receipts.first_expiry(txn)), expired


def _write_together(partition: Partition, group: int, tallies: Collection[Tally], sweeps: bool = False) -> None:
    swept = None
    with partition.env.begin(write=True) as txn:
        meta = _begin_group(partition, txn, group)
        if sweeps:
            swept = _sweep_beside(partition, txn, tallies)  # first: what this group leaves may still be read
        for tally in tallies:
            write_instance(partition, txn, tally)
        if partition.spool is not None:
            partition.spool.append(group, _archived(tallies))
    partition.meta = meta
    if partition.spool is not None:
        partition.spool.confirm(group)
    if swept is not None:
        swept.settle(partition)
    for tally in tallies:
        tally.settle(partition)


def _archived(tallies: Collection[Tally]) -> Iterator[ArchivedBatch]:
    return (ArchivedBatch.of(tally.instance, changes) for tally in tallies for changes in tally.batches)


def _sweep_beside(partition: Partition, txn: Any, tallies: Collection[Tally]) -> _Sweep:
    """A piece of what earlier groups left; what that takes from an instance of this one is its tally's affair."""
    share = partition.garbage.share([changes for tally in tallies for changes in tally.batches])
    with partition.env.begin(write=True, parent=txn, buffers=True) as child:
        swept, expired = _sweep(partition, child, share, math.inf)
    if expired:
        for tally in tallies:
            instance = tally.instance
            tally.expired_bytes = expired.pop(Owner(instance.type_id, instance.name, instance.number), 0)
        swept.take_apart(txn, expired)
    return swept


def _write_in_children(
    partition: Partition, group: int, tallies: dict[int, Tally], leans: Leans
) -> dict[int, HoldfastError]:
    written: list[Tally] = []
    with partition.env.begin(write=True) as txn:
        meta = _begin_group(partition, txn, group)

        def write(number: int) -> HoldfastError | None:
            tally = tallies[number]
            try:
                with partition.env.begin(write=True, parent=txn) as child:
                    write_instance(partition, child, tally)
            except (RefusedError, lmdb.Error) as error:
                return _storage_full(partition, error, tally)
            written.append(tally)
            return None

        lost = lose_what_leans(tallies, leans, write)
        if partition.spool is not None:
            partition.spool.append(group, _archived(written))
    partition.meta = meta
    if partition.spool is not None:
        partition.spool.confirm(group)
    for tally in written:
        tally.settle(partition)
    return lost


def _write_one_by_one(
    partition: Partition, group: int, tallies: dict[int, Tally], leans: Leans
) -> dict[int, HoldfastError]:
    def write(number: int) -> HoldfastError | None:
        tally = tallies[number]
        try:
            _write_together(partition, group, [tally])
        except (RefusedError, lmdb.Error) as error:
            return _storage_full(partition, error, tally)
        return None

    return lose_what_leans(tallies, leans, write)


def _storage_full(partition: Partition, error: RefusedError | lmdb.Error, tally: Tally) -> HoldfastError:
    """What the instance's callers are told; raises `error` itself where it is no want of room."""
    if isinstance(error, RefusedError):
        return error.error
    if not _wants_room(partition, error):
        raise error
    written_bytes = sum(changes.size_bytes for changes in tally.batches)
    return StorageFullError(
        f"no room for {written_bytes} bytes written by instance {shown(tally.instance)}, which holds "
        f"{tally.instance.live_bytes} bytes: {error}: make room on the disk"
    )


def _wants_room(partition: Partition, error: lmdb.Error) -> bool:
    code = getattr(error, "code", None)
    full = isinstance(error, _FULL_ERRORS) or code in _FULL_CODES
    return full or (code == errno.EIO and partition.room.disk_is_low())


def _begin_group(partition: Partition, txn: Any, group: int) -> Meta:
    """Check that the epoch is ours, and record the group; the transaction has done nothing else yet."""
    _check_epoch(partition, txn)
    partition.garbage.begin_group()
    meta = partition.meta._replace(group=group, next_number=partition.next_number)
    txn.put(META_KEY, pack_meta(meta))
    return meta


def _check_epoch(partition: Partition, txn: Any) -> None:
    stored = unpack_meta(txn.get(META_KEY), f"partition {partition.number}")
    mine = partition.meta
    if stored.epoch != mine.epoch:
        raise StoreBrokenError(
            f"partition {partition.number} is in epoch {stored.epoch}, ours is {mine.epoch}: a successor has opened it"
        )
