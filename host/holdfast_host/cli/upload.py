"""A file on its way to a host, which says how much of it has left."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class Upload(io.RawIOBase):
    """A file that says how much of it was read. httpx measures it by its descriptor."""

    def __init__(self, path: Path, on_sent: Callable[[int], None]) -> None:
        self._file = path.open("rb")
        self._on_sent = on_sent
        self.total_bytes = os.fstat(self._file.fileno()).st_size

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    def seekable(self) -> bool:
        """It is a file."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file does."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """As a file does; it is told on."""
        chunk = self._file.read(size)
        self._on_sent(self._file.tell())
        return chunk

    def chunks(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
        while chunk := self.read(64 << 10):
            yield chunk

    def close(self) -> None:
        """As a file does."""
        self._file.close()
        super().close()
