"""Every row of the partitions of a store, against what holdfast_host.storage.keys says of them."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any

import lmdb

from holdfast_host.storage.data_directory import partition_path
from holdfast_host.storage.keys import META_KEY, PREFIX_BYTES, index_key, pack_index_row, unpack_alarm, unpack_name_row
from holdfast_host.storage.lmdb_store import LmdbStore
from holdfast_host.storage.partition import Partition

_NAME, _DATA, _ALARM, _DUE, _REST, _GARBAGE = range(1, 7)


def faults_of(store: LmdbStore) -> list[str]:
    """What is wrong in any of its partitions; nothing may be writing."""
    return [f"partition {each.number}: {fault}" for each in _partitions(store) for fault in _faults(each)]


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
    names: dict[int, tuple[int, bytes, int, int]] = {}  # number to type, name, live bytes and data number
    alarms: dict[int, Any] = {}
    live_bytes: Counter[int] = Counter()
    garbage: set[int] = set()
    index: dict[bytes, bytes] = {}
    with partition.env.begin() as txn, txn.cursor() as cursor:
        for key, value in cursor:
            kind = key[0]
            if key == META_KEY:
                continue
            if kind == _NAME:
                number, live, data_number = unpack_name_row(value)
                names[number] = (struct.unpack(">I", key[1:5])[0], key[5:], live, data_number)
            elif kind == _DATA:
                live_bytes[_number(key[:PREFIX_BYTES])] += len(key) - PREFIX_BYTES + len(value)
            elif kind == _ALARM:
                alarms[_number(key)] = unpack_alarm(value)
            elif kind in {_DUE, _REST}:
                index[key] = value
            else:
                assert kind == _GARBAGE, f"a row of no known kind: {key!r}"
                garbage.add(_number(key))
    expected = {
        index_key(alarm, names[number][0], number): pack_index_row(*names[number][:2])
        for number, alarm in alarms.items()
        if number in names
    }
    faults = [] if index == expected else [f"due and rest rows differ: {index.keys() ^ expected.keys()}"]
    used = Counter([*garbage, *(data_number for _, _, _, data_number in names.values())])
    faults += [f"the alarm of number {number} belongs to no name" for number in alarms.keys() - names.keys()]
    faults += [
        f"data rows of number {number} are no name's and no garbage" for number in live_bytes if not used[number]
    ]
    faults += [f"data number {number} is used {count} times" for number, count in used.items() if count > 1]
    for number, (_, name, live, data_number) in names.items():
        if live != live_bytes[data_number]:
            faults.append(f"{name!r} says {live} live bytes and has {live_bytes[data_number]}")
        if not live_bytes[data_number] and number not in alarms:
            faults.append(f"{name!r} has neither a key nor an alarm")
    next_number = partition.meta.next_number
    faults += [f"number {number} is not below {next_number}" for number in {*names, *used} if number >= next_number]
    if garbage and not partition.garbage.there:
        faults.append("there is garbage that nobody will sweep")
    return faults


def _number(key: bytes) -> int:
    return int.from_bytes(key[1:9], "big")
