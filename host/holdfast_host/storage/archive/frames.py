"""The archive's files: frames in segments, one after the other, and what a folder of them begins with.

    ARCHIVE/archive.json            {"format": 1}
    ARCHIVE/lock                    held by the host that ships into it
    ARCHIVE/segments/<seq>.segment  frames; the name is the number of the first
    ARCHIVE/reached.json            how far it is whole: the last segment's name and bytes, and the moment it reaches
    ARCHIVE/bases/<time>/           a backup's files, compressed, and base.json with their sizes and SHA-256
    ARCHIVE/components/<sha256>.wasm.zst

A frame is `HFaf`, the lengths of its head and body (u32 each), the SHA-256 of both, the head as JSON, and the body:
compressed by zstandard, MessagePack inside. Frames are numbered without a gap, over all segments. A segment is only
ever appended to; the last frame of the last one may be torn, where a host died: it is cut off before the next is
written. FORMAT is the version of all this.

In a bucket the layout is the same, but for the lock: `reached.json` says whose host ships. Its objects are put whole,
so a segment there is short: it is rewritten with each frame up to some size, and never torn.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import zstandard

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.archive.read_ahead import read_ahead
from holdfast_host.storage.archive.records import RECORD_BYTES_MAX, Record
from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.archive.s3 import BucketPath

FORMAT: Final = 1
ABOUT: Final = "archive.json"
REACHED: Final = "reached.json"
BASE: Final = "base.json"
SUFFIX: Final = ".segment"
_MAGIC: Final = b"HFaf"
_LENGTHS: Final = struct.Struct("<4sII32s")
BODY_BYTES_MAX: Final = 4 * RECORD_BYTES_MAX
BUCKET_FRAMES_MAX: Final = 1000  # in one segment of a bucket: from where on names are asked for


class Head(msgspec.Struct, omit_defaults=True):
    """What a frame says of itself.

    Attributes:
        seq: its number.
        kind: `records` (commits, in an order in which none comes before what it depends on), `files` (the registry and
            what lies beside it, as they were from `last_us` on) or `gap` (what `partition` committed between
            `first_us` and `last_us` is not all here).
        origin: the data directory that it is of: one that was restored is another one.
        first_us, last_us: the first and the last time in it.
        horizon_us: all that was acknowledged before is in this frame or earlier ones.
        positions: how far the spool of each partition is told: file, byte, and the last group with its time.
        types: names of actor types by their numbers.
        components: in `files`: what must lie in `components/` for them.
        gap_us: the latest end of a gap so far, of this origin; before it was told, -1.
    """

    seq: int
    kind: str
    origin: str
    first_us: int
    last_us: int
    horizon_us: int
    positions: dict[int, tuple[int, int, int, int]] = {}
    types: dict[int, str] = {}
    components: list[str] = []
    partition: int = -1
    gap_us: int = -1


class Frame(NamedTuple):
    """A frame that was read whole, and compared with its checksum."""

    head: Head
    body: bytes
    end: int  # in its segment

    def records(self) -> list[tuple[int, Record]]:
        """Partition and record of each commit."""
        return _records.decode(_inflate(self.body))

    def files(self) -> dict[str, bytes]:
        """By their names in the data directory."""
        return _files.decode(_inflate(self.body))


_Place = TypeVar("_Place", Path, BucketPath, ArchiveRoot)
_records: Final = msgspec.msgpack.Decoder(list[tuple[int, Record]])
_files: Final = msgspec.msgpack.Decoder(dict[str, bytes])
_head: Final = msgspec.json.Decoder(Head)


class ArchiveError(Exception):
    """A sentence that says what is wrong with an archive, or what it does not hold."""


def pack_frame(head: Head, content: Any) -> bytes:
    """A frame as bytes; `content` as `Frame.records` or `Frame.files` gives it back."""
    told = msgspec.json.encode(head)
    body = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(content))
    digest = hashlib.sha256(told + body).digest()
    return b"".join((_LENGTHS.pack(_MAGIC, len(told), len(body), digest), told, body))


def read_frames(path: ArchiveRoot, begin: int = 0) -> Iterator[Frame]:
    """The frames of a segment from a place on.

    Raises:
        ArchiveError: one is torn or damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(begin)
        at = begin
        while lengths := file.read(_LENGTHS.size):
            where = f"the frame at byte {at} of {path.name}"
            if len(lengths) < _LENGTHS.size:
                raise ArchiveError(f"{where} is cut short")
            magic, head_bytes, body_bytes, digest = _LENGTHS.unpack(lengths)
            if magic != _MAGIC or head_bytes + body_bytes > BODY_BYTES_MAX:
                raise ArchiveError(f"{where} is damaged: it does not begin as one")
            text = file.read(head_bytes + body_bytes)
            if len(text) < head_bytes + body_bytes:
                raise ArchiveError(f"{where} is cut short")
            if hashlib.sha256(text).digest() != digest:
                raise ArchiveError(f"{where} is damaged: its checksum is another one")
            at += _LENGTHS.size + len(text)
            yield Frame(_head.decode(text[:head_bytes]), text[head_bytes:], at)


def all_heads(root: ArchiveRoot, after: int) -> Iterator[Head]:
    """The heads of all frames behind a number, without a look at their bodies; up to where they are whole.

    Raises:
        OSError: a segment cannot be read.
    """
    for path in _segments_behind(root, after):
        with path.open("rb") as file:
            while len(lengths := file.read(_LENGTHS.size)) == _LENGTHS.size:
                _, head_bytes, body_bytes, _ = _LENGTHS.unpack(lengths)
                try:
                    head = _head.decode(file.read(head_bytes))
                except msgspec.DecodeError:
                    break
                if head.seq > after:
                    yield head
                file.seek(body_bytes, 1)


def segment_files(root: _Place, after: int = 0) -> list[_Place]:
    """The segments, in their order; those whose frames all have numbers up to `after` may be left out.

    Raises:
        OSError: they cannot be listed.
    """
    return sorted(_each_segment(root / "segments", after), key=lambda each: each.name)


def _each_segment(folder: _Place, after: int) -> Iterator[_Place]:
    try:
        if isinstance(folder, BucketPath):  # a bucket may have hundreds of thousands, and lists a thousand at once
            found: Iterable[_Place] = folder.iterdir(after=_segment_name(max(0, after - BUCKET_FRAMES_MAX)))
        else:
            found = folder.iterdir()
        yield from (each for each in found if each.suffix == SUFFIX)
    except FileNotFoundError:
        return


def segment_path(root: _Place, seq: int) -> _Place:
    """The segment whose first frame has that number."""
    return root / "segments" / _segment_name(seq)


def _segment_name(seq: int) -> str:
    return f"{seq:016d}{SUFFIX}"


def first_seq(path: ArchiveRoot) -> int:
    """The number of a segment's first frame."""
    return int(path.name.removesuffix(SUFFIX))


def read_about(root: ArchiveRoot) -> bool:
    """Whether there is an archive in a folder.

    Raises:
        ConfigurationError: it is of a format that this release does not know, or damaged.
    """
    try:
        found = json.loads((root / ABOUT).read_bytes())["format"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{root / ABOUT} is damaged ({error!r}): name another folder") from error
    except OSError as error:
        raise ConfigurationError(f"{root / ABOUT} cannot be read: {error.strerror}") from error
    if found != FORMAT:
        raise ConfigurationError(
            f"the archive {root} has format {found!r}, this release reads format {FORMAT}: use the one that wrote it"
        )
    return True


def all_frames(root: ArchiveRoot, after: int = 0) -> Iterator[Frame]:
    """All frames behind a number, and that none between them is missing; up to where `reached.json` says.

    Raises:
        ArchiveError: one is missing, torn, damaged, or was cut off.
    """
    reached = read_reached(root)
    paths = _segments_behind(root, after)
    expected = min(first_seq(paths[0]), after + 1) if paths else after + 1
    for path in read_ahead(paths):
        if first_seq(path) != expected:
            raise ArchiveError(f"frame {expected} is missing before {path.name}")
        try:
            for frame in read_frames(path):
                _check_next(frame, expected, path)
                expected += 1
                if frame.head.seq > after:
                    yield frame
        except ArchiveError:
            # Torn where a host died, or is writing now: nothing that the archive has promised.
            if path.name != paths[-1].name or reached is None or expected <= reached.seq:
                raise
    if reached is not None and expected <= reached.seq:
        raise ArchiveError(f"it ends before frame {reached.seq}, which it had: a segment was cut short, or is gone")


def _check_next(frame: Frame, expected: int, path: ArchiveRoot) -> None:
    if frame.head.seq != expected:
        raise ArchiveError(f"frame {expected} is missing before frame {frame.head.seq} of {path.name}")


def _segments_behind(root: _Place, after: int) -> list[_Place]:
    paths = segment_files(root, after)
    begin = max([number for number, path in enumerate(paths) if first_seq(path) <= after + 1], default=0)
    return paths[begin:]


class Reached(msgspec.Struct, omit_defaults=True):
    """How far an archive is whole."""

    seq: int  # of its last frame
    at_us: int  # all that was acknowledged before is in it
    origin: str = ""  # in a bucket: the data directory whose host ships into it


def read_reached(root: ArchiveRoot) -> Reached | None:
    """What the archive says; None where it has nothing yet.

    Raises:
        ArchiveError: it cannot be read.
    """
    try:
        return msgspec.json.decode((root / REACHED).read_bytes(), type=Reached)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise ArchiveError(f"{REACHED} is damaged: {error}") from error


def _inflate(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=BODY_BYTES_MAX)
