"""The Store on LMDB: the partitions of one worker, and which instance lies in which.

One environment per partition, opened by exactly one process. Layout: lmdb.keys. Reading: lmdb.partition. Writing:
lmdb.commits. The data directory around them: storage.data_directory.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Container, Sequence
from itertools import repeat
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from holdfast_host.core.clock import Clock, SystemClock
from holdfast_host.core.errors import ConfigurationError, InternalError, StorageFullError
from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import Limits
from holdfast_host.core.listing_pages import NamePage, merge_pages
from holdfast_host.storage.archive.spool import spool_folder
from holdfast_host.storage.data_directory import partition_path, read_data_directory
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.lmdb.commits import commit_group, commit_sweep
from holdfast_host.storage.lmdb.exports import LmdbExport
from holdfast_host.storage.lmdb.inspection import count_keys, instance_page
from holdfast_host.storage.lmdb.jobs import LmdbJobs
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.lmdb.positions import read_in_turn
from holdfast_host.storage.lmdb.snapshots import Snapshot
from holdfast_host.storage.lmdb.sockets import instance_sockets, socket_page
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    CommitReport,
    Leader,
    Receipt,
    SocketRow,
    StorageRoom,
    StoreBrokenError,
    StoredInstance,
)
from holdfast_host.storage.type_quotas import TypeQuotas

_Found = TypeVar("_Found")

_IMPORT_ID_BYTES: Final = 16  # none is ever taken for another, of an earlier worker


class LmdbStore:
    """The partitions that one worker owns. Lives as long as the worker.

    Reads may come from any thread, `commit` from one at a time.
    """

    def __init__(self, partitions: dict[int, Partition], partition_count: int, page_read_s: float) -> None:
        self._partitions = partitions
        self.quotas = TypeQuotas()
        for partition in partitions.values():
            partition.room.quotas = self.quotas
        self._page_read_s = page_read_s
        self._partition_count = partition_count
        self._broken: str | None = None
        # Two objects for one instance would hand out two numbers for one name.
        self._placed: WeakValueDictionary[tuple[int, bytes], StoredInstance] = WeakValueDictionary()
        self._placing = threading.Lock()
        self.jobs = LmdbJobs(partitions, self.locate, page_read_s)
        self._sweeps = 0  # that took something from an instance, so far

    @classmethod
    def open(
        cls,
        data: Path,
        partitions: Sequence[int],
        limits: Limits,
        *,
        make: bool = True,
        clock: Clock | None = None,
        archived: bool = False,
    ) -> LmdbStore:
        """Open some partitions of a data directory and make their epochs this process's own.

        A partition that is not there yet is made, unless `make` says that it must be there. `clock` says when receipts
        have expired. `archived`: what is committed is written down for the archive too.

        Raises:
            ConfigurationError: the directory has no marker, it or a partition is foreign, damaged or of another format,
                or this process has it open already.
        """
        directory = read_data_directory(data)
        if directory is None:
            raise ConfigurationError(f"{data} is no data directory: it has no format.json")
        if not set(partitions) <= set(range(directory.partitions)):
            raise ConfigurationError(f"{data} has {directory.partitions} partitions, asked for are {list(partitions)}")
        opened: dict[int, Partition] = {}
        try:
            for number in partitions:
                path = partition_path(data, number)
                opened[number] = Partition.open(path, number, limits, clock or SystemClock(), make=make)
                if archived:
                    opened[number].open_spool(spool_folder(data, number), limits.archive_spool_bytes_max)
        except BaseException:
            for partition in opened.values():
                partition.close()
            raise
        return cls(opened, directory.partitions, limits.page_read_s)

    @property
    def settles_later(self) -> bool:
        """A commit is durable on return."""
        return False

    def attach(self, leader: Leader) -> None:
        """It needs nothing of its worker, and one read is as cheap as several."""

    def place(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, which may have to be looked up yet; reads and writes nothing.

        Raises:
            InternalError: its partition belongs to another worker.
        """
        with self._placing:
            instance = self._placed.get((type_id, name))
            if instance is None:
                number = partition_of(type_id, name, self._partition_count)
                if number not in self._partitions:
                    raise InternalError(f"instance {name!r} lies in partition {number}, which this worker does not own")
                instance = self._placed[type_id, name] = StoredInstance(number, type_id, name)
            return instance

    def look_up(self, instance: StoredInstance) -> None:
        """Read what is stored of the instance, or number a new one. Outside the lock: no other one waits for the disk.

        What was read is still true when it is written down. Before that nothing of the instance can commit: its number
        is needed for it, and whoever needs that has this very object.
        """
        partition = self._partitions[instance.partition]
        while not instance.number:
            sweeps = self._sweeps
            found = partition.find(instance.type_id, instance.name)
            with self._placing:
                if instance.number or sweeps != self._sweeps:
                    continue  # somebody else was sooner; or what was read may have been swept meanwhile
                if found is None:
                    instance.data_number = number = partition.take_number()
                else:
                    number, instance.live_bytes, instance.data_number, instance.apart_bytes = found
                    instance.exists = True
                instance.number = number  # last: who sees it finds the rest

    def locate(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, looked up.

        Raises:
            InternalError: its partition belongs to another worker.
        """
        instance = self.place(type_id, name)
        self.look_up(instance)
        return instance

    def snapshot(self) -> Snapshot:
        """All partitions as of the last commit; for a backup. No commit may be in flight."""
        return Snapshot(self._partitions)

    def begin_base(self) -> None:
        """What follows is written down in files of its own: all before is in a base. No commit may be in flight.

        Imports that are under way end: what they had brought would be before the base, and their end behind it.
        """
        for partition in self._partitions.values():
            if partition.spool is not None:
                partition.imports.end_idle(0.0)
                partition.spool.renew()

    def get(self, instance: StoredInstance, key: bytes) -> bytes | None:
        """One value as of the last commit."""
        # A commit marks the instance before its changes leave the pending ones, so nothing is missed here.
        while instance.live_bytes:
            data_number = instance.data_number
            value = self._partitions[instance.partition].get(data_number, key)
            if instance.data_number == data_number:  # as in _read, which would cost a call more
                return value
        return None

    def receipt(self, instance: StoredInstance, key_hash: bytes) -> Receipt | None:
        """The answer that is kept under an idempotency key, by its hash."""
        while instance.apart_bytes:
            number = instance.number
            found = self._partitions[instance.partition].receipt(number, key_hash)
            if instance.number == number:  # as `get`
                return found
        return None

    def socket(self, instance: StoredInstance, socket: int) -> SocketRow | None:
        """One socket of the instance, or its auto response, as of the last commit."""
        return self._partitions[instance.partition].socket(instance.number, socket) if instance.apart_bytes else None

    def sockets(
        self, instance: StoredInstance, after: int, entries_max: int
    ) -> tuple[list[tuple[int, SocketRow]], int | None]:
        """The instance's sockets after a number, in their order, and the number to go on after."""
        if not instance.apart_bytes:
            return [], None
        partition = self._partitions[instance.partition]
        return instance_sockets(partition, instance.number, after, entries_max, self._page_read_s)

    def socket_page(
        self, after: bytes, entries_max: int
    ) -> tuple[list[tuple[StoredInstance, int, SocketRow]], bytes | None]:
        """The sockets of all instances, and the position to go on from; None where that is all."""
        return read_in_turn(self._partitions, after, entries_max, self._sockets_of)

    def _sockets_of(
        self, partition: Partition, after: bytes, entries_max: int
    ) -> tuple[list[tuple[StoredInstance, int, SocketRow]], bytes | None]:
        page, position = socket_page(partition, after, entries_max, self._page_read_s)
        found: list[tuple[StoredInstance, int, SocketRow]] = []
        for type_id, name, numbers, rows in page:
            found += zip(repeat(self.locate(type_id, name)), numbers, rows)
        return found, position

    def scan(
        self,
        instance: StoredInstance,
        *,
        start: bytes,
        end: bytes | None,
        reverse: bool,
        entries_max: int,
        bytes_max: int,
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """Pairs with start <= key < end in key order (or against it), and whether that is all there is."""
        partition = self._partitions[instance.partition]
        return self._read(
            instance,
            lambda data: partition.scan(
                data, start, end, reverse=reverse, entries_max=entries_max, bytes_max=bytes_max
            ),
        )

    def alarm(self, instance: StoredInstance) -> Alarm | None:
        """The instance's alarm as of the last commit."""
        return self._partitions[instance.partition].alarm(instance.number) if instance.exists else None

    def due_alarms(self, before_us: int, entries_max: int) -> list[tuple[int, StoredInstance]]:
        """The earliest alarms that are due before a time, in due order, with that time."""
        rows = sorted(row for each in self._partitions.values() for row in each.due(before_us, entries_max))
        return [(due_us, self.locate(type_id, name)) for due_us, type_id, name in rows[:entries_max]]

    def parked_alarms(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[StoredInstance]:
        """Some instances of a type whose alarms are parked, without those of these names."""
        found: list[StoredInstance] = []
        for partition in self._partitions.values():
            names = partition.parked(type_id, entries_max - len(found), but)
            found += [self.locate(type_id, name) for name in names]
        return found

    def alarm_page(
        self, state: str, after: bytes, entries_max: int
    ) -> tuple[list[tuple[int, bytes, Alarm]], bytes | None]:
        """Type, name and alarm of those in a state, and the position to go on from; None where that is all."""
        return read_in_turn(
            self._partitions, after, entries_max, lambda partition, key, left: partition.alarm_page(state, key, left)
        )

    def instances(self, type_id: int, prefix: bytes, after: bytes, entries_max: int) -> NamePage:
        """Name and live bytes of a type's instances in name order, and the name to go on after."""
        pages = [
            instance_page(each, type_id, prefix, after, entries_max, self._page_read_s)
            for each in self._partitions.values()
        ]
        return merge_pages(pages, entries_max)

    def count_keys(self, instance: StoredInstance, after: bytes) -> tuple[int, bytes | None]:
        """How many keys the instance has after one, and the key to go on after."""
        partition = self._partitions[instance.partition]
        return self._read(instance, lambda data: count_keys(partition, data, after, self._page_read_s))

    def export(self, type_id: int, name: bytes | None, prefix: bytes) -> LmdbExport:
        """What is committed now: one instance with its alarm and jobs; or all of a type whose names begin so."""
        all_of_them = self._partitions.values()
        partitions = all_of_them if name is None else [self._partitions[self.place(type_id, name).partition]]
        return LmdbExport(partitions, type_id, name, prefix)

    def begin_import(self, instance: StoredInstance) -> str:
        """Make room beside the instance for what it may adopt; the import's id."""
        import_id = secrets.token_hex(_IMPORT_ID_BYTES)
        self._partitions[instance.partition].begin_import(instance, import_id)
        return import_id

    def staged_keys(self, instance: StoredInstance, import_id: str) -> int:
        """How many keys the import has brought, as of the last commit; HostUnavailableError where it has ended."""
        return self._partitions[instance.partition].imports.find(instance, import_id).keys

    def end_import(self, instance: StoredInstance, import_id: str) -> None:
        """Give it up: what it has brought goes."""
        self._partitions[instance.partition].imports.end(import_id)

    def end_idle_imports(self, idle_s: float) -> bool:
        """Give up those that nobody has gone on with for so long; whether others are under way."""
        return sum(each.imports.end_idle(idle_s) for each in self._partitions.values()) > 0

    def refusal(self, instance: StoredInstance, stored_bytes: int) -> StorageFullError | None:
        """Why the instance may not grow to so many bytes; None where it may, or does not grow."""
        return self._partitions[instance.partition].room.refusal(instance, stored_bytes)

    def room(self) -> StorageRoom:
        """What room there is now, as of a second ago at most."""
        shortages = [each.room.shortage() for each in self._partitions.values()]
        free_bytes = min(each.room.disk_free_bytes for each in self._partitions.values())
        return StorageRoom(free_bytes, next((each for each in shortages if each is not None), None))

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        """Write all batches in one transaction a partition, with the group's number; durable on return.

        Raises:
            StoreBrokenError: the outcome is unknown, or the epoch is not ours; every later commit raises it too.
        """
        if self._broken is not None:
            raise StoreBrokenError(self._broken)
        by_partition: dict[int, list[Batch]] = {}
        for batch in batches:
            by_partition.setdefault(batch.instance.partition, []).append(batch)
        report = CommitReport()
        for number, own in by_partition.items():
            try:
                report.lost.update(commit_group(self._partitions[number], group, own, leans))
            except StoreBrokenError as error:
                self._broken = str(error)
                raise
            if self._partitions[number].expired:
                self._settle_expired(self._partitions[number])
        return report

    @property
    def has_garbage(self) -> bool:
        """Whether `sweep` has something to do now."""
        for each in self._partitions.values():  # a property of each would be asked in every round
            garbage, expiry = each.garbage, each.expiry
            if (garbage.there and garbage.is_due) or (expiry.first_s is not None and expiry.is_due):
                return True
        return False

    def sweep(self) -> None:
        """Delete a piece of what is garbage or has expired in one partition, in a commit of its own.

        Raises:
            StoreBrokenError: as `commit`.
        """
        if self._broken is not None:
            raise StoreBrokenError(self._broken)
        due = (each for each in self._partitions.values() if each.garbage.is_due or each.expiry.is_due)
        partition = next(due, None)
        if partition is None:
            return
        try:
            commit_sweep(partition)
        except StoreBrokenError as error:
            self._broken = str(error)
            raise
        self._settle_expired(partition)

    def reached(self) -> dict[int, tuple[int, int]]:
        """For each partition its epoch and the last group recorded in it."""
        return {number: (each.meta.epoch, each.meta.group) for number, each in self._partitions.items()}

    def close(self) -> None:
        """Close the environments; nothing may be running or called afterwards."""
        for partition in self._partitions.values():
            partition.close()

    def _settle_expired(self, partition: Partition) -> None:
        """What was swept of receipts is gone from the instances in memory too."""
        expired, partition.expired = partition.expired, []
        with self._placing:
            for (type_id, name, number), apart_bytes, exists in expired:
                instance = self._placed.get((type_id, name))
                if instance is not None and instance.number == number:
                    instance.apart_bytes -= apart_bytes
                    instance.exists = exists
            self._sweeps += 1

    def _read(self, instance: StoredInstance, read: Callable[[int], _Found]) -> _Found:
        """What `read` finds under the instance's data number.

        A commit that gives it another one leaves the rows under the old one as they are. They are swept only when the
        instance has the new one: who finds the same one afterwards has read them whole, as of that commit or before it.
        """
        while True:
            data_number = instance.data_number
            found = read(data_number)
            if instance.data_number == data_number:
                return found
