"""`holdfast verify` finds each kind of damage that a partition can have, and says whose it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from holdfast_host.storage.data_directory import ensure_data_directory, partition_path
from holdfast_host.storage.jobs import Job
from holdfast_host.storage.lmdb import keys
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.verification import FAULTS_SHOWN, PartitionReport, verify_partition
from holdfast_host.storage.store import Alarm, Batch, Changes, Receipt
from tests.unit.storage.conftest import LIMITS

ACCOUNT, NEXT_TYPE = 7, 8
JOB, HASH = b"j" * 16, b"h" * 16
DUE_US, EXPIRES_S = 1_790_000_000_000_000, 1_790_000_000

Damage = Callable[[Any, int], object]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One instance with a bit of everything, and one with a key."""
    ensure_data_directory(tmp_path, 1)
    store = LmdbStore.open(tmp_path, [0], LIMITS)
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    job = Job(kind="run", due_us=DUE_US, scheduled_us=DUE_US, facts=b"{}")
    whole = Changes(
        {b"k": b"value", b"l": b"1"},
        alarm=Alarm(DUE_US, scheduled_us=DUE_US),
        alarm_changed=True,
        receipts={HASH: Receipt(EXPIRES_S, 200, b"f" * 16, b"7")},
        jobs={JOB: job},
    )
    report = store.commit(store_group(store), [Batch(alice, whole), Batch(bob, Changes({b"k": b"1"}))])
    assert not report.lost
    store.close()
    return tmp_path


def store_group(store: LmdbStore) -> int:
    return max(group for _, group in store.reached().values()) + 1


def look(data: Path, damage: Damage = lambda txn, number: None, next_type: int = NEXT_TYPE) -> PartitionReport:
    """What is found once the rows have been damaged; `damage` gets the number of alice."""
    with lmdb.open(os.fspath(partition_path(data, 0)), map_size=LIMITS.map_bytes, lib_version=0) as env:
        with env.begin(write=True) as txn:
            damage(txn, keys.unpack_name_row(txn.get(keys.name_key(ACCOUNT, b"alice")) or b"").number)
        return verify_partition(env, 0, 1, next_type)


def test_a_good_partition_is_counted_and_without_fault(data: Path) -> None:
    report = look(data)
    assert report.faults == []
    assert (report.instances, report.keys, report.alarms, report.jobs, report.receipts) == (2, 3, 1, 1, 1)
    assert report.live_bytes == len("kvaluel1k1")


def _row(txn: Any, prefix: bytes) -> bytes:
    with txn.cursor() as cursor:
        assert cursor.set_range(prefix)
        return bytes(cursor.key())


def _changed_name(txn: Any, **changes: int) -> None:
    key = keys.name_key(ACCOUNT, b"alice")
    txn.put(key, keys.pack_name_row(*keys.unpack_name_row(txn.get(key))._replace(**changes)))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a key is lost": (
        lambda txn, n: txn.delete(keys.data_prefix(n) + b"k"),
        "type 7/alice says that it has 8 bytes, and has 2",
    ),
    "a name is lost": (
        lambda txn, n: txn.delete(keys.name_key(ACCOUNT, b"alice")),
        "keys under the number 1 are no instance's",
    ),
    "a number is another's": (
        lambda txn, n: _changed_name(txn, number=2),
        "has the number 2, which is another's or was never given",
    ),
    "a number was never given": (
        lambda txn, n: _changed_name(txn, number=99),
        "has the number 99, which is another's or was never given",
    ),
    "two share their keys": (
        lambda txn, n: _changed_name(txn, data_number=2),
        "has the data number 2, which is another's or was never given",
    ),
    "nothing is stored": (
        lambda txn, n: txn.put(keys.name_key(ACCOUNT, b"carol"), keys.pack_name_row(0, 0, 0, 0)),
        "type 7/carol has nothing stored, and is listed all the same",
    ),
    "bytes apart": (
        lambda txn, n: _changed_name(txn, apart_bytes=1),
        "says that it has 1 bytes of jobs, receipts and sockets, and has ",
    ),
    "an alarm that nobody finds": (
        lambda txn, n: txn.delete(keys.due_key(DUE_US, n)),
        "the alarm of number 1 has no row by which it is found",
    ),
    "a due row without its alarm": (
        lambda txn, n: txn.delete(keys.alarm_key(n)),
        "a row leads to an alarm of type 7/alice that is not there",
    ),
    "an alarm of nobody": (
        lambda txn, n: txn.put(keys.alarm_key(0), txn.get(keys.alarm_key(n))),
        "an alarm of number 0 is no instance's",
    ),
    "an alarm found as another's": (
        lambda txn, n: txn.put(keys.due_key(DUE_US, n), keys.pack_index_row(ACCOUNT, b"bob")),
        "the alarm of number 1 is found as that of type 7/bob, whose it is not",
    ),
    "a job that nobody finds": (
        lambda txn, n: txn.delete(_row(txn, keys.job_index_prefix("armed"))),
        f"the job {JOB.hex()} of number 1 has no row by which it is found",
    ),
    "a row without its job": (
        lambda txn, n: txn.delete(keys.job_prefix(n) + JOB),
        f"a row leads to the job {JOB.hex()} of type 7/alice that is not there",
    ),
    "a receipt that never goes": (
        lambda txn, n: txn.delete(keys.expiry_key(EXPIRES_S, n, HASH)),
        f"the receipt {HASH.hex()} of number 1 has no row by which it is found",
    ),
    "a row without its receipt": (
        lambda txn, n: txn.delete(keys.receipt_prefix(n) + HASH),
        f"a row leads to the receipt {HASH.hex()} of type 7/alice that is not there",
    ),
    "a row cut short": (
        lambda txn, n: txn.put(keys.alarm_key(n), b"short"),
        "a row does not read: unpack_from requires a buffer of at least",
    ),
    "a kind of a later release": (lambda txn, n: txn.put(b"\xfe", b""), "there are rows of an unknown kind fe"),
    "no meta row": (lambda txn, n: txn.delete(keys.META_KEY), "the meta row is missing"),
    "a later format": (lambda txn, n: txn.put(keys.META_KEY, b"\x63\0\0\0"), "partition 0 has storage format 99"),
    "another partition": (
        lambda txn, n: txn.put(
            keys.META_KEY, keys.pack_meta(keys.unpack_meta(txn.get(keys.META_KEY), "")._replace(partition=3))
        ),
        "it is partition 3: was it moved?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_named(data: Path, name: str) -> None:
    damage, says = DAMAGES[name]
    report = look(data, damage)
    assert any(says in fault for fault in report.faults), report.faults


def test_an_instance_of_a_type_that_was_never_numbered_is_found(data: Path) -> None:
    assert "type 7/alice is of a type that the registry never numbered" in look(data, next_type=ACCOUNT).faults


def test_an_instance_in_the_wrong_partition_is_found(data: Path) -> None:
    with lmdb.open(os.fspath(partition_path(data, 0)), readonly=True, lib_version=0) as env:
        found = [verify_partition(env, 0, count, NEXT_TYPE).faults for count in range(2, 8)]
    assert any("type 7/alice lies in the wrong partition" in faults for faults in found)


def test_more_faults_than_anybody_reads_are_counted(data: Path) -> None:
    def damage(txn: Any, _number: int) -> None:
        for number in range(3, 3 + 2 * FAULTS_SHOWN):
            txn.put(keys.data_prefix(number) + b"k", b"1")

    report = look(data, damage)
    assert (len(report.faults), report.faults_count) == (FAULTS_SHOWN, 2 * FAULTS_SHOWN)
