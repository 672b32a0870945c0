"""An archive in a bucket, as the one host sees it that ships into it: fenced, appended to and pruned.

The layout is that of a folder. An object is put whole or not at all, so no frame is torn, and no two objects need to
change together: a segment counts as far as `reached.json` says, a base once its `base.json` is there. A segment is
written anew with each frame until it is large, under the condition that nobody else has written it: so a second host,
and a request of ours that was given up and arrives late, are refused by the service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import msgspec

from holdfast_host.storage.archive.frames import (
    ABOUT,
    BASE,
    BUCKET_FRAMES_MAX,
    FORMAT,
    REACHED,
    ArchiveError,
    Head,
    Reached,
    first_seq,
    pack_frame,
    read_about,
    read_frames,
    segment_files,
    segment_path,
)
from holdfast_host.storage.archive.read_ahead import Fetched
from holdfast_host.storage.archive.s3 import UNWRITTEN, BucketPath
from holdfast_host.storage.archive.s3_refusals import ChangedError
from holdfast_host.supervisor.archive.bases import needed_seq, read_bases, split_bases, wanted_components

REWRITTEN_BYTES_MAX: Final = 256 * 1024  # of a segment: past it another one begins
HELD_S: Final = 15.0  # a host that ships says every second how far it is; so long after the last time it is gone
_CLOCKS_US: Final = 24 * 3_600_000_000  # the service's may differ from ours by far less


class ArchiveBucket:
    """The bucket, from `open` to `close`; one thread."""

    doubt = None  # what is there is what the next `open` reads: nothing has to be cut off

    def __init__(self, root: BucketPath, origin: str, reached_etag: str) -> None:
        self._root = root
        self._origin = origin
        self._reached_etag = reached_etag
        self._segment: BucketPath | None = None
        self._etag = UNWRITTEN
        self._text = b""  # all of the segment
        self._frames = 0  # in it
        self._appended = False
        self.last: Head | None = None  # the head of the last frame that is there
        self.seq = 0

    @classmethod
    def open(cls, root: BucketPath, *, make: bool, origin: str) -> ArchiveBucket:
        """Take what begins with a prefix.

        Args:
            root: the archive.
            make: it may be a new one; else it was one before.
            origin: the data directory's.

        Raises:
            ArchiveError, ConfigurationError: it is gone, of another format, damaged, or another host ships into it.
            OSError: it cannot be read or written.
        """
        if not read_about(root):
            if not make:
                raise ArchiveError(f"{root} has no {ABOUT} any more: put it back, or name another place with --archive")
            if (found := next(root.iterdir(), None)) is not None:
                raise ArchiveError(f"{root} holds {found.name!r} and is no archive: name another prefix with --archive")
            with _fenced(root):
                (root / ABOUT).put(json.dumps({"format": FORMAT}).encode(), expected=UNWRITTEN)
        reached, etag = _read_reached(root)
        if reached is not None and reached.origin != origin:
            age_s = (root / REACHED).age_s()
            if age_s is not None and age_s < HELD_S:
                raise ArchiveError(f"another host ships into {root}: give each host a prefix of its own")
        made = cls(root, origin, etag)
        made._find_end(0 if reached is None else reached.seq)
        return made

    def close(self) -> None:
        """Let go of it."""

    def append(self, head: Head, content: Any) -> int:
        """Add a frame, whose number is set here; how many bytes it has. Durable on return.

        Raises:
            ArchiveError: another host has added one.
            OSError: it is not there, or not for sure: the bucket must be opened again.
        """
        head.seq = self.seq + 1
        text = pack_frame(head, content)
        full = len(self._text) >= REWRITTEN_BYTES_MAX or self._frames >= BUCKET_FRAMES_MAX
        segment = self._segment
        if segment is None or full:
            segment, self._etag, self._text, self._frames = segment_path(self._root, head.seq), UNWRITTEN, b"", 0
        with _fenced(self._root):
            self._etag = segment.put(self._text + text, expected=self._etag)
        self._segment, self._text, self._frames = segment, self._text + text, self._frames + 1
        self.seq, self.last, self._appended = head.seq, head, True
        return len(text)

    def end_segment(self) -> None:
        """The next frame begins another one. Not the first of all: a frame that was given up may still arrive in it."""
        if self._appended:
            self._segment = None

    @property
    def segment_bytes(self) -> int:
        """Of the segment that the next frame goes to."""
        return 0 if self._segment is None else len(self._text)

    def say_reached(self, at_us: int) -> None:
        """All that was acknowledged before is in the frames so far. Durable on return."""
        told = msgspec.json.encode(Reached(self.seq, at_us, self._origin))
        with _fenced(self._root):
            self._reached_etag = (self._root / REACHED).put(told, expected=self._reached_etag)

    def prune(self, before_us: int) -> int:
        """Remove bases that no moment after that one needs, and what only they need; how many segments went.

        Raises:
            ArchiveError, OSError: something cannot be read or removed; it will be the next time.
        """
        gone, kept = split_bases(read_bases(self._root), before_us)
        if not gone:
            return 0
        for base in gone:
            remove_base(self._root / "bases" / base.path.name)
        needed, segments = needed_seq(kept), (self._root / "segments").iterdir()
        pairs: Iterator[tuple[BucketPath, BucketPath]] = pairwise(
            each for each in segments if each.suffix == ".segment"
        )
        unneeded = []
        for path, follower in pairs:
            if first_seq(follower) > needed + 1:
                break
            unneeded.append(path)
        self._root.remove(unneeded)
        wanted, components = wanted_components(kept), (self._root / "components").iterdir()
        others = [path for path in components if path.stem not in wanted]
        now_us = self.last.horizon_us if self.last is not None else 0
        old_s = (now_us - kept[0].created_us + _CLOCKS_US) / 1e6
        self._root.remove([path for path in others if (path.age_s() or 0.0) > old_s])
        return len(unneeded)

    def _find_end(self, reached_seq: int) -> None:
        """The last frame, and the segment to go on with."""
        paths = segment_files(self._root, reached_seq) or segment_files(self._root)
        while paths:
            path, last, end, frames = paths.pop(), None, 0, 0
            text, etag = path.read_tagged()
            try:
                for frame in read_frames(Fetched(path.bucket, path.at, text)):
                    last, end, frames = frame.head, frame.end, frames + 1
            except ArchiveError:  # no host that died: an object that lost something
                (self._root / "segments" / f"{path.stem}.damaged").put(text)
                if last is None:
                    self._root.remove([path])
            if last is not None:
                self.last, self.seq = last, last.seq
                self._segment, self._etag, self._text, self._frames = path, etag, text[:end], frames
                return


def remove_base(place: BucketPath) -> None:
    """Remove a base; from the first moment on it is none.

    Raises:
        OSError: some of its files are left.
    """
    place.remove([place / BASE])
    place.remove(list(place.iterdir()))


def _read_reached(root: BucketPath) -> tuple[Reached | None, str]:
    try:
        told, etag = (root / REACHED).read_tagged()
    except FileNotFoundError:
        return None, UNWRITTEN
    try:
        return msgspec.json.decode(told, type=Reached), etag
    except msgspec.DecodeError:  # it is written over, as in a folder
        return None, etag


@contextmanager
def _fenced(root: BucketPath) -> Iterator[None]:
    """Where the service says that somebody else has written, say who that is."""
    try:
        yield
    except ChangedError as error:
        raise ArchiveError(f"another host ships into {root}: give each host a prefix of its own") from error
