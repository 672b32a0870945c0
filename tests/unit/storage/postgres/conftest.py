"""A store, and a second session beside it that does what an operator or another owner would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.postgres.session import StoreAddress
from holdfast_host.storage.store import Batch, Changes, StoredInstance
from tests.harness.postgres import PumpedStore, new_store

TYPE = 7


@dataclass
class Owned:
    """A store of a host that has just started, and who else is there."""

    store: PumpedStore
    address: StoreAddress
    host_life: int
    other: psycopg.Connection[Any]
    group: int = 1

    def put(self, name: bytes, **writes: bytes) -> None:
        """Commit it."""
        self.begin(name, **writes)
        report = self.store.report()
        assert report.lost == {}
        assert report.confirmed

    def begin(self, name: bytes, **writes: bytes) -> None:
        """Send it."""
        self.begin_all((name, Changes({key.encode(): value for key, value in writes.items()})))

    def begin_all(self, *changes: tuple[bytes, Changes]) -> None:
        self.group += 1
        batches = [Batch(self.store.locate(TYPE, name), each) for name, each in changes]
        self.store.begin(self.group, batches)

    def confirm(self) -> None:
        """Send a confirm."""
        self.group += 1
        self.store.begin(self.group, [])

    def located(self, name: bytes) -> StoredInstance:
        found: StoredInstance = self.store.locate(TYPE, name)
        return found

    def stored(self, name: bytes) -> dict[str, bytes]:
        """What the tables say of an instance."""
        rows = self.other.execute(
            "SELECT k, v FROM kv JOIN instance AS i ON kv.data = i.data WHERE i.type_id = %s AND i.name = %s",
            (TYPE, name),
        )
        return {key.decode(): value for key, value in rows}

    def value(self, query: str, *parameters: Any) -> Any:
        """The one that a query finds."""
        (found,) = self.other.execute(query, parameters).fetchone() or (None,)
        return found


@pytest.fixture
def owned() -> Iterator[Owned]:
    """One worker's store."""
    address, life = new_store()
    store = PumpedStore.open(address, life, Limits())
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        yield Owned(store, address, life, other)
    store.close()
