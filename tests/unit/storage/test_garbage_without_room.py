"""A sweep that finds no room, or that the disk fails, harms nothing that is acknowledged."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from holdfast_host.storage.lmdb import commits, garbage
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.store import StoreBrokenError
from tests.harness.partitions import rows_of, sweep_all
from tests.unit.storage.clearing import FEW, Group, cleared, many
from tests.unit.storage.conftest import batch, open_lmdb


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = open_lmdb(tmp_path, FEW)
    yield opened
    opened.close()


def fails(error: Exception) -> Callable[..., bool]:
    def sweep(txn: Any, *_: Any) -> bool:
        txn.put(b"\xff", b"must not stay")
        raise error

    return sweep


def disk_error(code: int) -> lmdb.Error:
    error = lmdb.Error("mdb_txn_commit")
    error.code = code  # type: ignore[misc]
    return error


@pytest.fixture
def littered(store: LmdbStore) -> LmdbStore:
    alice = store.locate(1, b"alice")
    Group(store)(batch(alice, many(100)))
    Group(store)(cleared(alice))
    return store


@pytest.mark.parametrize("error", [lmdb.MapFullError("mdb_del"), disk_error(errno.ENOSPC)])
def test_a_sweep_that_finds_no_room_is_put_off_and_harms_nobody(
    littered: LmdbStore, monkeypatch: pytest.MonkeyPatch, error: lmdb.Error
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bob = littered.locate(1, b"bob")
    with monkeypatch.context() as full:
        full.setattr(garbage, "sweep", fails(error))
        littered.sweep()
        assert not littered.has_garbage, "no spin"

        now[0] += 2
        assert littered.has_garbage
        Group(littered)(batch(bob, {b"k": b"1"}))
        assert not littered.has_garbage, "a group that fell over it goes on alone, and the next ones too"
    Group(littered)(batch(bob, {b"k": b"2"}))
    assert littered.get(bob, b"k") == b"2"

    now[0] += 2
    sweep_all(littered)
    assert rows_of(littered) == 2


@pytest.mark.parametrize("error", [disk_error(errno.EIO), lmdb.PanicError("mdb_txn_begin"), ValueError("a bug")])
def test_a_sweep_that_fails_otherwise_breaks_the_store(
    littered: LmdbStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(garbage, "sweep", fails(error))

    with pytest.raises(StoreBrokenError, match="sweep of partition 0 failed"):
        littered.sweep()
    with pytest.raises(StoreBrokenError, match="sweep of partition 0 failed"):
        littered.commit(99, [batch(littered.locate(1, b"bob"), {b"k": b"1"})])


def test_a_sweep_whose_meta_page_found_no_room_breaks_the_store(
    littered: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def panicked(_: Partition) -> None:
        raise lmdb.PanicError("mdb_txn_begin")

    monkeypatch.setattr(garbage, "sweep", fails(disk_error(errno.ENOSPC)))
    monkeypatch.setattr(commits, "_check_usable", panicked)

    with pytest.raises(StoreBrokenError, match="sweep of partition 0 failed"):
        littered.sweep()


def test_a_sweep_of_a_partition_that_a_successor_has_opened_is_refused(littered: LmdbStore) -> None:
    partition = littered._partitions[0]
    partition.meta = partition.meta._replace(epoch=partition.meta.epoch - 1)

    with pytest.raises(StoreBrokenError, match="a successor has opened it"):
        littered.sweep()
