"""All of what hosts share of one store, as a supervisor opens it; and bringing there what a data directory has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.storage.postgres.owning import host_name
from holdfast_host.storage.postgres.records.audit_lines import StoreAuditLines
from holdfast_host.storage.postgres.records.changes import Changes
from holdfast_host.storage.postgres.records.components import StoreComponents
from holdfast_host.storage.postgres.records.documents import StoreDocument
from holdfast_host.storage.postgres.records.front_numbers import StoreFrontNumbers
from holdfast_host.storage.postgres.records.registry_rows import DOCUMENT, StoreRegistryRows

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.session import StoreAddress

DOCUMENTS: Final = ("secrets", "tokens", "quarantine")


class StoreHomes:
    """The homes of one store; each lives as long as this. Those that other threads use have sessions of their own."""

    def __init__(self, address: StoreAddress, host: str, audit_bytes_max: int) -> None:
        name = host_name(host)
        self._changes = Changes(address, name)
        self._audit_changes = Changes(address, name)
        self._asking = Changes(address, name)
        self._front_changes = Changes(address, name)
        self.fronts = StoreFrontNumbers(self._front_changes)
        self.registry = StoreRegistryRows(self._changes)
        self.documents = {each: StoreDocument(self._changes, each) for each in DOCUMENTS}
        self.audit = StoreAuditLines(self._audit_changes, audit_bytes_max)
        self.components = StoreComponents(address, name)

    def moved(self) -> list[str]:
        """Which of registry and documents another host has changed since they were read here; any thread.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        rows = self._asking.read(lambda it: it.execute("SELECT name, changed FROM document").fetchall())
        seen = {DOCUMENT: self.registry.seen} | {name: each.seen for name, each in self.documents.items()}
        return [name for name, changed in rows if seen.get(name, changed) != changed]

    def close(self) -> None:
        """End the sessions."""
        for each in (self._changes, self._audit_changes, self._front_changes, self._asking):
            each.close()


class StoreKey:
    """What the store says of the key that its hosts have; see supervisor/secrets/store_key.py."""

    def __init__(self, address: StoreAddress, host: str) -> None:
        self._changes = Changes(address, host_name(host))
        self.id: str = self._changes.read(lambda it: it.execute("SELECT id::text FROM cluster").fetchone() or ("",))[0]

    def check(self) -> bytes:
        """What tells the key apart; empty where no host has been there."""
        (found,) = self._changes.read(lambda it: it.execute("SELECT key_check FROM cluster").fetchone() or (b"",))
        return bytes(found)

    def set_check(self, check: bytes) -> None:
        """Keep it, where none is kept yet."""
        self._changes.change(
            "secrets", None, lambda it: it.execute("UPDATE cluster SET key_check = %s WHERE key_check = ''", (check,))
        )

    def close(self) -> None:
        """End the session."""
        self._changes.close()
