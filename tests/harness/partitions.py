"""Every row of the partitions of a store, against what holdfast_host.storage.lmdb.keys says of them."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any

import lmdb

from holdfast_host.storage.data_directory import partition_path
from holdfast_host.storage.lmdb.keys import (
    META_KEY,
    PREFIX_BYTES,
    NameRow,
    expiry_key,
    index_key,
    job_index_key,
    pack_index_row,
    unpack_alarm,
    unpack_name_row,
    unpack_receipt,
)
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.lmdb.sockets import unpack_owned
from holdfast_host.storage.lmdb.verification import verify_partition

_TYPES_MAX = 1 << 32

_NAME, _DATA, _ALARM, _DUE, _REST, _GARBAGE, _JOB, _RECEIPT, _EXPIRY, _SOCKET, _JOB_DUE, _JOB_REST = range(1, 13)


def faults_of(store: LmdbStore) -> list[str]:
    """What is wrong in any of its partitions; nothing may be writing.

    It is found twice: here, and as `holdfast verify` finds it, which has to be of the same opinion.
    """
    faults = []
    for each in _partitions(store):
        found = verify_partition(each.env, each.number, store._partition_count, _TYPES_MAX)
        faults += [f"partition {each.number}: {fault}" for fault in (*_faults(each), *found.faults)]
    return faults


def rows_of(store: LmdbStore) -> int:
    """How many rows there are, without the meta rows."""
    return sum(each.env.stat()["entries"] - 1 for each in _partitions(store))


def rows_in(data: Path, partition: int = 0) -> int:
    """The same of one partition, while another process may be writing it; never where this one has it open."""
    with lmdb.open(str(partition_path(data, partition)), readonly=True, lib_version=0) as env:
        return int(env.stat()["entries"]) - 1


def sweep_all(store: LmdbStore) -> int:
    """Sweep until there is no garbage; how many commits that took."""
    sweeps = 0
    while store.has_garbage:
        store.sweep()
        sweeps += 1
    return sweeps


def _partitions(store: LmdbStore) -> list[Partition]:
    return list(store._partitions.values())


def _faults(partition: Partition) -> list[str]:
    names: dict[int, tuple[int, bytes, NameRow]] = {}  # number to type, name, and what the row says
    alarms: dict[int, Any] = {}
    live_bytes: Counter[int] = Counter()
    garbage: dict[int, bytes] = {}
    index: dict[bytes, bytes] = {}
    expiries: dict[bytes, bytes] = {}
    receipts: dict[tuple[int, bytes], bytes] = {}
    sockets: dict[tuple[int, bytes], bytes] = {}
    jobs: dict[tuple[int, bytes], bytes] = {}
    job_index: dict[bytes, bytes] = {}
    apart = {_RECEIPT: receipts, _JOB: jobs, _SOCKET: sockets}
    indexes = {_EXPIRY: expiries, _JOB_DUE: job_index, _JOB_REST: job_index, _DUE: index, _REST: index}
    with partition.env.begin() as txn, txn.cursor() as cursor:
        for key, value in cursor:
            kind = key[0]
            if key == META_KEY:
                continue
            if kind == _NAME:
                row = unpack_name_row(value)
                names[row.number] = (struct.unpack(">I", key[1:5])[0], key[5:], row)
            elif kind == _DATA:
                live_bytes[_number(key[:PREFIX_BYTES])] += len(key) - PREFIX_BYTES + len(value)
            elif kind == _ALARM:
                alarms[_number(key)] = unpack_alarm(value)
            elif kind in apart:
                apart[kind][_number(key), key[PREFIX_BYTES:]] = value
            elif kind in indexes:
                indexes[kind][key] = value
            else:
                assert kind == _GARBAGE, f"a row of no known kind: {key!r}"
                garbage[_number(key)] = value
    expected = {
        index_key(alarm, names[number][0], number): pack_index_row(*names[number][:2])
        for number, alarm in alarms.items()
        if number in names
    }
    faults = [] if index == expected else [f"due and rest rows differ: {index.keys() ^ expected.keys()}"]
    used = Counter([*garbage, *(row.data_number for _, _, row in names.values())])
    faults += [f"the alarm of number {number} belongs to no name" for number in alarms.keys() - names.keys()]
    faults += [
        f"data rows of number {number} are no name's and no garbage" for number in live_bytes if not used[number]
    ]
    faults += [f"data number {number} is used {count} times" for number, count in used.items() if count > 1]
    for number, (_, name, row) in names.items():
        if row.live_bytes != live_bytes[row.data_number]:
            faults.append(f"{name!r} says {row.live_bytes} live bytes and has {live_bytes[row.data_number]}")
        if not live_bytes[row.data_number] and number not in alarms and not row.apart_bytes:
            faults.append(f"{name!r} has neither a key nor an alarm nor a job nor a receipt nor a socket")
    faults += _job_faults(names, jobs, job_index)
    faults += _apart_faults(names, garbage, {**receipts, **jobs, **sockets})
    faults += _receipt_faults(names, garbage, receipts, expiries)
    faults += _socket_faults(names, sockets)
    next_number = partition.meta.next_number
    faults += [f"number {number} is not below {next_number}" for number in {*names, *used} if number >= next_number]
    if expiries and (partition.expiry.first_s or 1 << 62) > int.from_bytes(min(expiries)[1:5], "big"):
        faults.append("there are receipts that nobody will sweep")
    if garbage.keys() - partition.garbage.kept and not partition.garbage.there:
        faults.append("there is garbage that nobody will sweep")
    return faults


def _receipt_faults(
    names: dict[int, tuple[int, bytes, NameRow]],
    garbage: dict[int, bytes],
    receipts: dict[tuple[int, bytes], bytes],
    expiries: dict[bytes, bytes],
) -> list[str]:
    expected = {
        expiry_key(unpack_receipt(value).expires_s, number, key_hash) for (number, key_hash), value in receipts.items()
    }
    faults = [] if expiries.keys() == expected else [f"expiry rows differ: {expiries.keys() ^ expected}"]
    faults += [f"number {number} is a name's and garbage" for number in names if garbage.get(number) == b"\1"]
    faults += [
        f"an expiry row of number {number} leads to another name"
        for key, value in expiries.items()
        if (number := int.from_bytes(key[5:13], "big")) in names and value != pack_index_row(*names[number][:2])
    ]
    return faults


def _socket_faults(names: dict[int, tuple[int, bytes, NameRow]], sockets: dict[tuple[int, bytes], bytes]) -> list[str]:
    return [
        f"socket {socket.hex()} of number {number} is not that name's"
        for (number, socket), value in sockets.items()
        if number not in names or unpack_owned(value)[:2] != names[number][:2]
    ]


def _apart_faults(
    names: dict[int, tuple[int, bytes, NameRow]], garbage: dict[int, bytes], apart: dict[tuple[int, bytes], bytes]
) -> list[str]:
    apart_bytes: Counter[int] = Counter()
    for (number, id_), value in apart.items():
        apart_bytes[number] += len(id_) + len(value)
    faults = [
        f"receipts or jobs of number {number} are no name's and no garbage"
        for number in apart_bytes
        if number not in names and garbage.get(number) != b"\1"
    ]
    return faults + [
        f"{name!r} says {row.apart_bytes} bytes apart and has {apart_bytes[number]}"
        for number, (_, name, row) in names.items()
        if row.apart_bytes != apart_bytes[number]
    ]


def _job_faults(
    names: dict[int, tuple[int, bytes, NameRow]], jobs: dict[tuple[int, bytes], bytes], index: dict[bytes, bytes]
) -> list[str]:
    expected = {job_index_key(row, number, id_): number for (number, id_), row in jobs.items()}
    faults = [] if index.keys() == expected.keys() else [f"rows of jobs differ: {index.keys() ^ expected.keys()}"]
    return faults + [
        f"a row of a job of number {number} leads to another name"
        for key, number in expected.items()
        if number in names and index.get(key) != pack_index_row(*names[number][:2])
    ]


def _number(key: bytes) -> int:
    return int.from_bytes(key[1:9], "big")
