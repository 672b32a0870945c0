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
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import zstandard

from holdfast_host.core.backup_file import HEAD
from holdfast_host.core.durable_files import fill_durably, sync_directory, write_durably
from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.frames import BASE

_COMPONENTS: Final = "components/"
SUFFIX: Final = ".zst"


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

    def start(self, root: Path, origin: str, seq: int, begin_us: int) -> None:
        """Make one; `seq` is the number of the last frame, `begin_us` a time that it has whatever the clock says."""
        facts = {"origin": origin, "seq": seq, "created_us": begin_us}
        self._thread = threading.Thread(target=self._make, args=(root, facts), name="holdfast-base", daemon=True)
        self._thread.start()

    def _make(self, root: Path, facts: dict[str, Any]) -> None:
        draft = root / "bases" / "new"
        gone = asyncio.Event()
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            made = self._fill(root, draft, gone, facts)
        except Exception as error:  # whatever it is, it must not end in silence: it is tried again
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(gone.set)
            self._on_failed(error)
        else:
            self._on_made(made)

    def _fill(self, root: Path, draft: Path, gone: asyncio.Event, facts: dict[str, Any]) -> int:
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
                files[name] = _store(source, place_of(root, draft, name))
            source.unlink()
        taken.result()
        write_durably(draft / BASE, json.dumps({**facts, "files": files}).encode())
        sync_directory(root / "components")
        created_us = int(facts["created_us"])
        draft.rename(root / "bases" / str(created_us))
        sync_directory(root / "bases")
        return created_us


def place_of(root: Path, base: Path, name: str) -> Path:
    """Where a file of a data directory lies in an archive."""
    if name.startswith(_COMPONENTS):
        return root / f"{name}{SUFFIX}"
    return base / f"{name.replace('/', '-')}{SUFFIX}"


def store_component(source: Path, root: Path) -> None:
    """Put a component into the archive, unless it is there; its time says when it was deployed last.

    Raises:
        OSError: it cannot be read or written.
    """
    place = place_of(root, root, f"{_COMPONENTS}{source.name}")
    if place.exists():
        os.utime(place)
    else:
        _store(source, place)
        sync_directory(place.parent)


def _store(source: Path, place: Path) -> tuple[int, str]:
    """Write a file compressed, unless it is there; its size and SHA-256. Its content is durable on return."""
    digest, size = hashlib.sha256(), 0
    draft = None if place.exists() else place.with_name(f"{place.name}.{threading.get_ident()}")
    compress = zstandard.ZstdCompressor().compressobj()
    with source.open("rb") as file, open(draft or os.devnull, "wb", opener=_private) as written:

        def pieces() -> Any:
            nonlocal size
            while piece := file.read(MIB):
                digest.update(piece)
                size += len(piece)
                if draft is not None:
                    yield compress.compress(piece)
            if draft is not None:
                yield compress.flush()

        if draft is None:
            list(pieces())
        else:
            fill_durably(written, pieces())
            draft.rename(place)
    return size, digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
