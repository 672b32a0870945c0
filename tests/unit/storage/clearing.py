"""Instances that clear many rows, under a limit that a few pass."""

from __future__ import annotations

from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, StoredInstance
from tests.harness.partitions import faults_of
from tests.unit.storage.conftest import LIMITS, batch

FEW = LIMITS.replace(delete_rows_max=8)


class Group:
    """Commits groups, each numbered after the one before; looks at every row after each, unless that takes too long."""

    def __init__(self, store: LmdbStore, *, looks: bool = True) -> None:
        self.store = store
        self.looks = looks

    def __call__(self, *batches: Batch, lost: int = 0) -> None:
        report = self.store.commit(self.store.reached()[0][1] + 1, batches)
        assert len(report.lost) == lost, report.lost
        assert not self.looks or faults_of(self.store) == []


def many(count: int, value: bytes = b"v") -> dict[bytes, bytes | None]:
    return {b"%07d" % number: value for number in range(count)}


def everything(store: LmdbStore, instance: StoredInstance) -> dict[bytes, bytes]:
    pairs, _ = store.scan(instance, start=b"", end=None, reverse=False, entries_max=1 << 30, bytes_max=1 << 30)
    return dict(pairs)


def cleared(instance: StoredInstance, writes: dict[bytes, bytes | None] | None = None) -> Batch:
    return batch(instance, writes or {}, cleared=True)
