"""A store that is archived, without a host: commits, rounds of shipping and bases when the test says so."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from holdfast_host.core.backup_file import HEAD
from holdfast_host.core.limits import Limits
from holdfast_host.storage.archive.frames import read_reached
from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.archive.s3 import BucketPath
from holdfast_host.storage.data_directory import MARKER, ensure_data_directory, partition_path
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from holdfast_host.supervisor.archive.base_maker import BaseMaker
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.restoring import Moment, restore_archive
from holdfast_host.supervisor.archive.shipper import Shipper
from holdfast_host.supervisor.directory.layout import DirectoryLayout, open_directory
from holdfast_host.supervisor.registry.registry import Registry

LIMITS = Limits(map_bytes=1 << 28, disk_reserve_bytes=0)
State = dict[tuple[int, bytes], dict[bytes, bytes]]
NAMES = [f"n{number}".encode() for number in range(12)]


def now_us() -> int:
    """As the spool has it."""
    return time.time_ns() // 1000


@dataclass
class ArchivedStore:
    """A data directory with an open store, its archive, and the model of what was committed."""

    data: Path
    root: Path
    layout: DirectoryLayout
    limits: Limits = LIMITS
    keep_s: float = 0.0
    bucket: BucketPath | None = None  # in place of `root`
    group: int = 0
    started: Shipper | None = None
    state: State = field(default_factory=dict)
    history: list[tuple[int, int, State]] = field(default_factory=list)  # when each commit began and was acknowledged

    @classmethod
    def make(cls, folder: Path, partitions: int = 2, **more: Any) -> ArchivedStore:
        """A new one."""
        data = folder / "data"
        data.mkdir()
        ensure_data_directory(data, partitions)
        layout = open_directory(data, partitions)
        Registry.open(layout.registry, layout.compiled).close()
        made = cls(data, folder / "archive", layout, **more)
        made.open()
        made.history.append((0, now_us(), {}))
        return made

    @property
    def target(self) -> ArchiveRoot:
        """Where the archive lies."""
        return self.root if self.bucket is None else self.bucket

    def open(self) -> None:
        """As a worker does when it starts."""
        numbers = range(self.layout.partitions)
        self.store = LmdbStore.open(self.data, numbers, self.limits, archived=True)
        self.group = max(group for _, group in self.store.reached().values())
        self.new_shipper()

    def new_shipper(self) -> None:
        """As a supervisor does."""
        if self.started is not None:
            self.started.close()
        self.started = self.shipper = Shipper(self.layout, self.target, self.keep_s, Mock())
        self.shipper.prepare()

    def commit(self, *changes: tuple[int, bytes, Changes]) -> None:
        """One group."""
        self.group += 1
        began_us = now_us()
        batches = [Batch(self.store.locate(type_id, name), each) for type_id, name, each in changes]
        assert not self.store.commit(self.group, batches).lost
        self.state = {place: dict(keys) for place, keys in self.state.items()}
        for type_id, name, each in changes:
            keys = self.state.setdefault((type_id, name), {})
            if each.cleared:
                keys.clear()
            for key, value in each.writes.items():
                if value is None:
                    keys.pop(key, None)
                else:
                    keys[key] = value
        self.history.append((began_us, now_us(), self.state))

    def put(self, name: bytes, **keys: bytes) -> None:
        """One group of one instance."""
        writes: dict[bytes, bytes | None] = {key.encode(): value for key, value in keys.items()}
        size = sum(len(key) + len(value or b"") for key, value in writes.items())
        self.commit((1, name, Changes(writes, size_bytes=size)))

    def ship(self) -> None:
        """A round that goes well."""
        assert self.shipper.ship(), self.shipper.failure

    def base(self) -> None:
        """Ship, and make a base as of now."""
        self.ship()
        failures: list[Exception] = []
        with _loop() as loop:
            maker = BaseMaker(self._take, loop, self.shipper.note_base, failures.append)
            state = self.shipper._state
            assert state is not None
            maker.start(self.target, self.shipper._origin, state.kept.seq, max(state.reached_us, state.gap_us))
            assert maker._thread is not None
            maker._thread.join()
        assert not failures, failures

    async def _take(
        self, *, with_key: bool, on_file: Callable[[str], None], gone: asyncio.Event, archived: bool
    ) -> None:
        """As `Backups.take` does it, with the workers' part."""
        folder = self.layout.backup / "1"
        folder.mkdir(exist_ok=True)
        snapshot = self.store.snapshot()
        self.store.begin_base()
        head = folder / "head"
        head.write_text(json.dumps({"created_us": now_us(), "partitions": self.layout.partitions}))
        marker = folder / "marker"
        marker.write_bytes((self.data / MARKER).read_bytes())
        registry = Registry.open(self.layout.registry, self.layout.compiled)
        registry.copy(folder / "registry")
        registry.close()
        names = {HEAD: head, MARKER: marker, "registry/registry.sqlite3": folder / "registry"}
        for number in range(self.layout.partitions):
            path = folder / f"part{number}"
            snapshot.copy(number, path)
            names[f"parts/{number:02d}/data.mdb"] = path
        snapshot.close()
        for name, path in names.items():
            on_file(json.dumps({"name": name, "path": str(path), "size": path.stat().st_size}))

    def at(self, at_us: int) -> list[State]:
        """What was acknowledged by then; and what one that was under way made of it."""
        acknowledged = [state for _, when, state in self.history if when <= at_us][-1]
        return [alive(acknowledged), *(alive(state) for began, ended, state in self.history if began <= at_us < ended)]

    def restored(self, directory: Path, moment: Moment | None = None) -> State:
        """What a restored directory holds."""
        restore_archive(self.target, directory, moment or Moment())
        places = {place for _, _, state in self.history for place in state}
        return read_state(directory, self.layout.partitions, places)


def read_state(data: Path, partitions: int, places: set[tuple[int, bytes]]) -> State:
    """All keys of some instances, in a directory in which no host runs."""
    store = LmdbStore.open(data, range(partitions), LIMITS, make=False)
    found: State = {}
    for type_id, name in places:
        instance = store.locate(type_id, name)
        pairs, whole = store.scan(instance, start=b"", end=None, reverse=False, entries_max=10_000, bytes_max=1 << 30)
        assert whole
        found[type_id, name] = dict(pairs)
    store.close()
    assert all(partition_path(data, number).exists() for number in range(partitions))
    return {place: keys for place, keys in found.items() if keys}


def alive(state: State) -> State:
    """Without the instances that have no keys."""
    return {place: keys for place, keys in state.items() if keys}


def some_changes(chance: random.Random) -> Changes:
    """A turn's: keys written, deleted, all of them cleared."""
    writes: dict[bytes, bytes | None] = {}
    for _ in range(chance.randrange(1, 6)):
        key = b"k%d" % chance.randrange(20)
        writes[key] = None if chance.random() < 0.3 else chance.randbytes(chance.randrange(1, 200))
    size = sum(len(key) + len(value or b"") for key, value in writes.items())
    return Changes(writes, cleared=chance.random() < 0.1, size_bytes=size)


def some_commits(archived: ArchivedStore, chance: random.Random, count: int) -> None:
    """Of a few names each."""
    for _ in range(count):
        names = chance.sample(NAMES, chance.randrange(1, 4))
        archived.commit(*((1, name, some_changes(chance)) for name in names))


def reached_us(archived: ArchivedStore) -> int:
    """The moment up to which the archive says that it has all."""
    found = read_reached(archived.root)
    assert found is not None
    return found.at_us


def until_reached(root: ArchiveRoot, at_us: int, bases: int = 1, timeout_s: float = 60.0) -> None:
    """Return when an archive has all that was acknowledged before a moment, and so many bases."""
    deadline = time.monotonic() + timeout_s
    while len(read_bases(root)) < bases or (reached := read_reached(root)) is None or reached.at_us < at_us:
        assert time.monotonic() < deadline, "the archive does not get there"
        time.sleep(0.02)


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
