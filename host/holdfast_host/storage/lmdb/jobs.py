"""The jobs of a store: how they are written and go, and what is read of them.

Every read is one short transaction a partition, and no longer than the time of a page: one that is held for long makes
the file grow for good.
"""

from __future__ import annotations

import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import lmdb

from holdfast_host.core.limits import KIB, MIB
from holdfast_host.storage.jobs import ID_BYTES, DueJob, DuePage, FoundJob, Job
from holdfast_host.storage.lmdb.keys import (
    PREFIX_BYTES,
    due_of_job,
    job_due_key,
    job_index_key,
    job_index_prefix,
    job_of_index_key,
    job_prefix,
    name_key,
    pack_index_row,
    pack_job,
    unpack_index_row,
    unpack_job,
    unpack_job_due_key,
    unpack_name_row,
)
from holdfast_host.storage.lmdb.positions import read_in_turn
from holdfast_host.storage.store import StoreBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator, Mapping

    from holdfast_host.storage.lmdb.partition import Partition
    from holdfast_host.storage.store import StoredInstance

_PAGE_BYTES_MAX: Final = 8 * MIB


def write_job(txn: Any, instance: StoredInstance, number: int, id_: bytes, job: Job | None) -> int:
    """Keep it, or let it go; by how many bytes that lets the instance grow, which may be less than none.

    The rows are those of `number`, which is or will be the instance's.
    """
    key = job_prefix(number) + id_
    grown = 0
    if job is None:
        old = txn.pop(key)
    else:
        row = pack_job(instance.type_id, job)
        old = txn.replace(key, row)
        grown = ID_BYTES + len(row)
    if old is not None:
        grown -= ID_BYTES + len(old)
        txn.delete(job_index_key(old, number, id_))
    if job is not None:
        txn.put(job_index_key(row, number, id_), pack_index_row(instance.type_id, instance.name))
    return grown


def delete_jobs(txn: Any, number: int, rows_max: int) -> int:
    """Delete jobs of a number with their due and rest rows, about so many at most; how many those were, by weight."""
    prefix = job_prefix(number)
    rows = 0
    with txn.cursor() as cursor:
        while rows < rows_max and cursor.set_range(prefix) and bytes(cursor.key()[:PREFIX_BYTES]) == prefix:
            key, value = bytes(cursor.key()), cursor.value()
            rows += 1 + len(value) // KIB
            index_key = job_index_key(value, number, key[PREFIX_BYTES:])
            txn.delete(key)
            txn.delete(index_key)
    return rows


class LmdbJobs:
    """`StoredJobs` over the partitions of one worker."""

    def __init__(
        self,
        partitions: Mapping[int, Partition],
        locate: Callable[[int, bytes], StoredInstance],
        page_read_s: float,
    ) -> None:
        self._partitions = partitions
        self._locate = locate
        self._page_read_s = page_read_s

    def get(self, instance: StoredInstance, id_: bytes) -> Job | None:
        """One job."""
        while instance.apart_bytes:
            number = instance.number
            with _Reading(self._partitions[instance.partition]) as txn:
                row = txn.get(job_prefix(number) + id_)
            if instance.number == number:  # else it was erased meanwhile
                return None if row is None else unpack_job(row)
        return None

    def page(
        self, instance: StoredInstance, after: bytes, prefix: bytes, entries_max: int
    ) -> tuple[list[tuple[bytes, Job]], bool]:
        """Jobs of an instance in the order of their ids, and whether that is all."""
        found: list[tuple[bytes, Job]] = []
        if not instance.apart_bytes:
            return found, True
        first = job_prefix(instance.number)
        wanted = first + prefix
        with _Reading(self._partitions[instance.partition]) as txn:
            over_at = time.perf_counter() + self._page_read_s
            page_bytes = 0
            for key, value in _rows_from(txn, max(wanted, first + after + b"\0" if after else wanted), wanted):
                page_bytes += len(value)
                if found and (
                    len(found) >= entries_max or page_bytes > _PAGE_BYTES_MAX or time.perf_counter() >= over_at
                ):
                    return found, False
                found.append((key[PREFIX_BYTES:], unpack_job(value)))
        return found, True

    def count(self, instance: StoredInstance) -> int:
        """How many an instance has."""
        if not instance.apart_bytes:
            return 0
        first, stop = job_prefix(instance.number), job_prefix(instance.number + 1)
        with _Reading(self._partitions[instance.partition]) as txn, txn.cursor() as cursor:
            if not cursor.set_range(first):
                return 0
            return sum(1 for _ in takewhile(stop.__gt__, cursor.iternext(keys=True, values=False)))

    def due(
        self, pool: str, positions: Mapping[int, tuple[int, int, bytes]], before_us: int, entries_max: int
    ) -> DuePage:
        """Those that are due before a time, from those positions on, about so many a partition, in due order there."""
        rows: list[DueJob] = []
        reached: dict[int, tuple[int, int, bytes]] = {}
        is_all = True
        for number, partition in self._partitions.items():
            due_us, owner, id_ = positions.get(number, (0, 0, b""))
            page, complete = self._due_page(
                partition, pool, job_due_key(pool, due_us, owner) + id_ + b"\0", before_us, entries_max
            )
            rows += [DueJob(due_us, self._locate(type_id, name), id_) for due_us, _, id_, type_id, name in page]
            reached[number] = (before_us, 0, b"") if complete else page[-1][:3]
            is_all = is_all and complete
        return DuePage(sorted(rows, key=lambda row: row.due_us), reached, is_all)

    def _due_page(
        self, partition: Partition, pool: str, first: bytes, before_us: int, entries_max: int
    ) -> tuple[list[tuple[int, int, bytes, int, bytes]], bool]:
        stop, rows = job_due_key(pool, before_us, 0), list[tuple[int, int, bytes, int, bytes]]()
        with _Reading(partition) as txn, txn.cursor() as cursor:
            over_at = time.perf_counter() + self._page_read_s
            if cursor.set_range(first):
                for key, value in cursor:
                    if key >= stop:
                        break
                    if rows and (len(rows) >= entries_max or time.perf_counter() >= over_at):
                        return rows, False
                    rows.append((*unpack_job_due_key(key), *unpack_index_row(value)))
        return rows, True

    def due_of(
        self, instance: StoredInstance, pool: str, before_us: int, but: Collection[bytes], entries_max: int
    ) -> tuple[list[DueJob], bool]:
        """Some of one instance that are due before a time, but for those ids; and whether that is all."""
        found: list[DueJob] = []
        if not instance.apart_bytes:
            return found, True
        prefix = job_prefix(instance.number)
        with _Reading(self._partitions[instance.partition], buffers=True) as txn:
            for key, value in _rows_from(txn, prefix, prefix):
                due = due_of_job(value)
                if due is None or due[0] != pool or due[1] >= before_us:
                    continue
                id_ = bytes(key[PREFIX_BYTES:])
                if id_ in but:
                    continue
                if len(found) >= entries_max:
                    return found, False
                found.append(DueJob(due[1], instance, id_))
        return found, True

    def parked(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[tuple[StoredInstance, bytes]]:
        """Some parked jobs of a type, without those of the instances of these names."""
        prefix = job_index_prefix("parked", type_id)
        found: list[tuple[StoredInstance, bytes]] = []
        for partition in self._partitions.values():
            rows: list[tuple[bytes, bytes]] = []
            with _Reading(partition) as txn:
                for key, value in _rows_from(txn, prefix, prefix):
                    if len(found) + len(rows) >= entries_max:
                        break
                    name = unpack_index_row(value)[1]
                    if name not in but:
                        rows.append((job_of_index_key(key)[1], name))
            found += [(self._locate(type_id, name), id_) for id_, name in rows]
        return found

    def listing(self, state: str, after: bytes, entries_max: int) -> tuple[list[FoundJob], bytes | None]:
        """Those in a state, and the position to go on from; None where that is all."""
        return read_in_turn(
            self._partitions,
            after,
            entries_max,
            lambda partition, key, left: self._list_partition(partition, state, key, left),
        )

    def _list_partition(
        self, partition: Partition, state: str, after: bytes, entries_max: int
    ) -> tuple[list[FoundJob], bytes | None]:
        prefix = job_index_prefix(state)
        found: list[FoundJob] = []
        with _Reading(partition) as txn:
            over_at = time.perf_counter() + self._page_read_s
            for key, value in _rows_from(txn, after + b"\0" if after else prefix, prefix):
                number, id_ = job_of_index_key(key)
                type_id, name = unpack_index_row(value)
                owner, row = txn.get(name_key(type_id, name)), txn.get(job_prefix(number) + id_)
                if owner is not None and unpack_name_row(owner).number == number:  # else it is garbage
                    job = unpack_job(row)
                    if job.state == state:
                        found.append(FoundJob(type_id, name, id_, job))
                if len(found) >= entries_max or time.perf_counter() >= over_at:
                    return found, bytes(key)
        return found, None


class _Reading:
    """A read transaction of a partition; a read that fails means that the environment is unusable."""

    def __init__(self, partition: Partition, *, buffers: bool = False) -> None:
        self._partition = partition
        self._buffers = buffers

    def __enter__(self) -> Any:
        try:
            self._txn = self._partition.env.begin(buffers=self._buffers)
        except lmdb.Error as error:
            raise self._broken(error) from error
        return self._txn

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._txn.abort()
        if isinstance(error, lmdb.Error):
            raise self._broken(error) from error

    def _broken(self, error: lmdb.Error) -> StoreBrokenError:
        return StoreBrokenError(f"partition {self._partition.number} cannot be read: {error}")


def _rows_from(txn: Any, first: bytes, prefix: bytes) -> Iterator[tuple[Any, Any]]:
    """The rows from a key on that begin with a prefix."""
    size = len(prefix)
    with txn.cursor() as cursor:
        if cursor.set_range(first):
            for key, value in cursor:
                if bytes(key[:size]) != prefix:
                    return
                yield key, value
