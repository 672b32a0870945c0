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

Threads: one commit at a time; that is the leader's promise. A transaction stays on the thread that began it.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence
from typing import Any

import lmdb

from holdfast_host.core.errors import HoldfastError, StorageFullError
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
from holdfast_host.storage.room import shown
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    Changes,
    Leans,
    StoreBrokenError,
    StoredInstance,
    lose_what_leans,
)

_FULL_ERRORS = (lmdb.MapFullError, lmdb.DiskError, lmdb.TxnFullError)
_FULL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _RefusedError(Exception):
    """An instance may not grow; the transaction it was found in is given up."""

    def __init__(self, error: StorageFullError) -> None:
        super().__init__(error.message)
        self.error = error


class _Tally:
    """An instance within a commit: what it will be if the transaction is committed."""

    __slots__ = ("batches", "exists", "instance", "live_bytes")

    def __init__(self, instance: StoredInstance) -> None:
        self.instance = instance
        self.batches: list[Changes] = []
        self.live_bytes = instance.live_bytes
        self.exists = instance.exists

    def settle(self) -> None:
        """It is durable."""
        self.instance.live_bytes = self.live_bytes
        self.instance.exists = self.exists


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
        tally.batches.append(batch.changes)
        written_bytes += batch.changes.size_bytes
    if group <= partition.meta.group:
        raise StoreBrokenError(f"group {group} does not follow group {partition.meta.group}")
    try:
        partition.room.measure(partition.env.stat(), written_bytes)
        lost = _commit(partition, group, tallies, leans)
        if lost:
            _check_usable(partition)
        return lost
    except StoreBrokenError:
        raise
    except Exception as error:
        raise StoreBrokenError(f"commit of group {group} in partition {partition.number} failed: {error}") from error


def _commit(partition: Partition, group: int, tallies: dict[int, _Tally], leans: Leans) -> dict[int, HoldfastError]:
    number, first = next(iter(tallies.items()))
    try:
        _write_together(partition, group, tallies.values())
    except (_RefusedError, lmdb.Error) as error:
        refusal = _storage_full(partition, error, first)
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


def _write_together(partition: Partition, group: int, tallies: Collection[_Tally]) -> None:
    with partition.env.begin(write=True) as txn:
        meta = _begin_group(partition, txn, group)
        for tally in tallies:
            _write_instance(partition, txn, tally)
    partition.meta = meta
    for tally in tallies:
        tally.settle()


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
        tally.settle()
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
    code = getattr(error, "code", None)
    full = isinstance(error, _FULL_ERRORS) or code in _FULL_CODES
    if not full and not (code == errno.EIO and partition.room.disk_is_low()):
        raise error
    written_bytes = sum(changes.size_bytes for changes in tally.batches)
    return StorageFullError(
        f"no room for {written_bytes} bytes written by instance {shown(tally.instance)}, which holds "
        f"{tally.instance.live_bytes} bytes: {error}"
    )


def _begin_group(partition: Partition, txn: Any, group: int) -> Meta:
    """Check that the epoch is ours, and record the group."""
    stored = unpack_meta(txn.get(META_KEY), f"partition {partition.number}")
    mine = partition.meta
    if stored.epoch != mine.epoch:
        raise StoreBrokenError(
            f"partition {partition.number} is in epoch {stored.epoch}, ours is {mine.epoch}: a successor has opened it"
        )
    meta = mine._replace(group=group, next_number=partition.next_number)
    txn.put(META_KEY, pack_meta(meta))
    return meta


def _write_instance(partition: Partition, txn: Any, tally: _Tally) -> None:
    """All batches of one instance, in order; its name row with them."""
    instance = tally.instance
    prefix = data_prefix(instance.number)
    live_bytes = instance.live_bytes
    for changes in tally.batches:
        if changes.cleared and live_bytes:
            _clear(txn, prefix)
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
    # A key has at least one byte: no live bytes, no keys.
    tally.exists = live_bytes > 0 or txn.get(alarm_key(instance.number)) is not None
    if not tally.exists:
        if instance.exists:
            txn.delete(name_key(instance.type_id, instance.name))
    elif live_bytes != instance.live_bytes or not instance.exists:
        txn.put(name_key(instance.type_id, instance.name), pack_name_row(instance.number, live_bytes))


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
