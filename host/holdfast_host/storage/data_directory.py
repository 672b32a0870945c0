"""What of a data directory concerns storage: the marker, and where the partitions lie.

    DATA/format.json    {"format": 2, "partitions": P}
    DATA/parts/00/      partition 0, one LMDB environment; and so on to P - 1

The marker is written before anything else: a directory without it holds no state. One of an earlier format is taken
over: its marker is written anew before a partition is opened, so that a release that knows only that format leaves the
directory alone from then on; each partition follows when it is opened. The number of partitions
decides which file holds an instance, so it never changes while the directory lives. What does not live here: the lock,
and what else the supervisor keeps in the directory; making a partition (storage.lmdb.partition).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from holdfast_host.core.durable_files import sync_directory, write_durably
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import SHARDS
from holdfast_host.storage.lmdb.keys import FORMAT, FORMATS

MARKER: Final = "format.json"
_MOVED_FORMAT: Final = 3  # of a marker that only says where all has moved to; no release opens it
_PARTS: Final = "parts"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """What the marker says."""

    format: int
    partitions: int


def partition_path(data: Path, partition: int) -> Path:
    """The directory of one partition."""
    return data / _PARTS / f"{partition:02d}"


def ensure_data_directory(data: Path, partitions: int) -> DataDirectory:
    """Check a data directory, or make a new one for so many partitions. An existing one keeps the number it has.

    One of an earlier format is of this release's from then on.

    For one process, before any other opens it. Durable on return.

    Raises:
        ConfigurationError: another format, damaged, partitions without a marker, or not to be written.
    """
    found = read_data_directory(data)
    if found is not None:
        return found if found.format == FORMAT else _take_over(data, found)
    if not 1 <= partitions <= SHARDS:
        raise ConfigurationError(f"{partitions} partitions: 1 to {SHARDS} are possible")
    if (data / _PARTS).is_dir() and any((data / _PARTS).iterdir()):
        raise ConfigurationError(f"{data} has partitions but no {MARKER}: restore that file, or the whole directory")
    made = DataDirectory(FORMAT, partitions)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(data / MARKER, json.dumps(asdict(made)).encode())
        sync_directory(data.absolute().parent)
    except OSError as error:
        raise ConfigurationError(f"data directory {data} cannot be made: {error}") from error
    return made


def _take_over(data: Path, found: DataDirectory) -> DataDirectory:
    taken = DataDirectory(FORMAT, found.partitions)
    try:
        write_durably(data / MARKER, json.dumps(asdict(taken)).encode())
    except OSError as error:
        raise ConfigurationError(f"data directory {data} cannot be taken over: {error}") from error
    return taken


def read_data_directory(data: Path) -> DataDirectory | None:
    """What the marker says, None where there is none.

    Raises:
        ConfigurationError: the marker is unreadable or names a format that this release does not know.
    """
    marker = data / MARKER
    moved_to = read_moved(data)
    if moved_to is not None:
        raise ConfigurationError(
            f"what was in {data} has been moved to the store {moved_to}: start with --store and an empty data directory"
        )
    try:
        facts = json.loads(marker.read_bytes())
        version, partitions = facts["format"], facts["partitions"]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{marker} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{marker} is damaged ({error!r}): restore it from a backup") from error
    if version not in FORMATS:
        raise ConfigurationError(
            f"data directory {data} has format {version!r}, this release reads up to format {FORMAT}: "
            "open it with the release that wrote it"
        )
    if not isinstance(partitions, int) or not 1 <= partitions <= SHARDS:
        raise ConfigurationError(f"{marker} says {partitions!r} partitions, 1 to {SHARDS} are possible")
    return DataDirectory(version, partitions)


def mark_moved(data: Path, store: str) -> None:
    """Say in the marker that all of it is in a store now: no host starts on the directory any more. Durable on return.

    Raises:
        ConfigurationError: it cannot be written; the directory is as it was.
    """
    try:
        write_durably(data / MARKER, json.dumps({"format": _MOVED_FORMAT, "moved_to": store}).encode())
    except OSError as error:
        raise ConfigurationError(f"{data / MARKER} cannot be written ({error}): nothing has moved") from error


def read_moved(data: Path) -> str | None:
    """The id of the store that all has moved to; None for a directory that is in use."""
    try:
        facts = json.loads((data / MARKER).read_bytes())
        return str(facts["moved_to"])
    except (OSError, ValueError, LookupError, TypeError):
        return None  # or damaged, which `read_data_directory` says
