"""What slowly goes wrong with a server is found before it has gone wrong."""

from __future__ import annotations

import time

import psycopg

from holdfast_host.storage.postgres.server_facts import ServerFacts, read_server_facts
from tests.unit.storage.postgres.conftest import Owned


def test_a_snapshot_that_somebody_holds_is_seen_and_a_host_that_only_works_holds_none(owned: Owned) -> None:
    owned.put(b"alice", k=b"1")
    assert read_server_facts(owned.other).snapshot_age_s == 0
    with psycopg.connect(owned.address.dsn) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        time.sleep(0.2)
        held = read_server_facts(owned.other)

    assert held.snapshot_age_s >= 0.2
    assert held.warnings() == {}


def test_connections_and_transactions_are_counted(owned: Owned) -> None:
    before = read_server_facts(owned.other)
    for n in range(5):
        owned.put(b"alice", k=b"%d" % n)
    with psycopg.connect(owned.address.dsn):
        after = read_server_facts(owned.other)

    assert after.connections_left == before.connections_left - 1
    assert after.xid_age >= before.xid_age + 5


def test_what_is_to_be_looked_at_is_said_with_what_to_do() -> None:
    assert ServerFacts(10, 50, 1.0).warnings() == {}
    old, held, few = ServerFacts(1_200_000_000, 1, 700.0).warnings().values()

    assert "1,200,000,000 transactions" in old
    assert "700 s" in held
    assert "max_connections" in few
