"""The power fails: what a run wrote is replayed up to some instant, and what lay between syncs only in part.

A disk may do with what no sync has covered what it likes: leave it out, do it in another order, do half of it. So for
an instant of the run, everything that was synced before it is there; of the other writes a random part is, torn at
sectors of 512 bytes. A write through a descriptor opened O_DSYNC (LMDB's meta page) is a write and a sync of itself in
one; the one that the instant cuts is torn as well.

A file's content and its place in a folder are two things. That a file or folder was made, renamed or removed counts
from the sync of the folder on that it lies in, and may or may not count before; the sync of a file says nothing about
its name, and that of a folder nothing about what its files hold. A rename within one folder is whole or not at all.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SECTOR_BYTES = 512
_LOCK: Final = "lock.mdb"  # LMDB's table of readers and its mutex; made anew by whoever opens it first


@dataclass(frozen=True, slots=True)
class Record:
    """One call: W write, M write that syncs itself, S sync, T truncate, C create, D mkdir, R rename, U remove."""

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


@dataclass(eq=False)
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

    def write_through(self, record: Record) -> None:
        """It makes itself durable, and what it overwrites does not come back."""
        self.apply(record)
        self.unsynced = [each for each in self.unsynced if not _overlap(each, record)]

    def cut(self, during: Record | None, chance: random.Random) -> bytes:
        """What may be left of it."""
        pending = [each for each in self.unsynced if chance.random() < 0.6]
        if during is not None:
            pending.append(during)
        if not pending:
            return bytes(self.content)
        if chance.random() < 0.5:
            chance.shuffle(pending)
        copy = _File(bytearray(self.content))
        for record in pending:
            _tear(copy, record, chance)
        return bytes(copy.content)

    def _reach(self, size: int) -> None:
        if len(self.content) < size:
            self.content += bytes(size - len(self.content))


_Change = dict[str, "_File | _Folder | None"]  # names and what they lead to from now on, None for nothing


@dataclass(eq=False)
class _Folder:
    """A folder's entries as all processes see them, as they are synced, and the changes since."""

    entries: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    unsynced: list[_Change] = field(default_factory=list)

    def change(self, change: _Change) -> None:
        _apply(self.entries, change)
        self.unsynced.append(change)

    def sync(self) -> None:
        self.synced = dict(self.entries)
        self.unsynced.clear()

    def cut(self, chance: random.Random) -> dict[str, _File | _Folder]:
        """The entries that may be left: the first so many of the changes, or any of them."""
        left = dict(self.synced)
        upto = chance.randrange(len(self.unsynced) + 1)
        any_of_them = chance.random() < 0.5
        for number, change in enumerate(self.unsynced):
            if chance.random() < 0.5 if any_of_them else number < upto:
                _apply(left, change)
        return left


class Disk:
    """A folder as the records make it, and what a cut may leave of it.

    Args:
        base: what is durably there at the beginning; None for nothing.
        below: the folder's path in the records.
        without: names in it that are left alone, and copied from nowhere.
    """

    def __init__(self, base: Path | None, below: Path, without: tuple[str, ...] = ()) -> None:
        self._below = below
        self._without = {*without, _LOCK}
        self._root = _Folder()
        if base is not None:
            self._load(base, self._root)

    def do(self, record: Record) -> None:
        """One more call of the run."""
        if self._is_left_out(record.path):
            return
        folder, name = self._place(record.path)
        found = folder.entries.get(name) if name else self._root
        if record.kind == "S":
            if found is not None:  # else it was removed and is still open
                found.sync()
        elif record.kind in "CD":
            folder.change({name: _File(bytearray()) if record.kind == "C" else _Folder()})
        elif record.kind == "U":
            folder.change({name: None})
        elif record.kind == "R":
            assert found is not None, record
            self._rename(folder, name, record.other, found)
        elif isinstance(found, _File):
            if record.kind == "M":
                found.write_through(record)
            else:
                found.unsynced.append(record)

    def write(self, to: Path, during: Record | None, chance: random.Random) -> None:
        """Put on a real disk what may be there after a cut while `during` was under way."""
        if to.exists():
            shutil.rmtree(to)
        to.mkdir(parents=True)
        torn = None
        if during is not None and during.kind in "WM" and not self._is_left_out(during.path):
            folder, name = self._place(during.path)
            torn = folder.entries.get(name)
        self._write(self._root, to, torn, during, chance)

    def _write(
        self, folder: _Folder, to: Path, torn: _File | _Folder | None, during: Record | None, chance: random.Random
    ) -> None:
        for name, node in folder.cut(chance).items():
            if isinstance(node, _File):
                (to / name).write_bytes(node.cut(during if node is torn else None, chance))
            else:
                (to / name).mkdir(exist_ok=True)
                self._write(node, to / name, torn, during, chance)

    def _load(self, base: Path, folder: _Folder) -> None:
        for path in base.iterdir():
            if path.name in self._without:
                continue
            node = _Folder() if path.is_dir() else _File(bytearray(path.read_bytes()))
            folder.entries[path.name] = folder.synced[path.name] = node
            if isinstance(node, _Folder):
                self._load(path, node)

    def _is_left_out(self, path: str) -> bool:
        return bool(self._without.intersection(Path(path).relative_to(self._below).parts))

    def _place(self, path: str) -> tuple[_Folder, str]:
        """The folder that a path lies in, and its name there; the name is empty for the root."""
        *folders, name = Path(path).relative_to(self._below).parts or ("",)
        folder = self._root
        for each in folders:
            inner = folder.entries[each]
            assert isinstance(inner, _Folder), path
            folder = inner
        return folder, name

    def _rename(self, folder: _Folder, name: str, to: str, node: _File | _Folder) -> None:
        target, new_name = self._place(to)
        if target is folder:
            folder.change({name: None, new_name: node})
        else:
            target.change({new_name: node})
            folder.change({name: None})


def _apply(entries: dict[str, _File | _Folder], change: _Change) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


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
