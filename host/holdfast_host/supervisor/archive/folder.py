"""An archive's folder, as the one host sees it that ships into it: locked, its end whole, appended to and pruned."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from holdfast_host.core.durable_files import append_durably, cut_durably, sync_directory, write_durably
from holdfast_host.storage.archive.frames import (
    ABOUT,
    FORMAT,
    REACHED,
    ArchiveError,
    Head,
    Reached,
    first_seq,
    pack_frame,
    read_about,
    read_frames,
    read_reached,
    segment_files,
    segment_path,
)
from holdfast_host.supervisor.archive.bases import needed_seq, read_bases, split_bases, wanted_components

_FOLDERS: Final = ("segments", "bases", "components")


class Doubt(NamedTuple):
    """What a failed write left: whatever a segment reads behind that may not be on disk."""

    segment: Path
    whole_bytes: int


class ArchiveFolder:
    """The folder, from `open` to `close`; one thread."""

    def __init__(self, root: Path, lock_fd: int, last: Head | None, segment: Path | None) -> None:
        self._root = root
        self._lock_fd = lock_fd
        self._segment = segment
        self.last = last  # the head of the last frame that is there
        self.seq = 0 if last is None else last.seq
        self.doubt: Doubt | None = None  # of a write that failed: nothing more is appended

    @classmethod
    def open(cls, root: Path, *, make: bool, doubt: Doubt | None = None) -> ArchiveFolder:
        """Take the folder, and cut off what a dead host left of a frame.

        Args:
            root: the archive.
            make: it may be a new one; else it was one before.
            doubt: what an earlier one of this process has left.

        Raises:
            ArchiveError, ConfigurationError: it is gone, of another format, damaged, or another host ships into it.
            OSError: it cannot be read or written.
        """
        if not read_about(root):
            if not make:
                raise ArchiveError(f"{root} has no {ABOUT} any more: mount it, or name another folder with --archive")
            root.mkdir(mode=0o700, exist_ok=True)
            others = sorted({each.name for each in root.iterdir()} - {"lost+found", f"{ABOUT}.new", *_FOLDERS})
            if others or any(any((root / name).glob("*")) for name in _FOLDERS):
                what = repr(others[0]) if others else "files"
                raise ArchiveError(f"{root} holds {what} and is no archive: name an empty folder with --archive")
            for name in _FOLDERS:
                (root / name).mkdir(mode=0o700, exist_ok=True)
            write_durably(root / ABOUT, json.dumps({"format": FORMAT}).encode())
            sync_directory(root.absolute().parent)
        lock_fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveError(f"another host ships into {root}: give each host a folder of its own") from None
            if doubt is not None and doubt.segment.exists():
                cut_durably(doubt.segment, min(doubt.whole_bytes, doubt.segment.stat().st_size))
            return cls(root, lock_fd, *_last_frame(root))
        except BaseException:
            os.close(lock_fd)
            raise

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._lock_fd)

    def append(self, head: Head, content: Any) -> int:
        """Add a frame, whose number is set here; how many bytes it has. Durable on return.

        Raises:
            OSError: it is not there, or not for sure: the shelf must be opened again.
        """
        head.seq = self.seq + 1
        text = pack_frame(head, content)
        segment = self._segment
        if segment is None:
            segment = segment_path(self._root, head.seq)
        before = segment.stat().st_size if segment.exists() else 0
        try:
            append_durably(segment, text)
        except OSError:
            self.doubt = Doubt(segment, before)
            raise
        self.seq, self.last = head.seq, head
        self._segment = segment
        return len(text)

    def end_segment(self) -> None:
        """The next frame begins another one: this one can be pruned alone."""
        self._segment = None

    @property
    def segment_bytes(self) -> int:
        """Of the segment that the next frame goes to."""
        return 0 if self._segment is None else self._segment.stat().st_size

    def say_reached(self, at_us: int) -> None:
        """All that was acknowledged before is in the frames so far. Durable on return."""
        write_durably(self._root / REACHED, msgspec.json.encode(Reached(self.seq, at_us)))

    def prune(self, before_us: int) -> int:
        """Remove bases that no moment after that one needs, and what only they need; how many segments went.

        Raises:
            ArchiveError, OSError: something cannot be read or removed; it will be the next time.
        """
        gone, kept = split_bases(read_bases(self._root), before_us)
        if not gone:
            return 0
        for base in gone:
            place = self._root / "bases" / base.path.name
            draft = place.with_suffix(".gone")
            place.rename(draft)
            shutil.rmtree(draft)
        removed, needed = 0, needed_seq(kept)
        for path, follower in pairwise(segment_files(self._root)):
            if first_seq(follower) > needed + 1:
                break
            path.unlink()
            removed += 1
        wanted = wanted_components(kept)
        for path in (self._root / "components").iterdir():
            if path.stem not in wanted and path.stat().st_mtime_ns // 1000 < kept[0].created_us:
                path.unlink()
        return removed


def _last_frame(root: Path) -> tuple[Head | None, Path | None]:
    """The last frame's head, and the segment to go on with."""
    paths = segment_files(root)
    while paths:
        path, last, end = paths.pop(), None, 0
        try:
            for frame in read_frames(path):
                last, end = frame.head, frame.end
        except ArchiveError:
            if _had_more(root, 0 if last is None else last.seq):  # no host that died: a disk that lost something
                shutil.copyfile(path, path.with_suffix(".damaged"))
            cut_durably(path, end)
        if last is not None:
            return last, path
        path.unlink()
    return None, None


def _had_more(root: Path, seq: int) -> bool:
    try:
        reached = read_reached(root)
    except ArchiveError:
        return True
    return reached is not None and seq < reached.seq
