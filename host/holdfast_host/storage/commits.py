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

An instance that clears more than a commit can delete in passing gets another number for its data; see storage.garbage.
The first way sweeps a piece of what earlier groups left so. `commit_sweep` does it in a commit of its own, which leaves
the meta row as it is: no call is made to look committed by it.

Threads: one commit at a time, of either kind; that is the leader's promise. A transaction stays on the thread that
began it.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Collection, Sequence
from typing import Any

import lmdb

from holdfast_host.core.errors import HoldfastError, InternalError, StorageFullError
from holdfast_host.storage import garbage
from holdfast_host.storage.free_space import shown
from holdfast_host.storage.keys import (
    META_KEY,
    Meta,
    alarm_key,
    data_prefix,
    index_key,
    name_key,
    pack_alarm,
    pack_index_row,
    pack_meta,
    pack_name_row,
    unpack_alarm,
    unpack_meta,
)
from holdfast_host.storage.partition import Partition
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    Changes,
    Leans,
    StoreBrokenError,
    StoredInstance,
    lose_what_leans,
)

_SWEEP_S = 0.002  # of a sweep's deletes: the sync comes on top
_FULL_ERRORS = (lmdb.MapFullError, lmdb.DiskError, lmdb.TxnFullError)
_FULL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _RefusedError(Exception):
    """An instance may not grow; the transaction it was found in is given up."""

    def __init__(self, error: StorageFullError) -> None:
        super().__init__(error.message)
        self.error = error


class _Tally:
    """An instance within a commit: what it will be if the transaction is committed."""

    data_number: int  # set where there is a spare one
    __slots__ = ("batches", "data_number", "exists", "instance", "live_bytes", "spare_number")

    def __init__(self, instance: StoredInstance) -> None:
        self.instance = instance
        self.batches: list[Changes] = []
        self.live_bytes = instance.live_bytes
        self.exists = instance.exists
        self.spare_number = 0  # for its data, taken where it clears them: they may be too many to be deleted

    def settle(self, partition: Partition) -> None:
        """It is durable."""
        instance = self.instance
        if self.spare_number and self.data_number != instance.data_number:
            instance.data_number = self.data_number
            partition.garbage.there = True
        instance.live_bytes = self.live_bytes
        instance.exists = self.exists


def commit_group(partition: Partition, group: int, batches: Sequence[Batch], leans: Leans) -> dict[int, HoldfastError]:
    """Make a group durable; what was lost of it, by id() of the StoredInstance.

    Raises:
        StoreBrokenError: see above; the partition must not be written again.
    """
    tallies: dict[int, _Tally] = {}
    written_bytes = 0
    for batch in batches:
        tally = tallies.get(id(batch.instance))
        if tally is None:
            tally = tallies[id(batch.instance)] = _Tally(batch.instance)
        changes = batch.changes
        tally.batches.append(changes)
        if changes.cleared and not tally.spare_number:
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
                more = garbage.sweep(txn, partition.garbage.rows_max, time.perf_counter() + _SWEEP_S)
            partition.garbage.there = more
        except lmdb.Error as error:
            if not _wants_room(partition, error):
                raise
            partition.garbage.put_off()
            _check_usable(partition)
    except StoreBrokenError:
        raise
    except Exception as error:
        raise StoreBrokenError(f"sweep of partition {partition.number} failed: {error}") from error


def _commit(partition: Partition, group: int, tallies: dict[int, _Tally], leans: Leans) -> dict[int, HoldfastError]:
    number, first = next(iter(tallies.items()))
    sweeps = partition.garbage.is_due
    try:
        _write_together(partition, group, tallies.values(), sweeps)
    except (_RefusedError, lmdb.Error) as error:
        refusal = _storage_full(partition, error, first)
        if sweeps and not isinstance(error, _RefusedError):  # it may be the sweep that found no room
            partition.garbage.put_off()
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


def _write_together(partition: Partition, group: int, tallies: Collection[_Tally], sweeps: bool = False) -> None:
    with partition.env.begin(write=True) as txn:
        meta = _begin_group(partition, txn, group)
        more = sweeps and _sweep_beside(partition, txn, tallies)  # first: what this group leaves may still be read
        for tally in tallies:
            _write_instance(partition, txn, tally)
    partition.meta = meta
    if sweeps:
        partition.garbage.there = more
    for tally in tallies:
        tally.settle(partition)


def _sweep_beside(partition: Partition, txn: Any, tallies: Collection[_Tally]) -> bool:
    share = partition.garbage.share([changes for tally in tallies for changes in tally.batches])
    with partition.env.begin(write=True, parent=txn, buffers=True) as child:
        return garbage.sweep(child, share, math.inf)


def _write_in_children(
    partition: Partition, group: int, tallies: dict[int, _Tally], leans: Leans
) -> dict[int, HoldfastError]:
    written: list[_Tally] = []
    with partition.env.begin(write=True) as txn:
        meta = _begin_group(partition, txn, group)

        def write(number: int) -> HoldfastError | None:
            tally = tallies[number]
            try:
                with partition.env.begin(write=True, parent=txn) as child:
                    _write_instance(partition, child, tally)
            except (_RefusedError, lmdb.Error) as error:
                return _storage_full(partition, error, tally)
            written.append(tally)
            return None

        lost = lose_what_leans(tallies, leans, write)
    partition.meta = meta
    for tally in written:
        tally.settle(partition)
    return lost


def _write_one_by_one(
    partition: Partition, group: int, tallies: dict[int, _Tally], leans: Leans
) -> dict[int, HoldfastError]:
    def write(number: int) -> HoldfastError | None:
        tally = tallies[number]
        try:
            _write_together(partition, group, [tally])
        except (_RefusedError, lmdb.Error) as error:
            return _storage_full(partition, error, tally)
        return None

    return lose_what_leans(tallies, leans, write)


def _storage_full(partition: Partition, error: _RefusedError | lmdb.Error, tally: _Tally) -> StorageFullError:
    """What the instance's callers are told; raises `error` itself where it is no want of room."""
    if isinstance(error, _RefusedError):
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


def _write_instance(partition: Partition, txn: Any, tally: _Tally) -> None:
    """All batches of one instance, in order; its name row with them."""
    instance = tally.instance
    data_number = instance.data_number
    if not data_number:
        raise InternalError(f"instance {instance.name!r} is to be written and was never looked up")
    prefix = data_prefix(data_number)
    live_bytes = instance.live_bytes
    for changes in tally.batches:
        if changes.cleared and live_bytes:
            # Once a group: what it then clears again it has written itself, which took longer than to delete it.
            if data_number != instance.data_number or partition.garbage.may_delete(txn, data_number, live_bytes):
                _clear(txn, prefix)
            else:
                garbage.leave(txn, data_number)
                data_number = tally.spare_number
                prefix = data_prefix(data_number)
            live_bytes = 0
        for key, value in changes.writes.items():
            if value is None:
                old = txn.pop(prefix + key)
            else:
                old = txn.replace(prefix + key, value)
                live_bytes += len(key) + len(value)
            if old is not None:
                live_bytes -= len(key) + len(old)
        if changes.alarm_changed:
            _write_alarm(txn, instance, changes.alarm)
    refusal = partition.room.refusal(instance, live_bytes)
    if refusal is not None:
        raise _RefusedError(refusal)
    tally.live_bytes = live_bytes
    if tally.spare_number:
        tally.data_number = data_number
    # A key has at least one byte: no live bytes, no keys.
    tally.exists = live_bytes > 0 or txn.get(alarm_key(instance.number)) is not None
    if not tally.exists:
        if instance.exists:
            txn.delete(name_key(instance.type_id, instance.name))
    elif live_bytes != instance.live_bytes or data_number != instance.data_number or not instance.exists:
        row = pack_name_row(instance.number, live_bytes, data_number)
        txn.put(name_key(instance.type_id, instance.name), row)


def _clear(txn: Any, prefix: bytes) -> None:
    with txn.cursor() as cursor:
        there = cursor.set_range(prefix)
        while there and cursor.key().startswith(prefix):
            there = cursor.delete()  # moves to the next row


def _write_alarm(txn: Any, instance: StoredInstance, alarm: Alarm | None) -> None:
    """The alarm row, and the due or rest row that goes with it."""
    key = alarm_key(instance.number)
    row = txn.get(key)
    if row is not None:
        txn.delete(index_key(unpack_alarm(row), instance.type_id, instance.number))
    if alarm is None:
        txn.delete(key)
        return
    txn.put(key, pack_alarm(alarm))
    txn.put(index_key(alarm, instance.type_id, instance.number), pack_index_row(instance.type_id, instance.name))
