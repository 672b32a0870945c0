"""Reading instances of a type as they were at one moment, step by step, for as long as it takes.

A read transaction for each partition, all begun at once. It holds its pages, as a backup's does: the file grows by what
is written meanwhile. So each is closed when its partition is read, and whoever has an export closes it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import lmdb

from holdfast_host.storage.lmdb.keys import (
    PREFIX_BYTES,
    NameRow,
    alarm_key,
    data_prefix,
    job_prefix,
    name_key,
    unpack_alarm,
    unpack_job,
    unpack_name_row,
)
from holdfast_host.storage.store import StoreBrokenError
from holdfast_host.storage.transfers import ExportedAlarm, ExportedInstance, ExportedJob, ExportedKey, ExportRow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from holdfast_host.storage.lmdb.partition import Partition

_ROW_BYTES: Final = 256  # what a row is counted with beside its value: about as long it takes to be shown


class LmdbExport:
    """One instance, or those of a type. Any thread, one at a time; whoever has it closes it."""

    def __init__(self, partitions: Iterable[Partition], type_id: int, name: bytes | None, prefix: bytes) -> None:
        self._transactions: list[Any] = []
        try:
            for each in partitions:
                self._transactions.append(each.env.begin())
        except lmdb.Error as error:
            self.close()
            raise StoreBrokenError(f"no snapshot can be taken: {error}") from error
        self._rows = self._all(type_id, prefix) if name is None else self._one(type_id, name)

    def step(self, bytes_max: int, longest_s: float) -> list[ExportRow]:
        """The next rows; none where that was all."""
        found: list[ExportRow] = []
        left_bytes, over_at = bytes_max, time.perf_counter() + longest_s
        try:
            for row in self._rows:
                found.append(row)
                left_bytes -= _ROW_BYTES + (len(row.value) if isinstance(row, ExportedKey) else 0)
                if left_bytes <= 0 or time.perf_counter() >= over_at:
                    break
        except lmdb.Error as error:
            raise StoreBrokenError(f"the snapshot cannot be read: {error}") from error
        return found

    def close(self) -> None:
        """Let go of the transactions, and of what reads them first."""
        if hasattr(self, "_rows"):
            self._rows.close()
        while self._transactions:
            self._transactions.pop().abort()

    def _one(self, type_id: int, name: bytes) -> Generator[ExportRow, None, None]:
        (txn,) = self._transactions
        found = txn.get(name_key(type_id, name))
        if found is None:
            return
        row = unpack_name_row(found)
        yield ExportedInstance(name, row.live_bytes)
        yield from _keys(txn, row)
        alarm = txn.get(alarm_key(row.number))
        if alarm is not None:
            yield ExportedAlarm(unpack_alarm(alarm))
        prefix = job_prefix(row.number)
        for key, value in _under(txn, prefix):
            yield ExportedJob(key[len(prefix) :], unpack_job(value))

    def _all(self, type_id: int, prefix: bytes) -> Generator[ExportRow, None, None]:
        name_at = len(name_key(type_id, b""))
        while self._transactions:
            txn = self._transactions[-1]
            for key, value in _under(txn, name_key(type_id, prefix)):
                row = unpack_name_row(value)
                yield ExportedInstance(key[name_at:], row.live_bytes)
                yield from _keys(txn, row)
            self._transactions.pop().abort()


def _keys(txn: Any, row: NameRow) -> Iterator[ExportRow]:
    for key, value in _under(txn, data_prefix(row.data_number)):
        yield ExportedKey(key[PREFIX_BYTES:], value)


def _under(txn: Any, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The rows whose keys begin so; copies, which outlive the transaction."""
    with txn.cursor() as cursor:
        there = cursor.set_range(prefix)
        while there:
            key, value = cursor.item()
            if not key.startswith(prefix):
                return
            yield key, value
            there = cursor.next()
