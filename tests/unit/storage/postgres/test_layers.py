"""The model of a turn's layers over PostgreSQL: what is in memory is at each step what a successor would read."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, precondition, rule

from holdfast_host.storage.postgres.schema import TABLE_NAMES
from holdfast_host.storage.postgres.session import StoreAddress
from holdfast_host.storage.store import Store
from tests.harness.postgres import PumpedStore, new_store
from tests.unit.storage.test_layers_model import LIMITS, Layers

STORED = TABLE_NAMES[TABLE_NAMES.index("reached") :]


class LayersOnPostgres(Layers):
    """The worker may also die and its successor go on."""

    place: ClassVar[tuple[StoreAddress, int]]

    def open(self) -> Store:
        self.address, self.life = type(self).place
        self.other = psycopg.connect(self.address.dsn, autocommit=True, options="-c search_path=holdfast")
        emptied = [name for name in STORED if name != "shard"]
        self.other.execute(f"TRUNCATE {', '.join(emptied)}")
        self.other.execute("UPDATE shard SET grp = 1")
        return self.open_again()

    def open_again(self) -> Store:
        self.pumped = PumpedStore.open(self.address, self.life, LIMITS)
        return cast("Store", self.pumped)

    @precondition(lambda self: self.pumped.has_garbage)
    @rule()
    def sweep(self) -> None:
        self.pumped.sweep()

    @rule()
    def restart(self) -> None:
        self.pumped.close()
        self.store = self.open_again()
        self.pending.clear()
        self.flight, self.current, self.flight_written = None, [], False
        self.locate()
        self.next_turn(self.durable.copy())

    @invariant()
    def memory_and_rows_agree(self) -> None:
        """A successor loads what this one holds."""
        if not hasattr(self, "pumped"):
            return
        found: dict[bytes, bytes] = dict(
            self.other.execute(
                "SELECT k, v FROM kv JOIN instance AS i ON kv.data = i.data WHERE i.type_id = 1 AND i.name = 'mid'"
            )
        )
        assert found == self.durable.values

    def teardown(self) -> None:
        try:
            super().teardown()
            if hasattr(self, "pumped"):
                while self.pumped.has_garbage:
                    self.pumped.sweep()
                self.reads_agree()
                count = "SELECT (SELECT count(*) FROM kv), (SELECT count(*) FROM job), (SELECT count(*) FROM socket)"
                assert self.other.execute(count).fetchone() == (
                    2 + len(self.durable.values),
                    len(self.durable.jobs),
                    len(self.durable.sockets),
                )
        finally:
            if hasattr(self, "pumped"):
                self.pumped.close()
                self.other.close()


@pytest.fixture(scope="module", autouse=True)
def place() -> None:
    """One database for all histories; each begins with empty tables."""
    LayersOnPostgres.place = new_store()


TestLayersOnPostgres: Any = LayersOnPostgres.TestCase
TestLayersOnPostgres.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLayersOnPostgres.pytestmark = [pytest.mark.slow]
