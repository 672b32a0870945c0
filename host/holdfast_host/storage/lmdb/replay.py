"""Committing again what an archive has, into partitions in which no host runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from holdfast_host.core.limits import GIB, MIB, Limits
from holdfast_host.storage.archive.records import Record
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.store import Batch, StoreBrokenError

_FLUSH_BYTES: Final = 8 * MIB
_FLUSH_BATCHES: Final = 5_000


class ReplayError(Exception):
    """A sentence that says why it cannot go on."""


class _NoTime:
    """A clock by which nothing expires: what was kept then is kept."""

    def monotonic(self) -> float:
        """It never goes on."""
        return 0.0

    def wall_us(self) -> int:
        """The beginning of all."""
        return 0


class Replay:
    """Partitions that take records, from `open` to `close`. Several commits of before are one commit here."""

    def __init__(self, partitions: Mapping[int, Partition], count: int) -> None:
        """`count`: how many partitions the directory has."""
        self._partitions = partitions
        self._store = LmdbStore(dict(partitions), count, Limits().page_read_s)
        self._reached = {number: each.meta.group for number, each in partitions.items()}
        self._waiting: dict[int, list[Batch]] = {number: [] for number in partitions}
        self._waiting_bytes = 0

    @classmethod
    def open(cls, paths: Mapping[int, Path], count: int) -> Replay:
        """Open some of the `count` partitions of a directory; those that are not there are made.

        Raises:
            ConfigurationError: one cannot be opened.
        """
        opened: dict[int, Partition] = {}
        try:
            for number, path in paths.items():
                size = sum(each.stat().st_size for each in path.iterdir()) if path.exists() else 0
                limits = Limits(
                    map_bytes=max(Limits().map_bytes, 4 * size), disk_reserve_bytes=0, instance_bytes_max=1024 * GIB
                )
                opened[number] = Partition.open(path, number, limits, _NoTime())
        except BaseException:
            for each in opened.values():
                each.close()
            raise
        return cls(opened, count)

    def apply(self, partition: int, record: Record, only: tuple[int, bytes] | None = None) -> None:
        """Commit it, now or with those that follow; one that the partition has already is passed over.

        `only`: what it says of one instance, by type and name.

        Raises:
            ReplayError: one before it is missing, or it cannot be committed.
        """
        reached = self._reached[partition]
        if record.group <= self._partitions[partition].meta.group:
            return
        if record.previous != reached:
            raise ReplayError(
                f"partition {partition} lacks what was committed between group {reached} and group {record.group}"
            )
        if not record.part and (self._waiting_bytes >= _FLUSH_BYTES or len(self._waiting[partition]) >= _FLUSH_BATCHES):
            self._flush(partition)
        for each in record.unpack():
            if only is not None and (each.type_id, each.name) != only:
                continue
            instance, changes = self._store.locate(each.type_id, each.name), each.changes()
            if changes.staging is not None:
                self._partitions[partition].begin_import(instance, changes.staging.id)
            self._waiting[partition].append(Batch(instance, changes))
        self._waiting_bytes += len(record.batches)
        self._reached[partition] = record.group

    def keys_of(self, type_id: int, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All that an instance has stored, as of the last flush; in order."""
        instance, start, whole = self._store.locate(type_id, name), b"", False
        while not whole:
            pairs, whole = self._store.scan(
                instance, start=start, end=None, reverse=False, entries_max=1_000, bytes_max=_FLUSH_BYTES
            )
            yield from pairs
            start = pairs[-1][0] + b"\0" if pairs else b""

    def flush(self) -> None:
        """Commit the rest.

        Raises:
            ReplayError: as `apply`.
        """
        for number in self._partitions:
            self._flush(number)

    def close(self) -> None:
        """Close; what was not flushed is gone."""
        self._store.close()

    def _flush(self, partition: int) -> None:
        batches, self._waiting[partition] = self._waiting[partition], []
        self._waiting_bytes = 0
        if not batches:
            return
        try:
            lost = self._store.commit(self._reached[partition], batches).lost
        except StoreBrokenError as error:
            raise ReplayError(str(error)) from error
        for refusal in lost.values():
            raise ReplayError(refusal.message)
