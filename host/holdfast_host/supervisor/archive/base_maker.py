"""Bases: a backup of the running host, put into the archive file by file; what follows is in the segments.

The files come from `supervisor.backups`, whose moment also begins new files of the spools. Components lie beside the
bases, each once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import queue
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import zstandard

from holdfast_host.core.backup_file import HEAD
from holdfast_host.core.durable_files import fill_durably, sync_directory, write_durably
from holdfast_host.storage.archive.frames import BASE
from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.archive.s3 import UNWRITTEN, BucketPath
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.bucket import remove_base
from holdfast_host.supervisor.directory.component_files import pieces_of

_COMPONENTS: Final = "components/"
SUFFIX: Final = ".zst"
_TOUCH_S: Final = 6 * 3600.0


class TakeBackup(Protocol):
    """`Backups.take`."""

    def __call__(
        self, *, with_key: bool, on_file: Callable[[str], None], gone: asyncio.Event, archived: bool
    ) -> Awaitable[Any]:
        """Returns when all files were taken away."""


class BaseMaker:
    """Makes one base at a time, on a thread of its own. Owned by the shipper, whose thread asks it."""

    def __init__(
        self,
        take: TakeBackup,
        loop: asyncio.AbstractEventLoop,
        on_made: Callable[[int], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        """`take` runs on `loop`; the others are called on the base's thread, the first one with the base's time."""
        self._take = take
        self._loop = loop
        self._on_made = on_made
        self._on_failed = on_failed
        self._thread: threading.Thread | None = None

    @property
    def under_way(self) -> bool:
        """Whether one is being made."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, root: ArchiveRoot, origin: str, seq: int, begin_us: int) -> None:
        """Make one; `seq` is the number of the last frame, `begin_us` a time that it has whatever the clock says."""
        facts = {"origin": origin, "seq": seq, "created_us": begin_us}
        self._thread = threading.Thread(target=self._make, args=(root, facts), name="holdfast-base", daemon=True)
        self._thread.start()

    def _make(self, root: ArchiveRoot, facts: dict[str, Any]) -> None:
        gone = asyncio.Event()
        try:
            draft = _BucketDraft(root, facts["created_us"]) if isinstance(root, BucketPath) else _FolderDraft(root)
            made = self._fill(draft, gone, facts)
        except Exception as error:  # whatever it is, it must not end in silence: it is tried again
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(gone.set)
            self._on_failed(error)
        else:
            self._on_made(made)

    def _fill(self, draft: _FolderDraft | _BucketDraft, gone: asyncio.Event, facts: dict[str, Any]) -> int:
        told: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        async def take() -> None:
            try:
                await self._take(with_key=False, on_file=told.put, gone=gone, archived=True)
            finally:
                told.put(None)

        taken = asyncio.run_coroutine_threadsafe(take(), self._loop)
        files: dict[str, tuple[int, str]] = {}
        while (text := told.get()) is not None:
            file = json.loads(text)
            name, source = str(file["name"]), Path(file["path"])
            if name == HEAD:
                head = json.loads(source.read_bytes())
                created_us = max(facts["created_us"], head["created_us"])
                facts |= {"created_us": created_us, "partitions": head["partitions"]}
            else:
                files[name] = draft.store(source, name)
            source.unlink()
        taken.result()
        draft.finish(json.dumps({**facts, "files": files}).encode(), int(facts["created_us"]))
        return int(facts["created_us"])


class _FolderDraft:
    """A base in a folder, before it is given its name; one thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._draft = root / "bases" / "new"
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(mode=0o700)

    def store(self, source: Path, name: str) -> tuple[int, str]:
        """Take a file; its size and SHA-256."""
        return _store(source, place_of(self._root, self._draft, name))

    def finish(self, facts: bytes, created_us: int) -> None:
        """Have it count. Durable on return."""
        write_durably(self._draft / BASE, facts)
        sync_directory(self._root / "components")
        self._draft.rename(self._root / "bases" / str(created_us))
        sync_directory(self._root / "bases")


class _BucketDraft:
    """A base in a bucket, before it has its `base.json`; one thread. What others of its kind have left is removed."""

    def __init__(self, root: BucketPath, begin_us: int) -> None:
        self._root = root
        bases = root / "bases"
        self._draft = bases / str(begin_us)  # before its own time, which only its files tell: nothing is renamed there
        bases.abort_uploads()
        whole = {base.path.name for base in read_bases(root)}
        for place in bases.iterdir():
            if place.name not in whole:
                remove_base(place)

    def store(self, source: Path, name: str) -> tuple[int, str]:
        """Take a file; its size and SHA-256."""
        return _store(source, place_of(self._root, self._draft, name))

    def finish(self, facts: bytes, created_us: int) -> None:
        """Have it count. Durable on return."""
        (self._draft / BASE).put(facts, expected=UNWRITTEN)


def place_of(root: ArchiveRoot, base: ArchiveRoot, name: str) -> ArchiveRoot:
    """Where a file of a data directory lies in an archive."""
    if name.startswith(_COMPONENTS):
        return root / "components" / f"{name.removeprefix(_COMPONENTS)}{SUFFIX}"
    return base / f"{name.replace('/', '-')}{SUFFIX}"


def store_component(source: Path, sha256: str, root: ArchiveRoot) -> None:
    """Put a component into the archive, unless it is there; its time says when it was deployed last.

    Args:
        source: its file in a data directory, packed or not.
        sha256: its own.
        root: of the archive.

    Raises:
        OSError: it cannot be read or written.
    """
    place = place_of(root, root, f"{_COMPONENTS}{sha256}.wasm")
    if isinstance(place, BucketPath):
        age_s = place.age_s()
        if age_s is None:
            _store(source, place)
        elif age_s > _TOUCH_S:  # far less than the difference of clocks that pruning allows for
            place.touch()
    elif place.exists():
        os.utime(place)
    else:
        _store(source, place)
        sync_directory(place.parent)


class _Compressed:
    """A file's content, compressed piece by piece; then its size and digest."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        compress = zstandard.ZstdCompressor().compressobj()
        for piece in self._pieces():
            yield compress.compress(piece)
        yield compress.flush()

    def measure(self) -> None:
        """Read it for its size and digest alone."""
        for _ in self._pieces():
            pass

    def _pieces(self) -> Iterator[bytes]:
        for piece in pieces_of(self._source):
            self._digest.update(piece)
            self.size += len(piece)
            yield piece


def _store(source: Path, place: ArchiveRoot) -> tuple[int, str]:
    """Write a file compressed, unless it is there; its size and SHA-256. Its content is durable on return."""
    compressed = _Compressed(source)
    if place.exists():
        compressed.measure()
    elif isinstance(place, BucketPath):
        place.put_pieces(compressed)
    else:
        draft = place.with_name(f"{place.name}.{threading.get_ident()}")
        with open(draft, "wb", opener=_private) as written:
            fill_durably(written, compressed)
        draft.rename(place)
    return compressed.size, compressed.sha256


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
