"""What was committed, in order, as lines for those who follow it: instance by instance, what a turn put and deleted.

A position is `FRAME.NUMBER`: the frame, and how many of its turns came before and with this one. So who keeps the last
one that it has dealt with goes on behind it. No line comes before one that it depends on. Read is what the archive
promises to have (`reached.json`), so what a reader has seen is never taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.frames import (
    ArchiveError,
    Frame,
    first_seq,
    read_about,
    read_frames,
    read_reached,
    segment_files,
)
from holdfast_host.storage.archive.records import ArchivedBatch, Record
from holdfast_host.storage.archive.roots import ArchiveRoot

_POSITION: Final = re.compile(r"(\d{1,15})\.(\d{1,9})", re.ASCII)
_FRAMES_MAX: Final = 50  # of one piece,
_BYTES_MAX: Final = 2 * MIB  # and so many of it, compressed: a frame more at the most
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class PositionGoneError(ArchiveError):
    """A sentence that says why an archive cannot go on behind a position, now or later."""


class Position(NamedTuple):
    """Behind which turn one is."""

    seq: int = 0
    number: int = 0

    @classmethod
    def read(cls, text: str) -> Position | None:
        """From its text; None where it is none."""
        found = _POSITION.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]))

    @classmethod
    def now(cls, root: ArchiveRoot) -> Position:
        """Behind all that an archive has.

        Raises:
            ArchiveError: it cannot be read, or is not there.
        """
        reached = read_reached(root)
        if reached is None and not read_about(root):
            raise ArchiveError("it is not there")
        return cls(reached.seq + 1 if reached is not None else 1, 0)

    def __str__(self) -> str:
        """`12.3`."""
        return f"{self.seq}.{self.number}"


class ChangeReader:
    """Reads an archive from a position on, again and again. One thread at a time."""

    def __init__(self, root: ArchiveRoot, after: Position | None, wanted: Callable[[str], bool]) -> None:
        """`after` None: from the archive's beginning. `wanted` says of which types lines are."""
        self._root = root
        self._after = after
        self._wanted = wanted
        self._segment: ArchiveRoot | None = None
        self._offset = 0
        self._seq = 0  # of the last frame that was read whole
        self._at_end = False

    @property
    def at_end(self) -> bool:
        """Whether that was all there is."""
        return self._at_end

    def read(self) -> list[dict[str, Any]]:
        """What comes next, a bounded piece; empty where that is all there is.

        Raises:
            ArchiveError: as `read_some`.
        """
        while not (lines := self.read_some()) and not self.at_end:
            pass
        return lines

    def read_some(self) -> list[dict[str, Any]]:
        """The lines of some frames, which may all be of other types: `at_end` says whether more is there.

        Raises:
            PositionGoneError: what follows the position was pruned, or it is of another archive.
            ArchiveError: what follows is damaged, or the archive cannot be read.
        """
        self._at_end = False
        lines: list[dict[str, Any]] = []
        reached = read_reached(self._root)
        if reached is None and self._after is not None and self._after > Position(1, 0):
            raise ArchiveError("it is not there, or has nothing")
        if reached is not None and self._segment is None:
            self._begin(reached.seq)
        if reached is None or self._segment is None:
            self._at_end = True
            return lines
        frames = read_bytes = 0
        while self._seq < reached.seq:
            read = False
            for frame in read_frames(self._segment, self._offset):
                read, frames, read_bytes = True, frames + 1, read_bytes + len(frame.body)
                lines += self._lines(frame)
                self._seq, self._offset = frame.head.seq, frame.end
                if self._seq >= reached.seq:
                    break
                if frames >= _FRAMES_MAX or read_bytes >= _BYTES_MAX:
                    return lines
            if self._seq < reached.seq and not self._next_segment() and not read:
                raise ArchiveError(f"frame {self._seq + 1} is missing, which it had")
        self._at_end = True
        return lines

    def _begin(self, reached_seq: int) -> None:
        if self._after is not None and self._after > Position(reached_seq + 1, 0):
            raise PositionGoneError(f"{self._after} is no position of it: it ends with frame {reached_seq}. Begin anew")
        wanted = 1 if self._after is None else max(1, self._after.seq)
        paths = segment_files(self._root, wanted - 1)
        if not paths:
            return
        first = first_seq(paths[0])
        if self._after is not None and wanted < first:
            raise PositionGoneError(
                f"what follows {self._after} is not kept any more: it begins with {first}.0. Begin anew"
            )
        self._segment = [path for path in paths if first_seq(path) <= max(wanted, first)][-1]
        self._seq = first_seq(self._segment) - 1

    def _next_segment(self) -> bool:
        later = [path for path in segment_files(self._root, self._seq) if first_seq(path) > self._seq]
        if not later:
            return False
        if first_seq(later[0]) != self._seq + 1:
            raise ArchiveError(f"frame {self._seq + 1} is missing before {later[0].name}")
        self._segment, self._offset = later[0], 0
        return True

    def _lines(self, frame: Frame) -> Iterator[dict[str, Any]]:
        head, after = frame.head, self._after or Position()
        if head.seq < after.seq:
            return
        if head.kind == "gap" and Position(head.seq, 1) > after:
            yield {
                "position": str(Position(head.seq, 1)),
                "gap": {"partition": head.partition, "from": _text(head.first_us), "to": _text(head.last_us)},
            }
        if head.kind != "records":
            return
        number = 0
        for partition, record in frame.records():
            for batch in record.unpack():
                number += 1
                position = Position(head.seq, number)
                name = head.types.get(batch.type_id, f"#{batch.type_id}")
                if position > after and self._wanted(name) and (line := _change(batch)):
                    yield {"position": str(position), **_about(partition, record, name, batch), **line}


def _about(partition: int, record: Record, type_name: str, batch: ArchivedBatch) -> dict[str, Any]:
    return {
        "at": _text(record.at_us),
        "partition": partition,
        "group": record.group,
        "type": type_name,
        "name": batch.name.decode("utf-8", "replace"),
    }


def _change(batch: ArchivedBatch) -> dict[str, Any]:
    """What a turn did to keys and alarm; empty where it changed neither."""
    if batch.staging is not None:  # of any size: what it has brought is not told, only that it is there
        return {"imported": True} if batch.staging.adopts else {}
    line: dict[str, Any] = {"cleared": True} if batch.cleared else {}
    parts: dict[str, dict[str, Any]] = {"put": {}, "raw": {}}
    for key, value in batch.writes.items():
        if value is not None:
            shown = _shown(value)
            parts["raw" if isinstance(shown, str) else "put"][key.decode()] = shown
    line |= {name: part for name, part in parts.items() if part}
    if deleted := [key.decode() for key, value in batch.writes.items() if value is None]:
        line["deleted"] = deleted
    if batch.alarm_changed:
        line["alarm"] = None if batch.alarm is None else _text(batch.alarm.due_us)
    return line


def _shown(value: bytes) -> msgspec.Raw | str:
    """A value as it is stored, in one line; as a text, where its guest has not encoded it."""
    try:
        value.decode()  # what is in a string is not looked at below
        encoded = msgspec.json.decode(value, type=msgspec.Raw)
        return encoded if b"\n" not in value else msgspec.Raw(msgspec.json.format(value, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value.decode("utf-8", "replace")


def _text(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
