"""The data directory: its folders, and what it was made with.

lock            who holds it, see lock.py
format.json     the format's version and the number of partitions, see storage/data_directory.py
parts/NN/       the partitions' environments; only a worker opens them
registry/       functions, versions and type numbers; the next front process's number; tokens, see tokens.token_store
secrets/        the key file, and the secrets sealed under it, see secrets.secret_store
components/     <sha256>.wasm as it was deployed, packed as <sha256>.wasm.zst; see component_files.py
compiled/       what was compiled from them; may be removed while no host runs
logs/wN/        what the guests of worker N printed, the latest of it; may be removed while no host runs
audit/          what was changed through the management API, see audit.audit_log
uploads/        deploys on their way in; emptied at start
backup/         a backup on its way out; emptied at start
archive/        with --archive: what waits to be shipped, see storage/archive/spool.py and supervisor/archive/
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast_host.core.durable_files import sync_directory
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import ensure_data_directory, read_data_directory

_FOLDERS: Final = ("registry", "secrets", "components", "compiled", "uploads", "backup")


@dataclass(frozen=True, slots=True)
class DirectoryLayout:
    """A directory of the format that this host writes; made by `make_directory` and `open_directory`."""

    root: Path
    partitions: int

    @property
    def registry(self) -> Path:
        """The registry's database."""
        return self.root / "registry" / "registry.sqlite3"

    @property
    def tokens(self) -> Path:
        """Where the tokens lie, as their digests."""
        return self.root / "registry" / "tokens.json"

    @property
    def quarantine(self) -> Path:
        """Where it lies which instances may not run."""
        return self.root / "registry" / "quarantine.json"

    @property
    def documents(self) -> dict[str, Path]:
        """What hosts of a store share as small values, each in its file here."""
        return {"secrets": self.secrets / "sealed.json", "tokens": self.tokens, "quarantine": self.quarantine}

    @property
    def fronts(self) -> Path:
        """Where the next front's number lies."""
        return self.root / "registry" / "fronts.json"

    @property
    def secrets(self) -> Path:
        """Where the sealed secrets lie."""
        return self.root / "secrets"

    @property
    def components(self) -> Path:
        """Components as they were deployed."""
        return self.root / "components"

    @property
    def compiled(self) -> Path:
        """The cache of compiled components."""
        return self.root / "compiled"

    @property
    def audit(self) -> Path:
        """Where the audit log lies."""
        return self.root / "audit"

    @property
    def uploads(self) -> Path:
        """Where a front streams a deploy to."""
        return self.root / "uploads"

    @property
    def backup(self) -> Path:
        """Where a backup is made, file by file."""
        return self.root / "backup"


def make_directory(root: Path) -> None:
    """Make the directory itself, private to its owner, so that it can be locked.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    made = [each for each in (root, *root.parents) if not each.exists()]
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in made:
            sync_directory(each.parent)
    except FileExistsError:
        raise ConfigurationError(f"--data {root} is a file; name a directory") from None
    except OSError as error:
        raise ConfigurationError(f"cannot make the data directory {root}: {error.strerror}") from error
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"the data directory {root} is not writable for this user (uid {os.getuid()})")


def open_directory(root: Path, workers: int) -> DirectoryLayout:
    """Check the format, or write it into a new directory with P = `workers`. The lock is held.

    Raises:
        ConfigurationError: the format is not this host's, or the directory is not one of ours.
    """
    if read_data_directory(root) is None:
        _refuse_foreign(root)
    directory = DirectoryLayout(root, ensure_data_directory(root, workers).partitions)
    for name in _FOLDERS:
        (root / name).mkdir(mode=0o700, exist_ok=True)
    _empty(directory.uploads)
    _empty(directory.backup)
    sync_directory(root)
    return directory


def _refuse_foreign(root: Path) -> None:
    """A directory without a marker must hold nothing but our lock: `--data .` by mistake fills no project."""
    others = sorted(
        entry.name for entry in root.iterdir() if entry.name not in {"lock", "format.json.new", "lost+found"}
    )
    if others:
        raise ConfigurationError(
            f"{root} holds {others[0]!r} but no format.json, so it is no data directory; name an empty one with --data"
        )


def _empty(folder: Path) -> None:
    """Remove what interrupted deploys left."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
