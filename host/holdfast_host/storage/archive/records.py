"""What one commit changed in one partition, as bytes: the record that spool, archive and replay have between them.

A record is logical: the changes of each turn as the overlay had them, not the rows that they became. So it holds no
number that a partition gives, is no longer than what was written, and can be read as "who changed what".

    length u32, CRC-32 of all that follows u32, group u64, previous group u64, part u32, time u64 (us), batches

`previous` is the group that the partition had reached before: records of a partition are a chain, and a missing link
shows. `part` counts those of one group, which has several only where the disk was too full for one transaction. `time`
is taken before the commit begins and never goes back in a partition: what depends on a commit has a later one. The
batches are MessagePack, by position; FORMAT is the version of all this.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from holdfast_host.storage.jobs import Job
from holdfast_host.storage.store import Alarm, Changes, Receipt, SocketRow, StoredInstance
from holdfast_host.storage.transfers import Staging

FORMAT: Final = 1
_CHECKED: Final = struct.Struct("<II")
_HEAD: Final = struct.Struct("<QQIQ")
HEAD_BYTES: Final = _CHECKED.size + _HEAD.size
RECORD_BYTES_MAX: Final = 64 << 20  # a round of a worker ends with 16 MiB of batches, and one turn's 16 more


class ArchivedBatch(msgspec.Struct, array_like=True):
    """What one turn changed of one instance; the fields are those of `storage.store.Changes`."""

    type_id: int
    name: bytes
    writes: dict[bytes, bytes | None]
    size_bytes: int
    cleared: bool = False
    erased: bool = False
    alarm_changed: bool = False
    alarm: Alarm | None = None
    receipts: dict[bytes, Receipt] | None = None
    jobs: dict[bytes, Job | None] | None = None
    sockets: dict[int, SocketRow | None] | None = None
    staging: Staging | None = None

    @classmethod
    def of(cls, instance: StoredInstance, changes: Changes) -> ArchivedBatch:
        """As it is committed; what a turn sends to sockets is not stored."""
        return cls(
            instance.type_id,
            instance.name,
            changes.writes,
            changes.size_bytes,
            changes.cleared,
            changes.erased,
            changes.alarm_changed,
            changes.alarm,
            changes.receipts,
            changes.jobs,
            changes.sockets,
            changes.staging,
        )

    def changes(self) -> Changes:
        """To be committed again."""
        return Changes(
            writes=self.writes,
            cleared=self.cleared,
            alarm=self.alarm,
            alarm_changed=self.alarm_changed,
            size_bytes=self.size_bytes,
            receipts=self.receipts,
            erased=self.erased,
            jobs=self.jobs,
            sockets=self.sockets,
            staging=self.staging,
        )


class Record(NamedTuple):
    """One commit of one partition; `batches` are still encoded."""

    group: int
    previous: int
    part: int
    at_us: int
    batches: bytes

    def unpack(self) -> list[ArchivedBatch]:
        """What it changed, in the order of the turns of each instance."""
        return _decoder.decode(self.batches)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[ArchivedBatch])


class DamagedError(Exception):
    """Bytes that are no record; the sentence says why."""


def pack_record(group: int, previous: int, part: int, at_us: int, batches: Iterable[ArchivedBatch]) -> bytes:
    """A record as bytes."""
    rest = _HEAD.pack(group, previous, part, at_us) + _encoder.encode(list(batches))
    return _CHECKED.pack(len(rest), zlib.crc32(rest)) + rest


def unpack_record(text: bytes, at: int) -> tuple[Record, int]:
    """The record that begins there, and where the next one does.

    Raises:
        DamagedError: they end in the middle of it, or it is not what was written.
    """
    if at + HEAD_BYTES > len(text):
        raise DamagedError(f"it ends in the middle of a record, at byte {len(text)}")
    length, expected = _CHECKED.unpack_from(text, at)
    begin, end = at + _CHECKED.size, at + _CHECKED.size + length
    if length < _HEAD.size or end > len(text):
        raise DamagedError(f"the record at byte {at} is cut short")
    if zlib.crc32(memoryview(text)[begin:end]) != expected:
        raise DamagedError(f"the record at byte {at} is not what was written")
    group, previous, part, at_us = _HEAD.unpack_from(text, begin)
    return Record(group, previous, part, at_us, text[begin + _HEAD.size : end]), end
