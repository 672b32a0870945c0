"""Reading a backup: whether it is whole, and making a data directory of it.

A directory that is being restored has no `format.json`, so that no host takes it for one, until everything else is on
disk. What a backup holds beyond what one may hold is refused: its names are those of a data directory, and no others.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from holdfast_host.core.backup_file import CHECKSUMS, FAILED, FORMAT, HEAD, is_file_name
from holdfast_host.core.clock import utc_text
from holdfast_host.core.durable_files import sync_directory, write_durably, write_pieces
from holdfast_host.core.limits import MIB
from holdfast_host.storage.data_directory import MARKER

_TEXT_BYTES_MAX: Final = 64 * MIB  # of the first and the last member: a checksum for each of a million files


class BackupError(Exception):
    """A sentence that says why a file is no backup, or cannot be restored."""


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """What a whole backup says of itself."""

    created_at: str
    partitions: int
    with_key: bool
    files: int
    bytes: int


def read_backup(file: Path) -> BackupFacts:
    """Read all of a backup, and compare it with its checksums.

    Raises:
        BackupError: it is not whole, or none of this release's.
    """
    return _pass_through(file, lambda name, source, size_bytes: None)


def restore_backup(file: Path, directory: Path, key_file: Path | None = None) -> BackupFacts:
    """Make a data directory. Durable on return; nothing is left of one that fails.

    Args:
        file: the backup.
        directory: it must be empty, or not there.
        key_file: a copy of the key of the secrets, for a backup that has none.

    Raises:
        BackupError: the file is not whole, the directory holds something, or cannot be written.
    """
    key = None if key_file is None else read_key(key_file)
    with made_directory(directory):
        return _fill(file, directory, key)


@contextmanager
def made_directory(directory: Path) -> Iterator[None]:
    """An empty directory, of which nothing is left where the block fails.

    Raises:
        BackupError: it holds something, or it or what the block writes there cannot be written.
    """
    try:
        missing = [each for each in (directory, *directory.absolute().parents) if not each.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise BackupError(f"{directory} is not empty: name a directory that is, or is not there.")
    except OSError as error:
        raise BackupError(f"{directory} cannot be made: {error.strerror}.") from error
    try:
        yield
        for each in missing:
            sync_directory(each.absolute().parent)
    except BaseException as error:
        _clear(directory, remove=directory in missing)
        if isinstance(error, OSError):
            raise BackupError(f"{directory} cannot be written: {error.strerror}.") from error
        raise


def finish(directory: Path, marker: bytes, key: bytes | None) -> None:
    """Add the key, and make all of it durable; then the marker, by which a host knows the directory."""
    if key is not None and not (directory / "secrets" / "key").exists():
        (directory / "secrets").mkdir(mode=0o700, exist_ok=True)
        write_durably(directory / "secrets" / "key", key)
    for folder in sorted((each for each in directory.rglob("*") if each.is_dir()), reverse=True):
        sync_directory(folder)
    write_durably(directory / MARKER, marker)


def _fill(file: Path, directory: Path, key: bytes | None) -> BackupFacts:
    marker: list[bytes] = []

    def keep(name: str, source: IO[bytes], size_bytes: int) -> None:
        if name == MARKER:
            marker.append(source.read(size_bytes))
            return
        path = directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_pieces(path, iter(partial(source.read, MIB), b""))

    facts = _pass_through(file, keep)
    if not marker:
        raise BackupError(f"{file} has no {MARKER}.")
    finish(directory, marker[0], key)
    return facts


def _pass_through(file: Path, keep: Any) -> BackupFacts:
    """Each file to `keep(name, source, size in bytes)`, which may read all of it; then the checksums are compared."""
    found: dict[str, list[Any]] = {}
    head: dict[str, Any] | None = None
    with _opened(file) as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isreg() else None
            if source is None:
                raise BackupError(f"{file} holds {member.name!r:.80}, which is no file of a backup.")
            if head is None:
                hashing = _Hashing(source)
                head = _read_head(file, member, hashing)
                found[HEAD] = [member.size, hashing.digest.hexdigest()]
            elif member.name == CHECKSUMS:
                return _checked(file, head, found, _read_text(source, member.size))
            elif member.name == FAILED:
                error = _read_text(source, member.size).get("error", {})
                raise BackupError(f"the host could not finish it: {error.get('name')}: {error.get('message')}.")
            elif not is_file_name(member.name) or member.name in found:
                raise BackupError(f"{file} holds {member.name!r:.80}, which is no file of a backup.")
            else:
                hashing = _Hashing(source)
                keep(member.name, hashing, member.size)
                while hashing.read(MIB):
                    pass
                found[member.name] = [member.size, hashing.digest.hexdigest()]
    raise BackupError(f"{file} ends before its checksums: it broke off, or was cut short.")


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        return piece


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with file.open("rb") as opened, tarfile.open(fileobj=opened, mode="r|") as archive:
            yield archive
    except tarfile.TarError as error:
        raise BackupError(f"{file} is no backup, or is damaged: {error}.") from error
    except FileNotFoundError as error:
        if error.filename == str(file):
            raise BackupError(f"there is no file {file}.") from error
        raise


def _read_head(file: Path, member: tarfile.TarInfo, source: Any) -> dict[str, Any]:
    facts = _read_text(source, member.size) if member.name == HEAD else None
    if facts is None:
        raise BackupError(f"{file} is no backup: it does not begin with {HEAD}.")
    if facts.get("format") != FORMAT:
        raise BackupError(
            f"{file} has backup format {facts.get('format')!r}, this release reads format {FORMAT}: "
            f"restore it with release {facts.get('holdfast')} or a later one."
        )
    return facts


def _read_text(source: Any, size_bytes: int) -> dict[str, Any]:
    if size_bytes > _TEXT_BYTES_MAX:
        raise BackupError(f"a list of {size_bytes} bytes is none of a backup's.")
    try:
        facts = json.loads(source.read(size_bytes))
    except ValueError as error:
        raise BackupError(f"it is damaged: {error}.") from error
    if not isinstance(facts, dict):
        raise BackupError("it is damaged: a list of it is none.")
    return facts


def _checked(file: Path, head: dict[str, Any], found: dict[str, list[Any]], expected: dict[str, Any]) -> BackupFacts:
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise BackupError(f"{file} lacks {name}.")
        if found[name] != expected.get(name):
            raise BackupError(f"{name} in {file} is not what the host had: the file was damaged, take another backup.")
    try:
        return BackupFacts(
            utc_text(head["created_us"]), head["partitions"], head["with_key"], len(found), file.stat().st_size
        )
    except (LookupError, TypeError, ValueError) as error:
        raise BackupError(f"{file} is damaged: its head says {error}.") from error


def read_key(key_file: Path) -> bytes:
    """The key of the secrets, for a backup that has none.

    Raises:
        BackupError: it cannot be read.
    """
    try:
        return key_file.read_bytes()
    except OSError as error:
        raise BackupError(f"the key file {key_file} cannot be read: {error.strerror}.") from error


def _clear(directory: Path, *, remove: bool) -> None:
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if remove:
        directory.rmdir()
