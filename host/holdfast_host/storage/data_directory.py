"""The data directory: its marker, its partitions' directories, and who may open what.

    DATA/format.json    {"format": 1, "partitions": P, "state": "ready"}
    DATA/parts/00/      partition 0, one LMDB environment; and so on to P - 1

The supervisor makes or checks it, under its lock, before any worker runs. A partition is made once, here: a worker that
finds one missing refuses, because an empty one in its place would be the silent loss of everything that was in it.
What does not live here: the lock, and what else the supervisor keeps in the directory.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import SHARDS, Limits
from holdfast_host.storage.keys import FORMAT
from holdfast_host.storage.partition import Partition

_MARKER: Final = "format.json"
_PARTS: Final = "parts"
_CREATING: Final = "creating"  # the marker of a directory whose making was interrupted; it is made again
_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """What the marker says."""

    format: int
    partitions: int
    state: str = _READY


def partition_path(data: Path, partition: int) -> Path:
    """The directory of one partition."""
    return data / _PARTS / f"{partition:02d}"


def ensure_data_directory(data: Path, partitions: int, limits: Limits) -> DataDirectory:
    """Check a data directory, or make a new one with so many partitions. An existing one keeps the number it has.

    For the supervisor, before any other process of the host opens it. Durable on return.

    Raises:
        ConfigurationError: another format, damaged, or not to be written.
    """
    found = read_data_directory(data)
    if found is not None and found.state == _READY:
        return found
    if not 1 <= partitions <= SHARDS:
        raise ConfigurationError(f"{partitions} partitions: 1 to {SHARDS} are possible")
    if found is None and (data / _PARTS).exists():
        raise ConfigurationError(f"{data} has partitions but no {_MARKER}: restore that file, or the whole directory")
    if found is not None:
        partitions = found.partitions
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_marker(data, DataDirectory(FORMAT, partitions, _CREATING))
        (data / _PARTS).mkdir(mode=0o700, exist_ok=True)
        for number in range(partitions):
            path = partition_path(data, number)
            path.mkdir(mode=0o700, exist_ok=True)
            Partition.create(path, number, limits)
            _sync_directory(path)
        _sync_directory(data / _PARTS)
        made = DataDirectory(FORMAT, partitions, _READY)
        _write_marker(data, made)
        _sync_directory(data.absolute().parent)
    except OSError as error:
        raise ConfigurationError(f"data directory {data} cannot be made: {error}") from error
    return made


def read_data_directory(data: Path) -> DataDirectory | None:
    """What the marker says, None where there is none.

    Raises:
        ConfigurationError: the marker is unreadable or names a format that this release does not know.
    """
    marker = data / _MARKER
    try:
        facts = json.loads(marker.read_text())
        found = DataDirectory(int(facts["format"]), int(facts.get("partitions", 0)), str(facts.get("state", "")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{marker} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{marker} is damaged ({error!r}): restore it from a backup") from error
    if found.format != FORMAT:
        raise ConfigurationError(
            f"data directory {data} has format {found.format}, this release reads format {FORMAT}: "
            "open it with the release that wrote it"
        )
    if not 1 <= found.partitions <= SHARDS or found.state not in {_CREATING, _READY}:
        raise ConfigurationError(f"{marker} is damaged ({found}): restore it from a backup")
    return found


def require_data_directory(data: Path) -> DataDirectory:
    """What the marker of a complete directory says; ConfigurationError where there is none."""
    found = read_data_directory(data)
    if found is None or found.state != _READY:
        raise ConfigurationError(f"{data} is no complete data directory: ensure_data_directory makes one")
    return found


def _write_marker(data: Path, directory: DataDirectory) -> None:
    """Replace the marker; durable on return."""
    fresh = data / f"{_MARKER}.new"
    with fresh.open("w") as file:
        json.dump(asdict(directory), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(data / _MARKER)
    _sync_directory(data)


def _sync_directory(path: Path) -> None:
    """Make the directory's entries durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
