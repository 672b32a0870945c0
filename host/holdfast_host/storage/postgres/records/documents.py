"""Small values that hosts share and replace whole: the sealed secrets, the tokens' digests, the quarantine.

Each is what the file of the same name holds where a data directory is the home.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.records.changes import Changes, Connection


class StoreDocument:
    """Implements `storage.records.Document`; the supervisor's thread."""

    def __init__(self, changes: Changes, name: str) -> None:
        self._changes = changes
        self._name = name
        self.seen = 0  # the state that was read or written last

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"the document {self._name} of the store"

    def read(self) -> bytes | None:
        """What it is now; None where there is none yet."""

        def query(connection: Connection) -> tuple[int, bytes | None]:
            row = connection.execute("SELECT changed, content FROM document WHERE name = %s", (self._name,)).fetchone()
            return row or (0, None)

        self.seen, content = self._changes.read(query)
        return content

    def write(self, content: bytes) -> None:
        """Replace it; durable on return."""

        def write(connection: Connection) -> None:
            connection.execute("UPDATE document SET content = %s WHERE name = %s", (content, self._name))

        self.seen = self._changes.change(self._name, self.seen, write)
