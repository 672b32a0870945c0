"""The registry and what lies beside it, on their way into the archive as they change.

What a deploy records must be in the archive before what the deployed code commits: so a copy of the registry is made
in the moment of the change, before any worker is told, and lies in `data/archive/registry` until it is shipped. The
other files depend on nothing, and are read when they have changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import HoldfastError
from holdfast_host.supervisor.registry.registry import now_us

if TYPE_CHECKING:
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.directory.layout import DirectoryLayout
    from holdfast_host.supervisor.registry.registry import Registry

SUFFIX: Final = ".copy"


class SmallFiles(msgspec.Struct):
    """Some files as of one moment."""

    files: dict[str, bytes]
    components: list[str] = []
    types: dict[int, str] = {}


class RegistryCopies:
    """Makes the copies; the supervisor's thread."""

    def __init__(self, directory: DirectoryLayout, registry: Registry, folder: Path, log: EventLog) -> None:
        self._directory = directory
        self._registry = registry
        self._folder = folder
        self._log = log
        self.lost = False  # one could not be made: only a base has what it would have had

    def take(self) -> None:
        """Copy what the registry holds now. Never raises: what was recorded is recorded."""
        draft = self._folder / "registry.new"
        try:
            draft.unlink(missing_ok=True)
            self._registry.copy(draft)
            copy = SmallFiles({f"registry/{self._directory.registry.name}": draft.read_bytes()}, *self._about())
            write_durably(self._folder / f"{now_us()}{SUFFIX}", msgspec.msgpack.encode(copy))
            draft.unlink()
        except (OSError, HoldfastError) as error:
            self.lost = True
            self._log.error(
                "the registry could not be copied for the archive: a new base will be made", error=str(error)
            )

    def _about(self) -> tuple[list[str], dict[int, str]]:
        registry = self._registry
        return sorted({each.sha256 for each in registry.kept()}), registry.type_keys()


def waiting_copies(folder: Path) -> list[tuple[int, Path]]:
    """Copies of the registry that were not shipped, with their times, in order."""
    return sorted((int(each.stem), each) for each in folder.iterdir() if each.suffix == SUFFIX)


def read_copy(path: Path) -> SmallFiles:
    """One of them.

    Raises:
        OSError, msgspec.DecodeError: it cannot be read.
    """
    return msgspec.msgpack.decode(path.read_bytes(), type=SmallFiles)


class OtherFiles:
    """The files beside the registry, and the sealed secrets, as they change; one thread."""

    def __init__(self, directory: DirectoryLayout) -> None:
        self._directory = directory
        self._seen: dict[Path, tuple[int, int]] = {}

    def changed(self) -> list[tuple[int, str, bytes]]:
        """Time, name and content of what was written since this was asked before; each is replaced as a whole.

        Raises:
            OSError: one cannot be read.
        """
        found = []
        sealed = self._directory.secrets / "sealed.json"
        for path in [*sorted(self._directory.registry.parent.glob("*.json")), *([sealed] if sealed.exists() else [])]:
            state = path.stat()
            if self._seen.get(path) != (state.st_ino, state.st_mtime_ns):
                self._seen[path] = (state.st_ino, state.st_mtime_ns)
                found.append((state.st_mtime_ns // 1000, f"{path.parent.name}/{path.name}", path.read_bytes()))
        return sorted(found)

    def forget(self) -> None:
        """Whoever was told has lost it."""
        self._seen.clear()
