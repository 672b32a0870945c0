"""Components on disk: as they were deployed, and packed once nothing has to be compiled from them.

    components/<sha256>.wasm        as it came
    components/<sha256>.wasm.zst    the same in a third of the room, compressed with zstandard

One of the two is there, durably, from the time when a component was taken over until it is removed. A reader of either
gets the bytes that were deployed. What is packed is unpacked when its compiled file is to be made again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from holdfast_host.core.durable_files import move_durably, write_durably
from holdfast_host.core.limits import MIB

PLAIN: Final = ".wasm"
PACKED: Final = ".wasm.zst"


class DamagedComponentError(OSError):
    """What is kept is not what was deployed."""


@dataclass(frozen=True, slots=True)
class ComponentFiles:
    """The folder of a data directory; any thread, but for one component one at a time."""

    folder: Path

    def plain(self, sha256: str) -> Path | None:
        """Where a component lies as it was deployed; None where it does not."""
        path = self.folder / f"{sha256}{PLAIN}"
        return path if path.exists() else None

    def find(self, sha256: str) -> Path | None:
        """Where a component lies, packed or not; None where it is not there."""
        packed = self.folder / f"{sha256}{PACKED}"
        found = self.plain(sha256) or (packed if packed.exists() else None)
        return found or self.plain(sha256)  # brought again between the two looks

    def is_whole(self, sha256: str) -> bool:
        """Whether a component is there, and is what was deployed; reads all of it."""
        found = self.find(sha256)
        try:
            return found is not None and digest_of(found) == sha256
        except OSError:
            return False

    def take(self, upload: Path, sha256: str) -> None:
        """Make an upload ours, durably; it must be on the same disk.

        Raises:
            OSError: it cannot be moved.
        """
        move_durably(upload, self.folder / f"{sha256}{PLAIN}")
        (self.folder / f"{sha256}{PACKED}").unlink(missing_ok=True)

    def pack(self, sha256: str) -> bool:
        """Pack a component; False where none lies there unpacked, or not what was deployed.

        Raises:
            OSError: there is no room; it is as it was.
        """
        plain = self.folder / f"{sha256}{PLAIN}"
        try:
            content = plain.read_bytes()
        except FileNotFoundError:
            return False
        if hashlib.sha256(content).hexdigest() != sha256:
            return False
        write_durably(self.folder / f"{sha256}{PACKED}", zstandard.ZstdCompressor().compress(content))
        plain.unlink()
        return True

    def unpack(self, sha256: str, into: Path) -> None:
        """Write the bytes that were deployed into a new file, not synced.

        Raises:
            FileNotFoundError: there is no such component.
            DamagedComponentError: it is not what was deployed.
            OSError: it cannot be read or written.
        """
        found = self.find(sha256)
        if found is None:
            raise FileNotFoundError(f"the component {self.folder / sha256}{PLAIN} is not there")
        digest = hashlib.sha256()
        with open(into, "xb", opener=_private) as file:
            for piece in pieces_of(found):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != sha256:
            raise DamagedComponentError(f"{found} is not what was deployed")

    @contextmanager
    def as_deployed(self, sha256: str, drafts: Path) -> Iterator[Path | None]:
        """A file with the bytes that were deployed, while the block runs; None where there is no such component.

        Args:
            sha256: whose.
            drafts: a folder in which it is unpacked where it is packed.

        Raises:
            DamagedComponentError: it is not what was deployed.
            OSError: it cannot be read or written.
        """
        found, draft = self.plain(sha256), drafts / f"unpacked-{sha256}{PLAIN}"
        draft.unlink(missing_ok=True)  # of a process that was killed
        try:
            if found is None and self.find(sha256) is not None:
                self.unpack(sha256, draft)
                found = draft
            yield found
        finally:
            draft.unlink(missing_ok=True)


def pieces_of(path: Path) -> Iterator[bytes]:
    """What a component's file stands for, piece by piece.

    Raises:
        DamagedComponentError: it does not unpack.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not path.name.endswith(PACKED):
            while piece := file.read(MIB):
                yield piece
            return
        try:
            with zstandard.ZstdDecompressor().stream_reader(file) as source:
                while piece := source.read(MIB):
                    yield piece
        except zstandard.ZstdError as error:
            raise DamagedComponentError(f"{path} is damaged: {error}") from error


def digest_of(path: Path) -> str:
    """The SHA-256 in hex of what a component's file stands for; raises as `pieces_of`."""
    digest = hashlib.sha256()
    for piece in pieces_of(path):
        digest.update(piece)
    return digest.hexdigest()


def component_of(entry: Path) -> str:
    """Whose file an entry of the folder is, a draft of one too: its name without endings."""
    return entry.name.partition(".")[0]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
