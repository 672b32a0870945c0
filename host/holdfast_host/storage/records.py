"""What hosts keep beside what instances store, as those see it who use it: it has one home, files or PostgreSQL.

In files there is one host, and what it writes is there. Hosts that share a store write over what they have read: where
another one has written meanwhile, `MovedError` says so, whoever gets it reads again and decides again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.json_text import JsonObject

DECISIONS_MAX: Final = 8  # of one change, each over what others have changed meanwhile

Row = tuple[Any, ...]
_Value = TypeVar("_Value")


class MovedError(HostUnavailableError):
    """Another host has changed the same meanwhile; nothing was changed. What is in memory has to be read again."""

    def __init__(self, document: str) -> None:
        super().__init__(f"another host changed {document} at the same time; nothing was changed: try again")


def decided(decide: Callable[[], _Value]) -> _Value:
    """What is decided and written; decided again where another host has changed what it was decided over."""
    for _ in range(DECISIONS_MAX - 1):
        with suppress(MovedError):
            return decide()
    return decide()


class Document(Protocol):
    """A small value that is replaced whole."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""

    def read(self) -> bytes | None:
        """What it is now; None where there is none yet.

        Raises:
            OSError, HostUnavailableError: it cannot be read.
        """

    def write(self, content: bytes) -> None:
        """Replace it; durable on return.

        Raises:
            MovedError: another host has, since it was read.
            OSError, HostUnavailableError, StorageFullError: it cannot be written. Nothing was changed, or the message
                says that this is not known.
        """


class RegistryRows(Protocol):
    """The registry's rows where hosts share them: by table, in the order of `COLUMNS`."""

    @property
    def state(self) -> int:
        """The catalog's number as of the last read or write here."""

    def read(self) -> tuple[int, dict[str, list[Row]]]:
        """The next type's number, and all rows.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """

    def write(self, next_type: int, gone: dict[str, list[Row]], rows: dict[str, list[Row]]) -> None:
        """Remove rows by their keys, add others, as one; durable on return.

        Raises:
            MovedError: another host has changed the registry since it was read.
            StorageFullError, HostUnavailableError: nothing was changed; or it is not known, and the message says so.
        """


class SharedComponents(Protocol):
    """Components where hosts share them; any thread."""

    def put(self, sha256: str, component: Path) -> None:
        """Keep one; it is there on return. What no version has needed for an hour goes.

        Raises:
            StorageFullError, HostUnavailableError: it cannot be kept.
        """

    def fetch(self, sha256: str, draft: Path) -> bool:
        """Write one into a new file, and see that it is what was kept; False where there is none.

        Raises:
            HostUnavailableError: it cannot be read now, or is not what was kept.
            OSError: the file cannot be written.
        """


class AuditLines(Protocol):
    """The audit log: lines that are numbered without gaps, the oldest of which go. One writer at a time, any thread."""

    def append(self, facts: Sequence[JsonObject]) -> int:
        """Add lines; the number of the first. Durable on return.

        Raises:
            OSError, HostUnavailableError, StorageFullError: none was added, or it is not known.
        """

    def read(self, after: int, limit: int) -> list[JsonObject]:
        """Lines with larger numbers, so many at most, in their order."""


# Tables of the registry that are shared, with the columns that make a row's key, and the others.
# What is compiled of a component is each host's own, and in no row.
KEYS: Final = {
    "functions": ("func_id",),
    "versions": ("func_id", "version"),
    "types": ("type_id",),
    "tenants": ("tenant",),
}
COLUMNS: Final = {
    "functions": ("func_id", "tenant", "name", "current", "last_version", "failure", "changed_us"),
    "versions": ("func_id", "version", "sha256", "manifest", "description", "deployment", "created_us"),
    "types": ("type_id", "tenant", "type", "func_id"),
    "tenants": ("tenant", "limits", "created_us"),
}
