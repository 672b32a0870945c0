"""`python -m holdfast_host.storage.lmdb.verification`: every row of one partition, against what `keys` says of them.

A process of its own, for a damaged file can end the one that reads it: LMDB checks no page that it maps. It answers
with one JSON line. Nothing may have the partition open; nothing is written.

What it needs of memory is a few bits for each number that was ever given, whatever the partition holds.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import lmdb

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.ids import partition_of
from holdfast_host.core.terminal_text import printable
from holdfast_host.storage.data_directory import partition_path
from holdfast_host.storage.lmdb import keys
from holdfast_host.storage.lmdb.keys import META_KEY, PREFIX_BYTES, Meta, NameRow, unpack_meta
from holdfast_host.storage.lmdb.partition import open_to_verify
from holdfast_host.storage.lmdb.sockets import unpack_owned

FAULTS_SHOWN: Final = 100  # of one partition; further ones are counted

_WITH_APART: Final = b"\1"


@dataclass(slots=True)
class PartitionReport:
    """What was found in a partition: how many there are of what, and what is wrong, the first sentences of it."""

    partition: int
    instances: int = 0
    keys: int = 0
    alarms: int = 0
    jobs: int = 0
    receipts: int = 0
    live_bytes: int = 0
    faults_count: int = 0
    faults: list[str] = field(default_factory=list)

    def note(self, fault: str) -> None:
        """Something is wrong."""
        self.faults_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(fault)


class _Numbers:
    """A set of the numbers of a partition, a bit each."""

    def __init__(self, next_number: int) -> None:
        self._end = next_number
        self._bits = bytearray((next_number >> 3) + 1)

    def __contains__(self, number: int) -> bool:
        return number < self._end and bool(self._bits[number >> 3] & 1 << (number & 7))

    def add(self, number: int) -> bool:
        """Whether it is new, and one that was given."""
        if number >= self._end or number in self:
            return False
        self._bits[number >> 3] |= 1 << (number & 7)
        return True


class _Walk:
    """One look at all rows, kind by kind."""

    def __init__(self, txn: Any, meta: Meta, report: PartitionReport, partitions: int, next_type_id: int) -> None:
        self._txn = txn
        self._report = report
        self._partitions = partitions
        self._next_type_id = next_type_id
        self._numbers = _Numbers(meta.next_number)  # of instances
        self._data_numbers = _Numbers(meta.next_number)  # of instances and of garbage
        self._apart_garbage = _Numbers(meta.next_number)

    def run(self) -> None:
        """Names and garbage first: they say whose all other rows are."""
        looks: dict[int, Callable[[bytes, bytes], None]] = {
            1: self._name,
            3: self._alarm,
            4: self._alarm_index,
            5: self._alarm_index,
            7: self._job,
            8: self._receipt,
            9: self._expiry,
            10: self._socket,
            11: self._job_index,
            12: self._job_index,
        }
        for key, value in self._rows(b"\6"):
            self._garbage(key, value)
        self._kinds({*looks, 0, 2, 6})
        for kind, look in looks.items():
            for key, value in self._rows(bytes((kind,))):
                look(key, value)
        self._data_owners()

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        size = len(prefix)
        with self._txn.cursor() as cursor:
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if key[:size] != prefix:
                        return
                    yield key, value

    def _kinds(self, known: set[int]) -> None:
        """Rows that this release knows nothing of."""
        with self._txn.cursor() as cursor:
            there = cursor.first()
            while there:
                kind = cursor.key()[0]
                if kind not in known:
                    self._report.note(f"there are rows of an unknown kind {kind:02x}")
                if kind == 0xFF:
                    return
                there = cursor.set_range(bytes((kind + 1,)))

    def _garbage(self, key: bytes, value: bytes) -> None:
        number = keys.unpack_garbage_key(key)
        if not self._data_numbers.add(number):
            self._report.note(f"garbage has the number {number}, which was never given")
        if value == _WITH_APART:
            self._apart_garbage.add(number)

    def _name(self, key: bytes, value: bytes) -> None:
        report, who = self._report, _who(*keys.unpack_name_key(key))
        type_id, name = keys.unpack_name_key(key)
        row = keys.unpack_name_row(value)
        report.instances += 1
        if not self._numbers.add(row.number) or row.number in self._apart_garbage:
            report.note(f"{who} has the number {row.number}, which is another's or was never given")
        if not self._data_numbers.add(row.data_number):
            report.note(f"{who} has the data number {row.data_number}, which is another's or was never given")
        if not 0 < type_id < self._next_type_id:
            report.note(f"{who} is of a type that the registry never numbered")
        if partition_of(type_id, name, self._partitions) != report.partition:
            report.note(f"{who} lies in the wrong partition")
        self._sums(who, row)

    def _sums(self, who: str, row: NameRow) -> None:
        report, found_bytes, apart_bytes = self._report, 0, 0
        for key, value in self._rows(keys.data_prefix(row.data_number)):
            report.keys += 1
            found_bytes += len(key) - PREFIX_BYTES + len(value)
        for prefix in (keys.job_prefix(row.number), keys.receipt_prefix(row.number), keys.socket_prefix(row.number)):
            apart_bytes += sum(len(key) - PREFIX_BYTES + len(value) for key, value in self._rows(prefix))
        report.live_bytes += found_bytes
        if found_bytes != row.live_bytes:
            report.note(f"{who} says that it has {row.live_bytes} bytes, and has {found_bytes}")
        if apart_bytes != row.apart_bytes:
            what = "jobs, receipts and sockets"
            report.note(f"{who} says that it has {row.apart_bytes} bytes of {what}, and has {apart_bytes}")
        if not found_bytes and not apart_bytes and self._txn.get(keys.alarm_key(row.number)) is None:
            report.note(f"{who} has nothing stored, and is listed all the same")

    def _alarm(self, key: bytes, value: bytes) -> None:
        number = int.from_bytes(key[1:], "big")
        self._report.alarms += 1
        alarm = keys.unpack_alarm(value)
        if number not in self._numbers:
            self._report.note(f"an alarm of number {number} is no instance's")
        elif keys.has_due_row(alarm):
            self._leads(self._txn.get(keys.due_key(alarm.due_us, number)), number, "the alarm")

    def _alarm_index(self, key: bytes, value: bytes) -> None:
        number, (type_id, name) = keys.number_of_index_key(key), keys.unpack_index_row(value)
        row = self._txn.get(keys.alarm_key(number))
        if row is None or keys.index_key(keys.unpack_alarm(row), type_id, number) != key:
            self._report.note(f"a row leads to an alarm of {_who(type_id, name)} that is not there")
        else:
            self._leads(value, number, "the alarm")

    def _job(self, key: bytes, value: bytes) -> None:
        number, id_ = int.from_bytes(key[1:PREFIX_BYTES], "big"), key[PREFIX_BYTES:]
        if number in self._apart_garbage:
            return
        self._report.jobs += 1
        keys.unpack_job(value)
        if number not in self._numbers:
            self._report.note(f"the job {id_.hex()} is no instance's")
        else:
            self._leads(self._txn.get(keys.job_index_key(value, number, id_)), number, f"the job {id_.hex()}")

    def _job_index(self, key: bytes, value: bytes) -> None:
        number, id_ = keys.job_of_index_key(key)
        row = self._txn.get(keys.job_prefix(number) + id_)
        if row is None or keys.job_index_key(row, number, id_) != key:
            who = _who(*keys.unpack_index_row(value))
            self._report.note(f"a row leads to the job {id_.hex()} of {who} that is not there")

    def _receipt(self, key: bytes, value: bytes) -> None:
        number, key_hash = int.from_bytes(key[1:PREFIX_BYTES], "big"), key[PREFIX_BYTES:]
        if number in self._apart_garbage:
            return
        self._report.receipts += 1
        receipt = keys.unpack_receipt(value)
        if number not in self._numbers:
            self._report.note(f"the receipt {key_hash.hex()} is no instance's")
        else:
            found = self._txn.get(keys.expiry_key(receipt.expires_s, number, key_hash))
            self._leads(found, number, f"the receipt {key_hash.hex()}")

    def _expiry(self, key: bytes, value: bytes) -> None:
        expires_s, number, key_hash = keys.unpack_expiry_key(key)
        row = self._txn.get(keys.receipt_prefix(number) + key_hash)
        if row is None or keys.expires_of(row) != expires_s:
            who = _who(*keys.unpack_index_row(value))
            self._report.note(f"a row leads to the receipt {key_hash.hex()} of {who} that is not there")

    def _socket(self, key: bytes, value: bytes) -> None:
        number, socket = int.from_bytes(key[1:PREFIX_BYTES], "big"), key[PREFIX_BYTES:].hex()
        type_id, name, _ = unpack_owned(value)
        row = self._txn.get(keys.name_key(type_id, name))
        if row is None or keys.unpack_name_row(row).number != number:
            self._report.note(f"the socket {socket} of number {number} says that it is of {_who(type_id, name)}")

    def _leads(self, index_row: bytes | None, number: int, what: str) -> None:
        """The row by which something is found is there, and names whose it is."""
        if index_row is None:
            self._report.note(f"{what} of number {number} has no row by which it is found")
            return
        type_id, name = keys.unpack_index_row(index_row)
        row = self._txn.get(keys.name_key(type_id, name))
        if row is None or keys.unpack_name_row(row).number != number:
            self._report.note(f"{what} of number {number} is found as that of {_who(type_id, name)}, whose it is not")

    def _data_owners(self) -> None:
        """From one data number to the next."""
        with self._txn.cursor() as cursor:
            there = cursor.set_range(keys.data_prefix(0))
            while there and cursor.key()[:1] == keys.data_prefix(0)[:1]:
                number = int.from_bytes(cursor.key()[1:PREFIX_BYTES], "big")
                if number not in self._data_numbers:
                    self._report.note(f"keys under the number {number} are no instance's")
                there = number + 1 < 1 << 64 and cursor.set_range(keys.data_prefix(number + 1))


def verify_partition(env: Any, partition: int, partitions: int, next_type_id: int) -> PartitionReport:
    """Look at all rows of an open environment into which nobody writes.

    Args:
        env: the environment.
        partition: its number.
        partitions: how many the data directory has.
        next_type_id: the first number that no actor type has had.
    """
    report = PartitionReport(partition)
    try:
        with env.begin() as txn:
            row = txn.get(META_KEY)
            if row is None:
                report.note("the meta row is missing")
                return report
            meta = unpack_meta(row, f"partition {partition}")
            if meta.partition != partition:
                report.note(f"it is partition {meta.partition}: was it moved?")
            _Walk(txn, meta, report, partitions, next_type_id).run()
    except (lmdb.Error, ConfigurationError) as error:
        report.note(f"it cannot be read on: {error}")
    except (struct.error, ValueError, LookupError) as error:
        report.note(f"a row does not read: {error}")
    return report


def main() -> None:
    """Verify the partition that the arguments name: data directory, number, partitions, next type id."""
    data, partition, partitions, next_type_id = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    report = PartitionReport(partition)
    try:
        env = open_to_verify(partition_path(data, partition))
    except ConfigurationError as error:
        report.note(error.message)
    else:
        report = verify_partition(env, partition, partitions, next_type_id)
    sys.stdout.write(json.dumps(asdict(report)) + "\n")


def _who(type_id: int, name: bytes) -> str:
    return printable(f"type {type_id}/{name.decode(errors='replace')}")


if __name__ == "__main__":
    main()
