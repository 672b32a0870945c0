"""Small values in files of a data directory, replaced whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.core.durable_files import write_durably

if TYPE_CHECKING:
    from pathlib import Path


class FileDocument:
    """Implements `storage.records.Document`; under the directory's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return str(self._path)

    def read(self) -> bytes | None:
        """What it is now; None where there is none yet."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, content: bytes) -> None:
        """Replace it; durable on return."""
        write_durably(self._path, content)
