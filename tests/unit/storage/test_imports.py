"""Imports on disk: garbage that a worker's memory keeps, until it is adopted or the memory is gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Alarm, Batch, Changes, StoredInstance
from holdfast_host.storage.transfers import Staging
from tests.harness.partitions import faults_of, rows_of, sweep_all
from tests.unit.storage.clearing import FEW, Group, cleared, everything, many
from tests.unit.storage.conftest import batch, open_lmdb


def piece(instance: StoredInstance, import_id: str, rows: Mapping[bytes, bytes | None]) -> Batch:
    brought = {key: value for key, value in rows.items() if value is not None}
    return Batch(instance, Changes(staging=Staging(import_id, brought), size_bytes=len(brought)))


def adoption(instance: StoredInstance, import_id: str, alarm: Alarm | None = None) -> Batch:
    staging = Staging(import_id, {}, adopts=True)
    return Batch(instance, Changes(staging=staging, cleared=True, erased=True, alarm=alarm, alarm_changed=True))


def test_a_sweep_passes_by_what_an_import_has_brought_and_takes_it_once_that_is_given_up(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    commit = Group(store)
    alice, huge = store.locate(1, b"alice"), store.locate(1, b"huge")
    commit(batch(alice, {b"k": b"1"}), batch(huge, many(100)))
    import_id = store.begin_import(alice)
    commit(piece(alice, import_id, many(50)))
    commit(cleared(huge))

    sweep_all(store)
    assert not store.has_garbage
    assert rows_of(store) == 1 + 1 + 50 + 1, "a name, its key, what was brought, and the row that says whose it is"
    assert faults_of(store) == []

    store.end_import(alice, import_id)
    assert store.has_garbage
    sweep_all(store)
    assert rows_of(store) == 2
    assert everything(store, alice) == {b"k": b"1"}
    store.close()


def test_what_an_import_had_brought_goes_with_the_worker_that_knew_it(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    alice = store.locate(1, b"alice")
    import_id = store.begin_import(alice)
    Group(store)(piece(alice, import_id, many(50)))
    store.close()

    store = open_lmdb(tmp_path, FEW)
    alice = store.locate(1, b"alice")
    with pytest.raises(HostUnavailableError, match="begin again"):
        store.staged_keys(alice, import_id)
    assert store.has_garbage
    sweep_all(store)
    assert rows_of(store) == 0
    assert faults_of(store) == []
    store.close()


@pytest.mark.limit("transfer_idle_s")
def test_an_import_to_which_nothing_comes_is_given_up(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    alice = store.locate(1, b"alice")
    import_id = store.begin_import(alice)
    Group(store)(piece(alice, import_id, many(50)))

    assert store.end_idle_imports(60.0)
    assert not store.end_idle_imports(0.0)

    with pytest.raises(HostUnavailableError):
        store.staged_keys(alice, import_id)
    sweep_all(store)
    assert rows_of(store) == 0
    store.close()


def test_a_large_instance_that_adopts_a_large_import_takes_one_commit_of_few_rows(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path)
    commit = Group(store, looks=False)
    alice = store.locate(1, b"alice")
    for first in range(0, 30_000, 10_000):
        commit(batch(alice, {b"%07d" % number: b"old" for number in range(first, first + 10_000)}))
    import_id = store.begin_import(alice)
    for first in range(0, 20_000, 10_000):
        commit(piece(alice, import_id, {b"%07d" % number: b"new" for number in range(first, first + 10_000)}))
    before = rows_of(store)

    commit(adoption(alice, import_id, Alarm(5)))

    assert before - rows_of(store) <= 10, "the rows of before are swept later"
    assert set(everything(store, alice).values()) == {b"new"}
    assert len(everything(store, alice)) == 20_000
    sweep_all(store)
    assert faults_of(store) == []
    store.close()

    store = LmdbStore.open(tmp_path, [0], FEW)
    alice = store.locate(1, b"alice")
    assert alice.live_bytes == 20_000 * 10
    assert store.alarm(alice) == Alarm(5)
    assert faults_of(store) == []
    store.close()


def test_an_import_of_nothing_but_an_alarm_is_an_instance(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    alice = store.locate(1, b"alice")
    import_id = store.begin_import(alice)

    Group(store)(adoption(alice, import_id, Alarm(5)))

    assert alice.exists
    assert faults_of(store) == []
    store.close()
