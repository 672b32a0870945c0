"""The data directory: its folders, its format version, and the number of partitions it was made with.

    lock            who holds it, see lock.py
    format.json     {"format": 1, "partitions": P}; written once
    parts/NN/       the partitions' environments; only a worker opens them
    registry/       functions, versions and type numbers
    components/     <sha256>.wasm as it was deployed
    compiled/       what was compiled from them; may be removed while no host runs
    uploads/        deploys on their way in; emptied at start

The number of partitions decides which file holds an instance, so it never changes while the directory lives.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import SHARDS

FORMAT: Final = 1
_FOLDERS: Final = ("parts", "registry", "components", "compiled", "uploads")


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A directory of the format that this host writes; made by `make_directory` and `open_directory`."""

    root: Path
    partitions: int

    @property
    def registry(self) -> Path:
        """The registry's database."""
        return self.root / "registry" / "registry.sqlite3"

    @property
    def components(self) -> Path:
        """Components as they were deployed."""
        return self.root / "components"

    @property
    def compiled(self) -> Path:
        """The cache of compiled components."""
        return self.root / "compiled"

    @property
    def uploads(self) -> Path:
        """Where a front streams a deploy to."""
        return self.root / "uploads"


def make_directory(root: Path) -> None:
    """Make the directory itself, private to its owner, so that it can be locked.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigurationError(f"--data {root} is a file; name a directory") from None
    except OSError as error:
        raise ConfigurationError(f"cannot make the data directory {root}: {error.strerror}") from error
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"the data directory {root} is not writable for this user (uid {os.getuid()})")


def open_directory(root: Path, workers: int) -> DataDirectory:
    """Check the format, or write it into a new directory with P = `workers`. The lock is held.

    Raises:
        ConfigurationError: the format is not this host's, or the directory is not one of ours.
    """
    marker = root / "format.json"
    try:
        text = marker.read_bytes()
    except FileNotFoundError:
        _refuse_foreign(root)
        _write_marker(marker, workers)
        directory = DataDirectory(root, workers)
    else:
        directory = DataDirectory(root, _read_marker(marker, text))
    for name in _FOLDERS:
        (root / name).mkdir(mode=0o700, exist_ok=True)
    _empty(directory.uploads)
    sync_folder(root)
    return directory


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_foreign(root: Path) -> None:
    """A directory without a marker must hold nothing but our lock: `--data .` by mistake fills no project."""
    others = sorted(
        entry.name for entry in root.iterdir() if entry.name not in {"lock", "format.json.new", "lost+found"}
    )
    if others:
        raise ConfigurationError(
            f"{root} holds {others[0]!r} but no format.json, so it is no data directory; name an empty one with --data"
        )


def _write_marker(marker: Path, partitions: int) -> None:
    """Durable before anything else is written: a directory without it is known to be empty."""
    fresh = marker.with_suffix(".json.new")
    with fresh.open("wb") as file:
        file.write(json.dumps({"format": FORMAT, "partitions": partitions}).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(marker)
    sync_folder(marker.parent)
    sync_folder(marker.parent.parent)


def _read_marker(marker: Path, text: bytes) -> int:
    """The number of partitions, or ConfigurationError."""
    try:
        facts = json.loads(text)
        version, partitions = facts["format"], facts["partitions"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{marker} is damaged: restore it from a backup, or name another --data") from None
    if version != FORMAT:
        raise ConfigurationError(
            f"{marker.parent} has format {version!r}, this host reads format {FORMAT}: use the version that wrote it"
        )
    if not isinstance(partitions, int) or not 1 <= partitions <= SHARDS:
        raise ConfigurationError(f"{marker} says {partitions!r} partitions, they are 1 to {SHARDS}")
    return partitions


def _empty(folder: Path) -> None:
    """Remove what interrupted deploys left."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
