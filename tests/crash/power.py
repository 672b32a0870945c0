"""The power fails: what a run wrote is replayed up to some instant, and what lay between syncs only in part.

A disk may do with writes that no sync has covered what it likes: leave them out, do them in another order, do half of
one. So for an instant of the run, everything that was synced before it is there; of the other writes a random part is,
torn at sectors of 512 bytes. A write through a descriptor opened O_DSYNC (LMDB's meta page) is a write and a sync of
itself in one; the one that the instant cuts is torn as well. A rename counts from the sync of its directory on, and may
or may not count before.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512
_LEFT_OUT = ("components", "compiled", "uploads", "logs")  # no run of a workload writes there
_LEFT_OUT_PARTS = tuple((name,) for name in _LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Record:
    """One system call: W write, M write that syncs itself, S sync, T truncate, R rename, U unlink."""

    kind: str
    time_s: float
    path: str
    other: str
    offset: int
    data: bytes


def read_records(folder: Path) -> list[Record]:
    """What all processes wrote, in the order of time."""
    records = [record for file in folder.iterdir() for record in _read(file.read_bytes())]
    return sorted(records, key=lambda record: record.time_s)


def _read(content: bytes) -> Iterator[Record]:
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        kind, time_s, offset, size, paths = content[at:end].decode().split(" ", 4)
        path, other = paths.split("\t")
        length = int(size) if kind in "WM" else 0
        yield Record(kind, float(time_s), path, other, int(offset), content[end + 1 : end + 1 + length])
        at = end + 1 + length


@dataclass
class _File:
    """A file's synced content, and the writes since."""

    content: bytearray
    unsynced: list[Record] = field(default_factory=list)

    def sync(self) -> None:
        for record in self.unsynced:
            self.apply(record)
        self.unsynced.clear()

    def apply(self, record: Record) -> None:
        if record.kind == "T":
            del self.content[record.offset :]
            self._reach(record.offset)
        else:
            self.put(record.offset, record.data)

    def put(self, offset: int, data: bytes) -> None:
        self._reach(offset + len(data))
        self.content[offset : offset + len(data)] = data

    def _reach(self, size: int) -> None:
        if len(self.content) < size:
            self.content += bytes(size - len(self.content))


class Disk:
    """The files below a folder as the records make them; `below` is the folder's path in the records."""

    def __init__(self, base: Path, below: Path) -> None:
        self._below = below
        self._files = {
            str(below / path.relative_to(base)): _File(bytearray(path.read_bytes()))
            for path in base.rglob("*")
            if path.is_file() and path.name != "lock.mdb" and path.relative_to(base).parts[0] not in _LEFT_OUT
        }
        self._moves: list[Record] = []  # renames and removals that no sync of a directory has covered

    def do(self, record: Record) -> None:
        """One more call of the run."""
        if record.path.endswith("lock.mdb") or Path(record.path).relative_to(self._below).parts[:1] in _LEFT_OUT_PARTS:
            return
        if record.kind == "S":
            if record.path in self._files:
                self._files[record.path].sync()
            else:
                self._settle(record.path)
        elif record.kind in "RU":
            self._moves.append(record)
            self._follow(record)
        elif record.kind == "M":
            file = self._file(record.path)
            # It makes itself durable, and what it overwrites does not come back.
            file.apply(record)
            file.unsynced = [each for each in file.unsynced if not _overlap(each, record)]
        else:
            self._file(record.path).unsynced.append(record)

    def cut(self, during: Record | None, chance: random.Random) -> dict[str, bytes]:
        """What may be there after a cut while `during` was under way, by path."""
        found = {}
        for path, file in self._files.items():
            copy = _File(bytearray(file.content))
            pending = [each for each in file.unsynced if chance.random() < 0.6]
            if during is not None and during.path == path and during.kind in "WM":
                pending.append(during)
            if chance.random() < 0.5:
                chance.shuffle(pending)
            for record in pending:
                _tear(copy, record, chance)
            found[path] = bytes(copy.content)
        return found

    def write(self, files: dict[str, bytes], to: Path) -> None:
        """Put them on a real disk."""
        if to.exists():
            shutil.rmtree(to)
        for path, content in files.items():
            place = to / Path(path).relative_to(self._below)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def _file(self, path: str) -> _File:
        return self._files.setdefault(path, _File(bytearray()))

    def _settle(self, folder: str) -> None:
        self._moves = [each for each in self._moves if str(Path(each.path).parent) != folder]

    def _follow(self, record: Record) -> None:
        if record.kind == "U":
            self._files.pop(record.path, None)
            return
        for path in list(self._files):
            if path == record.path or path.startswith(f"{record.path}/"):
                self._files[record.other + path[len(record.path) :]] = self._files.pop(path)


def _overlap(first: Record, second: Record) -> bool:
    return first.offset < second.offset + len(second.data) and second.offset < first.offset + len(first.data)


def _tear(file: _File, record: Record, chance: random.Random) -> None:
    """Some sectors of a write; all of it as often as not."""
    if record.kind == "T" or chance.random() < 0.4:
        file.apply(record)
        return
    start, end = record.offset, record.offset + len(record.data)
    sector = start // SECTOR_BYTES * SECTOR_BYTES
    while sector < end:
        if chance.random() < 0.6:
            begin, stop = max(sector, start), min(sector + SECTOR_BYTES, end)
            file.put(begin, record.data[begin - start : stop - start])
        sector += SECTOR_BYTES
