"""A data directory as it was at a moment: the newest base before, and what was committed and deployed from then on.

As with a backup, the directory has no `format.json` until all else is on disk. What the archive lacks is refused by
name: a moment after its end or before its beginning, one inside a gap, a frame or file that is missing or damaged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from holdfast_host.core.backup_file import is_file_name
from holdfast_host.core.clock import utc_text
from holdfast_host.core.durable_files import write_durably, write_pieces
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.frames import ArchiveError, Frame, all_frames, read_about, read_reached
from holdfast_host.storage.archive.records import Record
from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.data_directory import MARKER, partition_path
from holdfast_host.storage.lmdb.replay import Replay, ReplayError
from holdfast_host.supervisor.archive.base_maker import place_of
from holdfast_host.supervisor.archive.bases import Base, read_bases
from holdfast_host.supervisor.directory.restoring import BackupError, finish, made_directory, read_key

_COMPONENTS: Final = "components/"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is to be restored: all that was committed by a time; of one partition, where it is named, by a group."""

    at_us: int | None = None  # None: the last that the archive has
    partition: int = 0
    group: int | None = None


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What was restored."""

    at: str
    base_at: str
    commits: int


def restore_archive(root: ArchiveRoot, directory: Path, moment: Moment, key_file: Path | None = None) -> ArchiveFacts:
    """Make a data directory. Durable on return; nothing is left of one that fails.

    Args:
        root: the archive. A host may ship into it meanwhile.
        directory: it must be empty, or not there.
        moment: which one.
        key_file: a copy of the key of the secrets.

    Raises:
        BackupError: the archive does not have that moment, is damaged, or the directory cannot be made.
    """
    key = None if key_file is None else read_key(key_file)
    try:
        if not read_about(root):
            raise BackupError(f"{root} is no archive: it has no archive.json.")
        at_us, base = find_base(root, moment)
        with made_directory(directory):
            commits = _fill(root, directory, base, at_us, moment)
            finish(directory, _read_file(root, base, MARKER), key)
    except (ArchiveError, ReplayError) as error:
        raise BackupError(f"the archive {root}: {error}.") from error
    except ConfigurationError as error:
        raise BackupError(f"{error.message}.") from error
    except OSError as error:
        raise BackupError(f"{error.filename or root} cannot be read or written: {error.strerror}.") from error
    return ArchiveFacts(exact_text(at_us), exact_text(base.created_us), commits)


def find_base(root: ArchiveRoot, moment: Moment) -> tuple[int, Base]:
    """The moment's time, and the base to begin with.

    Raises:
        ArchiveError: the archive does not have it.
    """
    reached = read_reached(root)
    bases = read_bases(root)
    if reached is None or not bases:
        raise ArchiveError("it has no base yet: wait until the host has made it")
    at_us = reached.at_us if moment.at_us is None else moment.at_us
    if moment.group is not None:
        at_us = _time_of(root, moment.partition, moment.group, bases)
    if at_us > reached.at_us:
        raise ArchiveError(f"it reaches until {exact_text(reached.at_us)}, before {exact_text(at_us)}")
    before = [base for base in bases if base.created_us <= at_us]
    if not before:
        raise ArchiveError(f"it begins with {exact_text(bases[0].created_us)}, after {exact_text(at_us)}")
    return at_us, before[-1]


def _time_of(root: ArchiveRoot, partition: int, group: int, bases: list[Base]) -> int:
    for frame in all_frames(root, bases[0].seq):
        if frame.head.kind == "records" and frame.head.origin == bases[-1].origin:
            for number, record in frame.records():
                if (number, record.group) == (partition, group):
                    return record.at_us
    raise ArchiveError(f"it has no group {group} of partition {partition}")


def _fill(root: ArchiveRoot, directory: Path, base: Base, at_us: int, moment: Moment) -> int:
    """Everything but the marker; how many commits followed the base."""
    for name in base.files:
        if name != MARKER:
            restore_file(root, base, name, directory)
    small, components = dict[str, bytes](), set[str]()
    paths = {number: partition_path(directory, number) for number in range(base.partitions)}
    replay = Replay.open(paths, base.partitions)
    try:
        commits = 0
        for frame in frames_behind(root, base, at_us):
            if frame.head.kind == "files" and frame.head.last_us <= at_us:
                small |= frame.files()
                components |= set(frame.head.components)
            for partition, record in frame.records() if frame.head.kind == "records" else ():
                if belongs(partition, record, at_us, moment):
                    replay.apply(partition, record)
                    commits += 1
        replay.flush()
    finally:
        replay.close()
    _fill_small(root, directory, base, small, components)
    return commits


def frames_behind(root: ArchiveRoot, base: Base, at_us: int) -> Iterator[Frame]:
    """What follows a base, up to where all is told that was acknowledged before a moment.

    Raises:
        ArchiveError: something before it is missing.
    """
    for frame in all_frames(root, base.seq):
        head = frame.head
        if head.origin != base.origin:
            begin_us = head.last_us if head.kind == "gap" else head.first_us
            if head.kind != "files" and base.created_us < begin_us <= at_us:
                raise ArchiveError(
                    f"from {exact_text(begin_us)} on it is of another data directory, of which it has no base before "
                    f"{exact_text(at_us)}: name an earlier moment, or one after the next base"
                )
            continue
        if head.kind == "gap" and base.created_us < head.last_us and head.first_us < at_us:
            raise ArchiveError(
                f"it lacks what partition {head.partition} committed between {exact_text(head.first_us)} and "
                f"{exact_text(head.last_us)}: name an earlier moment, or one after the next base"
            )
        yield frame
        if head.kind == "records" and head.horizon_us > at_us:
            return


def _fill_small(root: ArchiveRoot, directory: Path, base: Base, small: dict[str, bytes], components: set[str]) -> None:
    for name, content in small.items():
        if not is_file_name(name):
            raise ArchiveError(f"it holds {name!r:.80}, which is no file of a data directory")
        (directory / name).parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(directory / name, content)
    for sha256 in sorted(components):
        name = f"{_COMPONENTS}{sha256}.wasm"
        if is_file_name(name) and not (directory / name).exists():
            (directory / name).parent.mkdir(mode=0o700, exist_ok=True)
            write_pieces(directory / name, _checked(place_of(root, base.path, name), None, sha256))


def belongs(partition: int, record: Record, at_us: int, moment: Moment) -> bool:
    """Whether a commit is of what is restored."""
    if moment.group is not None and partition == moment.partition:
        return record.group <= moment.group
    return record.at_us <= at_us


def restore_file(root: ArchiveRoot, base: Base, name: str, directory: Path) -> None:
    """Write one file of a base to its place; its content is durable on return.

    Raises:
        ArchiveError: it is missing, or damaged.
    """
    if not is_file_name(name):
        raise ArchiveError(f"it holds {name!r:.80}, which is no file of a data directory")
    path = directory / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_pieces(path, _checked(place_of(root, base.path, name), *base.files[name]))


def _read_file(root: ArchiveRoot, base: Base, name: str) -> bytes:
    if name not in base.files:
        raise ArchiveError(f"the base {base.path.name} has no {name}")
    return b"".join(_checked(place_of(root, base.path, name), *base.files[name]))


def _checked(place: ArchiveRoot, size: int | None, sha256: str) -> Iterator[bytes]:
    """A file's content, piece by piece; the last one comes only where all of it is what it was."""
    digest, read_bytes = hashlib.sha256(), 0
    try:
        with place.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as source:
            while piece := source.read(MIB):
                digest.update(piece)
                read_bytes += len(piece)
                yield piece
    except FileNotFoundError:
        raise ArchiveError(f"{place} is missing") from None
    except zstandard.ZstdError as error:
        raise ArchiveError(f"{place} is damaged: {error}") from error
    if digest.hexdigest() != sha256 or size not in {None, read_bytes}:
        raise ArchiveError(f"{place} is damaged: it is not what the host had")


def exact_text(at_us: int) -> str:
    """A time as `--at` takes it, to the microsecond."""
    return f"{utc_text(at_us)[:-1]}.{at_us % 1_000_000:06d}Z"
