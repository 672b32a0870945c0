"""Files that are replaced whole or not at all, and are on disk when the writer goes on.

A file's content is synced before its name changes hands, and the folder after: so a power cut leaves the old content or
the new one, never a part of it, and after the return the new one. Who calls owns the place: no two write to it at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def write_durably(path: Path, content: bytes, *, draft: Path | None = None) -> None:
    """Replace a file, or make it; only its owner can read it. Durable on return.

    Args:
        path: the file.
        content: all of it.
        draft: where it is written first, in the same folder; else beside it, as `NAME.new`. What a dead process left
            there is overwritten.

    Raises:
        OSError: the file is as it was, and the draft is gone; only where the folder could not be synced, it may be
            either.
    """
    fresh = draft or path.with_name(f"{path.name}.new")
    try:
        with open(fresh, "wb", opener=_open_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _place(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file piece by piece; only its owner can read it. Its content is durable on return, not its name.

    Raises:
        OSError: it is there already, or cannot be written; what was written of it stays.
    """
    with open(path, "xb", opener=_open_private) as file:
        fill_durably(file, pieces)


@contextmanager
def written_alone(path: Path) -> Iterator[BinaryIO]:
    """A file that no other process writes meanwhile; what a dead one left there is gone. Only its owner can read it.

    Raises:
        BlockingIOError: another process writes it, or has just finished it.
        OSError: it cannot be written.
    """
    with open(path, "ab", opener=_open_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            is_ours = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
        except FileNotFoundError:
            is_ours = False
        if not is_ours:  # it was moved to its place, or removed, before we had it
            raise BlockingIOError(errno.EAGAIN, "another process has just finished it", str(path))
        file.truncate(0)
        yield file


def fill_durably(file: BinaryIO, pieces: Iterable[bytes]) -> None:
    """Write a file piece by piece. Its content is durable on return, not its name."""
    file.writelines(pieces)
    file.flush()
    os.fsync(file.fileno())


def append_durably(path: Path, text: bytes) -> None:
    """Add to the end of a file, or make it; only its owner can read it. Durable on return.

    Raises:
        OSError: the file is as long as it was, as far as the disk lets us.
    """
    new = not path.exists()
    with open(path, "ab", buffering=0, opener=_open_private) as file:
        before = file.tell()
        try:
            left = memoryview(text)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(before)
            raise
    if new:
        sync_directory(path.parent)


def cut_durably(path: Path, size_bytes: int) -> None:
    """Cut a file off after so many bytes. Durable on return."""
    with open(path, "r+b", buffering=0) as file:
        file.truncate(size_bytes)
        os.fsync(file.fileno())


def move_durably(written: Path, path: Path) -> None:
    """Give a file that is written its place, over what was there; the folder must be the same, or of the same disk.

    Durable on return: its content and its place.

    Raises:
        OSError: as `write_durably`; `written` may be where it was.
    """
    descriptor = os.open(written, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _place(written, path)


def sync_directory(path: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_data(descriptor: int) -> None:
    """Return when what was written into an open file is on disk."""
    os.fdatasync(descriptor)


def _place(written: Path, path: Path) -> None:
    os.replace(written, path)
    sync_directory(path.parent)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
