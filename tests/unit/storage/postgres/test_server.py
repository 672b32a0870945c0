"""Which server and which tables are refused, each in a sentence that says what to do."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.failures import required
from holdfast_host.core.limits import Limits
from holdfast_host.storage.postgres import start_guard
from holdfast_host.storage.postgres.owning import host_name, make_tables, start_host, upgrade_tables
from holdfast_host.storage.postgres.postgres_store import PostgresStore
from holdfast_host.storage.postgres.records.homes import StoreHomes
from holdfast_host.storage.postgres.schema import FORMAT
from holdfast_host.storage.postgres.session import StoreAddress, StoreUnreachableError, connect
from holdfast_host.storage.store import TakenOverError
from tests.harness.postgres import HOST, PumpedStore, new_store, server
from tests.unit.storage.postgres.conftest import TYPE, Owned

FIXTURES = Path(__file__).parents[3] / "fixtures" / "stores"
FORMAT_1_HOST = "0123456789abcdef0123456789abcdef"


def refusal(address: StoreAddress) -> str:
    with pytest.raises(ConfigurationError) as raised:
        connect(address, "test")
    return raised.value.message


def test_a_database_without_tables_is_refused() -> None:
    address = StoreAddress(server().new_database(), "single")

    assert refusal(address) == "the store has no tables: make them with `holdfast store init`"


def test_tables_are_made_once() -> None:
    address = StoreAddress(server().new_database(), "single")
    with connect(address, "test", checked=False) as connection:
        assert make_tables(connection)
        assert not make_tables(connection)
    connect(address, "test").close()


def test_a_server_without_a_synchronous_standby_is_refused_unless_somebody_says_why_that_is_well(owned: Owned) -> None:
    dsn = owned.address.dsn

    assert "synchronous_standby_names is empty" in refusal(StoreAddress(dsn))
    connect(StoreAddress(dsn, "managed"), "test").close()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("ALTER TABLE kv SET UNLOGGED", "kv is unlogged or temporary"),
        ("ALTER TABLE instance ENABLE ROW LEVEL SECURITY", "instance is under row security"),
        ("CREATE RULE r AS ON INSERT TO job DO INSTEAD NOTHING", "job is behind a rule"),
        (
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER t BEFORE INSERT ON receipt FOR EACH ROW EXECUTE FUNCTION t()",
            "receipt is behind a trigger",
        ),
        ("UPDATE cluster SET format = 99", "has format 99"),
    ],
    ids=["unlogged", "row security", "rule", "trigger", "format"],
)
def test_tables_that_could_lose_what_they_take_are_refused(owned: Owned, change: str, what: str) -> None:
    owned.other.execute(change)

    assert what in refusal(owned.address)


def test_a_setting_of_the_role_is_overruled(owned: Owned) -> None:
    """A timeout would cancel a commit, and plans by scans would read whole tables."""
    database = owned.address.dsn.rsplit("/", 1)[1]
    for setting in ("statement_timeout = '5s'", "synchronous_commit = off", "jit = on", "enable_seqscan = on"):
        owned.other.execute(f"ALTER ROLE holdfast IN DATABASE {database} SET {setting}")
    with connect(owned.address, "test") as connection:
        row = connection.execute(
            "SELECT current_setting('statement_timeout'), current_setting('synchronous_commit'),"
            " current_setting('jit'), current_setting('enable_seqscan')"
        ).fetchone()

    assert row == ("0", "on", "off", "off")


def test_an_address_where_nobody_answers_is_said_without_its_password() -> None:
    with pytest.raises(StoreUnreachableError) as raised:
        connect(StoreAddress("postgresql://holdfast:secret@127.0.0.1:1/holdfast"), "test")

    assert "127.0.0.1:1/holdfast" in raised.value.message
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://holdfast:hu%sh@db/x",
        "postgresql://holdfast:hush hush@db/x",
        "postgresql://holdfast:hush@[::1/x",
        "postgresql://holdfast:hush@db/x?hush=1",
        "postgresql://holdfast:a@hush@db/x",
        "postgresql://holdfast:hush/@db/x",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(dsn: str) -> None:
    said = refusal(StoreAddress(dsn))

    assert "is no address" in said
    assert "hu" not in said


@pytest.mark.parametrize(("ahead_s", "said"), [(-5.0, True), (5.0, True), (1.0, False)])
def test_clocks_that_are_apart_are_warned_of(
    owned: Owned, monkeypatch: pytest.MonkeyPatch, ahead_s: float, said: bool
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead_s)
    warnings = start_guard.look_at_server(owned.other, owned.address, 2)

    assert any("clocks" in each for each in warnings) is said


def test_clocks_that_are_a_minute_apart_are_refused(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 61)
    with pytest.raises(ConfigurationError, match="NTP"):
        start_guard.look_at_server(owned.other, owned.address, 2)


def test_too_few_connections_and_standbys_without_names_are_warned_of(owned: Owned) -> None:
    assert start_guard.look_at_server(owned.other, owned.address, 2) == []
    few = start_guard.look_at_server(owned.other, owned.address, 500)
    assert [each for each in few if "this host takes up to 509: raise max_connections" in each] == few != []
    owned.other.execute("SET synchronous_commit = local")
    owned.other.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
    owned.other.execute("SELECT pg_reload_conf()")
    try:
        end = time.monotonic() + 10
        while owned.value("SELECT current_setting('synchronous_standby_names')") == "":
            assert time.monotonic() < end
        [warning] = start_guard.look_at_server(owned.other, StoreAddress(owned.address.dsn), 2)
    finally:
        owned.other.execute("ALTER SYSTEM RESET synchronous_standby_names")
        owned.other.execute("SELECT pg_reload_conf()")

    assert "name the standbys" in warning


def of_format(number: int) -> StoreAddress:
    """A store as a release before wrote it."""
    address = StoreAddress(server().new_database(), "single")
    with psycopg.connect(address.dsn, autocommit=True) as connection:
        connection.execute((FIXTURES / f"format-{number}.sql").read_text())
    return address


def of_format_1() -> StoreAddress:
    return of_format(1)


def test_a_store_of_format_1_is_brought_up_once_and_has_what_it_had() -> None:
    address = of_format_1()
    with connect(address, "test", checked=False) as connection:
        steps = [upgrade_tables(connection), upgrade_tables(connection)]
        life = required(start_host(connection, FORMAT_1_HOST, 1), "the host's life")
    store = PumpedStore(PostgresStore.open(address, FORMAT_1_HOST, life, 0, Limits()))
    found = [store.get(store.locate(1, name), b"k") for name in (b"alice", b"bob")]

    assert steps == [(1, FORMAT), (FORMAT, FORMAT)]
    assert found == [b"one", b"two"]
    store.close()


def test_a_store_of_format_2_is_brought_up_and_keeps_functions_and_documents() -> None:
    address = of_format(2)
    with connect(address, "test", checked=False) as connection:
        assert upgrade_tables(connection) == (2, FORMAT)
        life = required(start_host(connection, FORMAT_1_HOST, 1), "the host's life")
        homes = StoreHomes(address, FORMAT_1_HOST, 1 << 20)
        next_type, rows = homes.registry.read()
        kept = {name: each.read() for name, each in homes.documents.items()}
        audit = homes.audit.read(0, 9)
        homes.close()
    store = PumpedStore(PostgresStore.open(address, FORMAT_1_HOST, life, 0, Limits()))
    found = [store.get(store.locate(1, name), b"k") for name in (b"alice", b"bob")]
    store.close()

    assert found == [b"one", b"two"]
    assert (next_type, rows["tenants"], rows["types"]) == (2, [], [(1, "default", "Account", "fn_1")])
    assert [row[:5] for row in rows["functions"]] == [("fn_1", "default", "f-fn_1", 1, 1)]
    assert all(b'"format": 1' in (kept[name] or b"") for name in ("secrets", "tokens"))
    assert [each["event"] for each in audit] == ["begun"]


def test_a_store_of_format_1_is_not_served_before() -> None:
    assert "bring it up with `holdfast store upgrade`" in refusal(of_format_1())


def test_a_store_that_a_host_serves_is_not_brought_up() -> None:
    address = of_format_1()
    with (
        connect(address, host_name("another"), checked=False),
        connect(address, "test", checked=False) as connection,
        pytest.raises(ConfigurationError, match="the host another is connected to this store: stop it first"),
    ):
        upgrade_tables(connection)
    assert "has format 1" in refusal(address)


def test_a_store_of_a_later_format_is_left_alone(owned: Owned) -> None:
    owned.other.execute("UPDATE cluster SET format = 99")
    with (
        connect(owned.address, "test", checked=False) as connection,
        pytest.raises(ConfigurationError, match="has format 99"),
    ):
        upgrade_tables(connection)


def test_tables_that_are_brought_up_are_those_that_are_made_anew() -> None:
    def columns(address: StoreAddress) -> list[tuple[object, ...]]:
        with connect(address, "test", checked=False) as connection:
            upgrade_tables(connection)
            return connection.execute(
                "SELECT table_name, ordinal_position, column_name, data_type, is_nullable FROM"
                " information_schema.columns WHERE table_schema = 'holdfast' ORDER BY 1, 2"
            ).fetchall()

    made_anew = columns(new_store()[0])
    assert [columns(of_format(each)) for each in range(1, FORMAT)] == [made_anew] * (FORMAT - 1)


def test_a_store_of_format_1_is_first_served_by_the_directory_that_registers_its_functions() -> None:
    """Any other would have other numbers for its types, and so take one instance for another."""
    address = of_format_1()
    with connect(address, host_name("another"), checked=False) as connection:
        upgrade_tables(connection)
        with pytest.raises(ConfigurationError, match=f"says {FORMAT_1_HOST}: start once with that one"):
            start_host(connection, "another", 1)


def test_a_host_that_starts_again_with_more_workers_spreads_its_shards_anew() -> None:
    address, _ = new_store()
    with connect(address, host_name(HOST)) as connection:
        life = required(start_host(connection, HOST, 3), "a life")
    stores = [PumpedStore.open(address, life, Limits(), worker) for worker in range(3)]
    owned_shards = [set(each.reached()) for each in stores]

    assert set().union(*owned_shards) == set(range(256))
    assert [len(each) for each in owned_shards] == [86, 85, 85]
    with pytest.raises(TakenOverError):
        PumpedStore.open(address, life + 1, Limits())
    for each in stores:
        each.close()
    with psycopg.connect(address.dsn, options="-c search_path=holdfast") as other:
        assert (other.execute("SELECT count(*) FROM seat").fetchone() or (0,))[0] == 3


def test_a_sequence_that_a_replication_has_left_behind_is_brought_past_all_numbers_in_use(owned: Owned) -> None:
    owned.put(b"alice", k=b"1")
    owned.other.execute("UPDATE instance SET number = 900000, data = 950000, apart = 990000")
    owned.other.execute("UPDATE kv SET data = 950000")
    with connect(owned.address, host_name(HOST)) as connection:
        life = required(start_host(connection, HOST, 1), "a life")
    store = PumpedStore.open(owned.address, life, Limits())
    number = store.locate(TYPE, b"bob").number

    assert number > 990_000
    store.close()
