"""A store of one partition on a small map, and what a test of one instance needs around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes, StoredInstance

LIMITS = Limits(map_bytes=256 * MIB, disk_reserve_bytes=MIB)


def open_lmdb(data: Path, limits: Limits = LIMITS) -> LmdbStore:
    """Make or open a directory of one partition."""
    ensure_data_directory(data, 1)
    return LmdbStore.open(data, [0], limits)


def batch(instance: StoredInstance, writes: dict[bytes, bytes | None], *, cleared: bool = False) -> Batch:
    """The changes of one turn."""
    size = sum(len(key) + len(value or b"") for key, value in writes.items())
    return Batch(instance, Changes(dict(writes), cleared=cleared, size_bytes=size))


@pytest.fixture
def lmdb_store(tmp_path: Path) -> Iterator[LmdbStore]:
    """Open in `tmp_path`; closed after the test."""
    store = open_lmdb(tmp_path)
    yield store
    store.close()
