"""What one commit writes of one instance: its rows, and what it will be once that is durable.

The transaction, what goes with it and what is done where it does not fit are lmdb.commits'.
"""

from __future__ import annotations

import sys
from typing import Any

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, InternalError
from holdfast_host.core.failures import required
from holdfast_host.storage.jobs import Job
from holdfast_host.storage.lmdb import garbage, jobs, receipts, sockets
from holdfast_host.storage.lmdb.imports import Import, write_rows
from holdfast_host.storage.lmdb.keys import (
    alarm_key,
    data_prefix,
    garbage_key,
    index_key,
    name_key,
    pack_alarm,
    pack_index_row,
    pack_name_row,
    unpack_alarm,
    unpack_name_row,
)
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.lmdb.receipts import Owner
from holdfast_host.storage.store import Alarm, Changes, Receipt, StoredInstance
from holdfast_host.storage.transfers import Staging


class RefusedError(Exception):
    """An instance may not grow, or its import is gone; the transaction it was found in is given up."""

    def __init__(self, error: HoldfastError) -> None:
        super().__init__(error.message)
        self.error = error


class Tally:
    """An instance within a commit: what it will be if the transaction is committed."""

    __slots__ = (
        "apart_bytes", "batches", "data_number", "exists", "expired_bytes", "first_expiry_s", "instance", "live_bytes",
        "number", "spare_number", "staged",
    )  # fmt: skip

    def __init__(self, instance: StoredInstance) -> None:
        self.instance = instance
        self.batches: list[Changes] = []
        self.expired_bytes = 0  # of its receipts, swept by this transaction
        # For its data, or for itself, taken where it clears them or is erased: the rows may be too many to be deleted.
        self.spare_number = 0
        self.begin()

    def begin(self) -> None:
        """As it is before anything is written; a transaction before this one may have been given up."""
        instance = self.instance
        self.number = instance.number
        self.data_number = instance.data_number
        self.live_bytes = instance.live_bytes
        self.apart_bytes = instance.apart_bytes - self.expired_bytes
        self.exists = instance.exists
        self.first_expiry_s = 0  # of the receipts that it writes; 0 for none
        self.staged: dict[str, Import | None] | None = None  # what becomes of its imports; None for adopted

    def settle(self, partition: Partition) -> None:
        """It is durable."""
        instance = self.instance
        if self.spare_number and (self.data_number, self.number) != (instance.data_number, instance.number):
            instance.data_number, instance.number = self.data_number, self.number
            partition.garbage.note()
        if self.staged is not None:
            partition.imports.settle(self.staged)
        if self.first_expiry_s:
            partition.expiry.note(self.first_expiry_s)
        instance.apart_bytes = self.apart_bytes
        instance.live_bytes = self.live_bytes
        instance.exists = self.exists


def write_instance(partition: Partition, txn: Any, tally: Tally) -> None:
    """All batches of one instance, in order; its name row with them."""
    tally.begin()
    instance = tally.instance
    if not tally.data_number:
        raise InternalError(f"instance {instance.name!r} is to be written and was never looked up")
    for changes in tally.batches:
        if changes.staging is not None:
            _write_import(partition, txn, tally, changes, changes.staging)
            continue
        if changes.cleared and tally.live_bytes:
            _clear(partition, txn, tally)
        if changes.writes:
            _write_keys(txn, tally, changes.writes)
        if changes.alarm_changed:
            _write_alarm(txn, instance, tally.number, changes.alarm)
        if changes.erased and tally.apart_bytes:
            _erase_apart(partition, txn, tally)
        if changes.receipts is not None:
            _write_receipts(txn, tally, changes.receipts)
        if changes.jobs is not None:
            _write_jobs(txn, tally, changes.jobs)
        if changes.sockets is not None:
            tally.apart_bytes += sockets.write_sockets(txn, instance, tally.number, changes.sockets)
    refusal = partition.room.refusal(instance, tally.live_bytes + tally.apart_bytes)
    if refusal is not None:
        raise RefusedError(refusal)
    _write_name(txn, tally)


def _write_import(partition: Partition, txn: Any, tally: Tally, changes: Changes, staging: Staging) -> None:
    """A piece of an import, or its end: the instance has nothing any more but what was imported."""
    instance = tally.instance
    staged = tally.staged = {} if tally.staged is None else tally.staged
    try:
        found = partition.imports.find(instance, staging.id)
    except HostUnavailableError as error:
        raise RefusedError(error) from None
    import_ = required(staged.get(staging.id, found), "an import that this group has not adopted")
    if not staging.adopts:
        staged[staging.id] = added = write_rows(txn, import_, staging.rows)
        before = StoredInstance(instance.partition, instance.type_id, instance.name, live_bytes=import_.live_bytes)
        refusal = partition.room.refusal(before, added.live_bytes)
        if refusal is not None:
            raise RefusedError(refusal)
        return
    if tally.live_bytes:
        _clear(partition, txn, tally)
    _write_alarm(txn, instance, tally.number, None)
    if tally.apart_bytes:
        _erase_apart(partition, txn, tally)
    txn.delete(garbage_key(import_.number))
    staged[staging.id], tally.data_number, tally.live_bytes = None, import_.number, import_.live_bytes
    if changes.alarm is not None:
        _write_alarm(txn, instance, tally.number, changes.alarm)
    _write_jobs(txn, tally, changes.jobs or {})


def _write_keys(txn: Any, tally: Tally, writes: dict[bytes, bytes | None]) -> None:
    prefix, live_bytes = data_prefix(tally.data_number), tally.live_bytes
    for key, value in writes.items():
        if value is None:
            old = txn.pop(prefix + key)
        else:
            old = txn.replace(prefix + key, value)
            live_bytes += len(key) + len(value)
        if old is not None:
            live_bytes -= len(key) + len(old)
    tally.live_bytes = live_bytes


def _write_name(txn: Any, tally: Tally) -> None:
    """The name row, where it is another one than before."""
    instance, live_bytes, apart_bytes = tally.instance, tally.live_bytes, tally.apart_bytes
    # A key has at least one byte: no live bytes, no keys.
    tally.exists = live_bytes > 0 or apart_bytes > 0 or txn.get(alarm_key(tally.number)) is not None
    if not tally.exists:
        if instance.exists:
            txn.delete(name_key(instance.type_id, instance.name))
    elif (
        live_bytes != instance.live_bytes
        or apart_bytes != instance.apart_bytes
        or tally.data_number != instance.data_number
        or tally.number != instance.number
        or not instance.exists
    ):
        row = pack_name_row(tally.number, live_bytes, tally.data_number, apart_bytes)
        txn.put(name_key(instance.type_id, instance.name), row)


def _clear(partition: Partition, txn: Any, tally: Tally) -> None:
    """All its keys go: they are deleted, or left as garbage, where they are more than a commit may delete."""
    number = tally.data_number
    # Once a group: what it then clears again it has written itself, which took longer than to delete it.
    if number != tally.instance.data_number or partition.garbage.may_delete(txn, number, tally.live_bytes):
        prefix = data_prefix(number)
        with txn.cursor() as cursor:
            there = cursor.set_range(prefix)
            while there and cursor.key().startswith(prefix):
                there = cursor.delete()  # moves to the next row
    else:
        garbage.leave(txn, number)
        tally.data_number = tally.spare_number
    tally.live_bytes = 0


def _write_receipts(txn: Any, tally: Tally, kept: dict[bytes, Receipt]) -> None:
    """Those of one turn."""
    for key_hash, receipt in kept.items():
        tally.apart_bytes += receipts.write_receipt(txn, tally.instance, tally.number, key_hash, receipt)
        first_s = tally.first_expiry_s
        tally.first_expiry_s = min(first_s, receipt.expires_s) if first_s else receipt.expires_s


def _write_jobs(txn: Any, tally: Tally, changed: dict[bytes, Job | None]) -> None:
    """Those of one turn."""
    for id_, job in changed.items():
        tally.apart_bytes += jobs.write_job(txn, tally.instance, tally.number, id_, job)


def _erase_apart(partition: Partition, txn: Any, tally: Tally) -> None:
    """Its sockets, receipts and jobs go; of these two too many are left as garbage with the number they are under."""
    number = tally.number
    sockets.delete_sockets(txn, number)
    tally.apart_bytes = 0
    if number != tally.instance.number:  # a second time in this group, which has written them itself
        receipts.delete_receipts(txn, number, sys.maxsize)
        jobs.delete_jobs(txn, number, sys.maxsize)
    elif not partition.garbage.delete_apart(txn, number):
        if tally.live_bytes or txn.get(alarm_key(number)) is not None:
            raise InternalError(f"instance {tally.instance.name!r} is erased and keeps keys or an alarm")
        garbage.leave(txn, number, apart=True)
        tally.number = tally.data_number = tally.spare_number


def _write_alarm(txn: Any, instance: StoredInstance, number: int, alarm: Alarm | None) -> None:
    """The alarm row, and the due or rest row that goes with it."""
    key = alarm_key(number)
    row = txn.get(key)
    if row is not None:
        txn.delete(index_key(unpack_alarm(row), instance.type_id, number))
    if alarm is None:
        txn.delete(key)
        return
    txn.put(key, pack_alarm(alarm))
    txn.put(index_key(alarm, instance.type_id, number), pack_index_row(instance.type_id, instance.name))


def take_apart(txn: Any, owner: Owner, bytes_: int) -> bool:
    """So many bytes of receipts are gone: the name row says so, or goes with the last of them. Whether it is there."""
    key = name_key(owner.type_id, owner.name)
    found = txn.get(key)
    if found is None:
        return False
    row = unpack_name_row(bytes(found))
    if row.number != owner.number:
        return True  # erased since; what is under that number is garbage, and in no count
    apart_bytes = row.apart_bytes - bytes_
    if row.live_bytes or apart_bytes or txn.get(alarm_key(row.number)) is not None:
        txn.put(key, pack_name_row(row.number, row.live_bytes, row.data_number, apart_bytes))
        return True
    txn.delete(key)
    return False
