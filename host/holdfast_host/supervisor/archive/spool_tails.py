"""How far the spool of each partition was read, and what comes next of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.records import DamagedError, Record
from holdfast_host.storage.archive.spool import (
    HEAD_BYTES,
    SpoolHead,
    read_confirmed,
    read_head,
    spool_files,
    spool_folder,
)
from holdfast_host.wire.pages.state_page import FIRST_GROUP

_ROUND_BYTES: Final = 8 * MIB  # of one partition, in one frame
_UNKNOWN: Final = 0  # in place of a group: no partition begins with it


class Tail(NamedTuple):
    """Where the next record of a partition is read."""

    file: int = 0
    offset: int = HEAD_BYTES
    group: int = FIRST_GROUP - 1  # the last one that was read
    at_us: int = 0  # its time


class Gap(NamedTuple):
    """Commits of a partition between two moments that no spool has any more."""

    partition: int
    from_us: int
    to_us: int


@dataclass(slots=True)
class Found:
    """What is new of all partitions."""

    tails: dict[int, Tail] = field(default_factory=dict)
    records: list[tuple[int, Record]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    whole: bool = True  # it is all that began before the horizon
    cut_us: int | None = None  # the time of the last record of one that had more than a frame takes
    latest_us: int = 0  # a time that was seen: where the horizon was before it, the clock has been set back
    stopped: bool = False  # a spool writes nothing more, though there are commits


def read_spools(data: Path, partitions: Sequence[int], tails: dict[int, Tail], horizon_us: int) -> Found:
    """What was committed and began before a moment, in an order in which nothing comes before what it depends on.

    `horizon_us` must be taken before this is called: what depends on a record that is missed here has a later time.

    Raises:
        OSError: a spool cannot be read.
    """
    found = _read_all(data, partitions, tails, horizon_us, horizon_us)
    if found.cut_us is not None:  # what the others have after that may depend on what it has then
        found = _read_all(data, partitions, tails, horizon_us, found.cut_us)
        found.whole = False
    found.records.sort(key=lambda each: each[1].at_us)  # stable: those of a partition stay in their order
    return found


def _read_all(data: Path, partitions: Sequence[int], tails: dict[int, Tail], horizon_us: int, until_us: int) -> Found:
    found = Found(dict(tails))
    for partition in partitions:
        _read(spool_folder(data, partition), partition, horizon_us, until_us, found)
    return found


def drop_read(data: Path, tails: dict[int, Tail]) -> None:
    """Remove the files of which all was read; the last one of a partition stays."""
    for partition, tail in tails.items():
        files = spool_files(spool_folder(data, partition))
        if any(int(path.name) == tail.file for path in files):  # else they may be others, that begin anew
            for path in files:
                if int(path.name) < tail.file:
                    path.unlink(missing_ok=True)


def waiting_bytes(data: Path, partitions: Iterable[int], tails: dict[int, Tail]) -> int:
    """How many bytes of the spools are not read yet."""
    total = 0
    for partition in partitions:
        tail = tails.get(partition, Tail())
        for path in spool_files(spool_folder(data, partition)):
            head = read_head(path)
            if head is not None and int(path.name) >= tail.file:
                total += head.confirmed - (tail.offset if int(path.name) == tail.file else HEAD_BYTES)
    return total


def _read(folder: Path, partition: int, horizon_us: int, until_us: int, found: Found) -> None:
    tail, read_bytes = found.tails.get(partition, Tail()), 0
    while True:
        numbers = [int(each.name) for each in spool_files(folder)]
        later = [each for each in numbers if each > tail.file]
        head = read_head(folder / str(tail.file)) if tail.file in numbers else None  # after `later` was seen
        others = later if tail.file in numbers else later or numbers
        if head is not None and _is_another(head, tail):
            head, others = None, [tail.file, *later]
        if head is not None and read_bytes < _ROUND_BYTES:
            try:
                pairs = read_confirmed(folder / str(tail.file), tail.offset, head.confirmed, _ROUND_BYTES - read_bytes)
            except DamagedError:
                found.gaps.append(Gap(partition, tail.at_us, max(horizon_us, tail.at_us)))
                found.tails[partition] = tail = Tail(
                    tail.file, head.confirmed, _UNKNOWN, max(tail.at_us, head.start_us)
                )
                pairs = []
            for record, end in pairs:
                found.latest_us = max(found.latest_us, record.at_us)
                if record.at_us > until_us:
                    return
                found.records.append((partition, record))
                read_bytes += end - tail.offset
                found.tails[partition] = tail = Tail(tail.file, end, record.group, record.at_us)
        if head is not None and (tail.offset < head.confirmed or not later):
            if tail.offset < head.confirmed:
                found.cut_us = tail.at_us if found.cut_us is None else min(found.cut_us, tail.at_us)
            found.stopped |= head.stopped
            found.whole &= tail.offset == head.confirmed and not head.stopped
            return
        moved = _move(folder, partition, tail, others, found, horizon_us)
        if moved is None:  # its worker is about to make one
            found.whole = False
            return
        found.tails[partition] = tail = moved


def _is_another(head: SpoolHead, tail: Tail) -> bool:
    """Whether a file is not the one that was read: the number of one that was lost is given again."""
    if tail.offset == HEAD_BYTES:
        return head.start_group != tail.group
    return head.start_us > tail.at_us


def _move(folder: Path, partition: int, tail: Tail, numbers: list[int], found: Found, horizon_us: int) -> Tail | None:
    """The beginning of the next file that is whole; None where there is none yet.

    After a power cut a file may be there without its head, and what it had is missing. Where one begins before what was
    read, the data directory was put back: only a base of now has what there is.
    """
    for number in numbers:
        head = read_head(folder / str(number))
        if head is None:
            continue
        found.latest_us = max(found.latest_us, head.start_us)
        if head.gap or head.start_group != tail.group:
            back = head.start_group < tail.group
            found.gaps.append(Gap(partition, tail.at_us, max(horizon_us, tail.at_us) if back else head.start_us))
        return Tail(number, HEAD_BYTES, head.start_group, max(tail.at_us, head.start_us) if head.gap else tail.at_us)
    return None
