"""The stores that the conformance suite runs over. Each is given as a way to open it, so that a test may set limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Store
from tests.harness.memory_store import MemoryStore

OpenStore = Callable[[Limits], Store]

SMALL_MAP = Limits(map_bytes=256 * MIB, disk_reserve_bytes=MIB, page_read_s=60.0)  # a busy machine cuts nothing short


@pytest.fixture(params=["memory", "lmdb", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens a store, of two partitions where it has any; closed after the test."""
    opened: list[Store] = []

    def open_one(limits: Limits) -> Store:
        store: Store
        if request.param == "memory":
            store = MemoryStore(2, limits)
        elif request.param == "postgres":
            from tests.harness.postgres import PumpedStore, new_store

            store = cast("Store", PumpedStore.open(*new_store(), limits))
        else:
            ensure_data_directory(tmp_path, 2)
            store = LmdbStore.open(tmp_path, [0, 1], limits)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    """A store with the default limits, on a small map."""
    return open_store(SMALL_MAP)
