"""The spool: what a partition has committed and the archive does not have yet, beside the commits of its worker.

A record is written into the spool's file before its transaction is committed, and counts once the word `confirmed` in
the file's head says so, which is set after. So a reader in another process sees what is committed, and nothing else; a
commit that failed is written over by the next. No write of the spool is synced: a killed worker loses none of them,
and after a power cut the partition's group shows that the spool ends before it. Nothing here ever fails a commit, nor
waits for the archive: a spool that cannot be written, or is full, stops, says so in its head, and goes on with the
next base.

    DATA/archive/spool/NN/<number>     head of 64 bytes, then records

A file is followed by the next one when it is large, when a worker opens the partition, and where a base begins.
What a worker that was killed between commit and word left is settled by its successor, which knows the group reached.

Threads: whoever commits, one at a time.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.records import (
    RECORD_BYTES_MAX,
    ArchivedBatch,
    DamagedError,
    Record,
    pack_record,
    unpack_record,
)

FORMAT: Final = 1
HEAD_BYTES: Final = 64
FILE_BYTES: Final = 8 * MIB  # the next file begins when one is as large
_MAGIC: Final = b"HFspool\n"
# magic, format, partition, epoch, the group before the first record, its time, whether what precedes may be lost
_HEAD: Final = struct.Struct("<8sIIQQQI")
_CONFIRMED_AT: Final = 48
_STOPPED_AT: Final = 56
_WORD: Final = struct.Struct("<Q")


def spool_folder(data: Path, partition: int) -> Path:
    """Where the files of a partition lie."""
    return data / "archive" / "spool" / f"{partition:02d}"


def spool_files(folder: Path) -> list[Path]:
    """All files of a partition, in their order."""
    try:
        return sorted((each for each in folder.iterdir() if each.name.isdigit()), key=lambda each: int(each.name))
    except FileNotFoundError:
        return []


class SpoolHead(NamedTuple):
    """What a file says of itself. `gap`: what was committed between the file before it and this one may be missing."""

    partition: int
    epoch: int
    start_group: int
    start_us: int
    gap: bool
    confirmed: int  # where what is committed ends
    stopped: bool  # nothing more is written here, though commits go on


@dataclass(slots=True)
class _Open:
    """The file that is written now."""

    descriptor: int
    head: mmap.mmap
    end: int  # of what is confirmed
    wrote: int = 0  # behind it


class Spool:
    """The spool of one open partition. Lives as long as that."""

    def __init__(self, folder: Path, partition: int, epoch: int, bytes_max: int) -> None:
        self._folder = folder
        self._partition = partition
        self._epoch = epoch
        self._bytes_max = bytes_max
        self._number = 0
        self._file: _Open | None = None
        self._group = 0
        self._part = 0
        self._at_us = 0

    @classmethod
    def open(cls, folder: Path, partition: int, epoch: int, group: int, bytes_max: int) -> Spool:
        """Go on behind what the predecessor has left; `epoch` and `group` are the partition's.

        Raises:
            OSError: there can be no spool here.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        spool = cls(folder, partition, epoch, bytes_max)
        gap = False
        if files := spool_files(folder):
            spool._number = int(files[-1].name)
            gap = _settle(files[-1], partition, epoch, group)
            spool._at_us = _last_us(files[-1])
        spool._group = group
        spool._next_file(gap=gap)
        return spool

    def append(self, group: int, changes: Iterable[ArchivedBatch]) -> None:
        """Write down what is about to be committed; what was and was not confirmed goes."""
        file = self._file
        if file is None:
            return
        self._at_us = at_us = max(self._at_us, time.time_ns() // 1000)
        part = self._part if group == self._group else 0
        record = pack_record(group, self._group, part, at_us, changes)
        try:
            at, left = file.end, memoryview(record)
            while left:
                written = os.pwrite(file.descriptor, left, at)
                at, left = at + written, left[written:]
        except OSError:
            self._stop()
            return
        file.wrote = len(record)

    def confirm(self, group: int) -> None:
        """What was appended last is committed, and durable."""
        file = self._file
        self._part = self._part + 1 if group == self._group else 1
        self._group = group
        if file is None:
            return
        file.end += file.wrote
        file.wrote = 0
        _WORD.pack_into(file.head, _CONFIRMED_AT, file.end)
        if file.end >= FILE_BYTES:
            self._next_file(gap=False)

    def renew(self) -> None:
        """Begin another file, also where this one has stopped: a base holds all that was committed before."""
        self._next_file(gap=self._file is None, bounded=False)

    def close(self) -> None:
        """Nothing more is written."""
        file, self._file = self._file, None
        if file is not None:
            file.head.close()
            os.close(file.descriptor)

    def _next_file(self, *, gap: bool, bounded: bool = True) -> None:
        """Nothing of a file that cannot be made is left but that the one before it has stopped."""
        number = self._number + 1
        path = self._folder / str(number)
        descriptor = -1
        self._at_us = max(self._at_us, time.time_ns() // 1000)
        try:
            if bounded and _sum_bytes(self._folder) >= self._bytes_max:
                self._stop()
                return
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            head = bytearray(HEAD_BYTES)
            _HEAD.pack_into(head, 0, _MAGIC, FORMAT, self._partition, self._epoch, self._group, self._at_us, gap)
            _WORD.pack_into(head, _CONFIRMED_AT, HEAD_BYTES)
            os.pwrite(descriptor, head, 0)
            mapped = mmap.mmap(descriptor, HEAD_BYTES)
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
                path.unlink(missing_ok=True)
            self._stop()
            return
        self.close()
        self._number = number
        self._file = _Open(descriptor, mapped, HEAD_BYTES)

    def _stop(self) -> None:
        """Said in mapped memory, where there is any: neither a disk nor a want of descriptors can be in its way."""
        if self._file is not None:
            self._file.head[_STOPPED_AT] = 1
            self.close()
            return
        with suppress(OSError), (self._folder / str(self._number)).open("r+b") as file:
            file.seek(_STOPPED_AT)
            file.write(b"\1")


def _sum_bytes(folder: Path) -> int:
    """Of all files; the supervisor may remove some meanwhile.

    Raises:
        OSError: the folder cannot be read.
    """
    total = 0
    for each in spool_files(folder):
        with suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


def read_head(path: Path) -> SpoolHead | None:
    """A file's head; None where it is no spool's, or never was whole.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    magic, version, partition, epoch, start_group, start_us, gap = _HEAD.unpack_from(head)
    if magic != _MAGIC or version != FORMAT:
        return None
    (confirmed,) = _WORD.unpack_from(head, _CONFIRMED_AT)
    return SpoolHead(partition, epoch, start_group, start_us, bool(gap), confirmed, head[_STOPPED_AT] != 0)


def read_confirmed(path: Path, begin: int, end: int, bytes_max: int) -> list[tuple[Record, int]]:
    """Records between two places of a file and where each ends: at least one, and so many bytes or a little more.

    Raises:
        DamagedError: what is confirmed is not there, as after a power cut.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(begin)
        text = file.read(min(end - begin, bytes_max + RECORD_BYTES_MAX))
    found, at = list[tuple[Record, int]](), 0
    while at < end - begin and at < bytes_max:
        record, at = unpack_record(text, at)
        found.append((record, begin + at))
    return found


def _settle(path: Path, partition: int, epoch: int, group: int) -> bool:
    """Confirm what a predecessor has committed and could not say so; whether anything that it committed is missing."""
    head = read_head(path)
    if head is None or head.partition != partition or head.epoch != epoch - 1:
        return True  # somebody else has written to the partition since
    reached, unsaid = head.start_group, HEAD_BYTES
    try:
        for record, end in _walk(path):
            if end > head.confirmed:
                if record.group != group or record.previous != reached:
                    break  # it was not committed
                if record.part:
                    return True  # nobody can know: the one before it has recorded the group
                unsaid = end
            reached = record.group
    except DamagedError:
        return True
    if unsaid > head.confirmed:
        with path.open("r+b") as file:
            file.seek(_CONFIRMED_AT)
            file.write(_WORD.pack(unsaid))
    return reached != group or head.stopped


def _walk(path: Path) -> Iterator[tuple[Record, int]]:
    """All records of a file and where each ends, also those that are not confirmed; a torn one there is none."""
    head = read_head(path)
    text, at = path.read_bytes(), HEAD_BYTES
    confirmed = 0 if head is None else head.confirmed
    while at < len(text):
        try:
            record, at = unpack_record(text, at)
        except DamagedError:
            if at < confirmed:
                raise
            return
        yield record, at


def _last_us(path: Path) -> int:
    at_us = 0
    with suppress(DamagedError, OSError):
        head = read_head(path)
        if head is not None:
            at_us = head.start_us
        for record, _ in _walk(path):
            at_us = max(at_us, record.at_us)
    return at_us
