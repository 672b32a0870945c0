"""What a commit comes back with: clean, refused, or unknown, which ends the worker and never is tried again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from holdfast_host.core.errors import HostUnavailableError, StorageFullError
from holdfast_host.core.failures import required
from holdfast_host.core.limits import Limits
from holdfast_host.storage.postgres import session
from holdfast_host.storage.postgres.link import Link
from holdfast_host.storage.postgres.owning import make_tables, start_host
from holdfast_host.storage.postgres.session import StoreAddress
from holdfast_host.storage.store import Batch, Changes, OwnerLostError
from tests.harness.postgres import HOST, PumpedStore, new_server, new_store
from tests.unit.storage.postgres.conftest import Owned

NAMES = "synchronous_standby_names"


@pytest.fixture
def standbyless(owned: Owned) -> Iterator[Owned]:
    """Commits of this store wait for a standby that never comes."""
    yield from _standbyless(owned)


def _standbyless(owned: Owned) -> Iterator[Owned]:
    owned.put(b"alice", k=b"1")
    owned.store._store._replicated = True
    owned.other.execute("SET synchronous_commit = local")
    set_names(owned, "nobody")
    until_commits_wait(owned)
    yield owned
    set_names(owned, "")


def set_names(owned: Owned, names: str) -> None:
    """As an operator does, for a server that runs."""
    owned.other.execute(f"ALTER SYSTEM SET {NAMES} = '{names}'")
    owned.other.execute("SELECT pg_reload_conf()")
    end = time.monotonic() + 10
    while owned.value(f"SELECT current_setting('{NAMES}')") != names:
        assert time.monotonic() < end
        time.sleep(0.005)


def until_commits_wait(owned: Owned) -> None:
    """Return when the server has it: one of its processes tells the others, some time after it was asked to."""

    def commit() -> None:
        with psycopg.connect(owned.address.dsn, autocommit=True, application_name="probe") as probe:
            probe.execute("UPDATE holdfast.cluster SET catalog = catalog + 1")

    end = time.monotonic() + 10
    while time.monotonic() < end:
        probing = threading.Thread(target=commit)
        probing.start()
        while probing.is_alive():
            waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'probe'"
            pid = owned.value(waits)
            if pid is not None:
                owned.other.execute(f"SELECT pg_cancel_backend({pid})")
                probing.join()
                return
    raise AssertionError("no commit waits for a standby")


def until_in_wait(owned: Owned) -> int:
    """Return when the worker's commit waits for a standby; its backend."""
    end = time.monotonic() + 10
    while True:
        pid = owned.value("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        if pid is not None:
            return int(pid)
        assert time.monotonic() < end, "no commit waits for a standby"
        time.sleep(0.005)


@pytest.mark.parametrize("what", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_commit_whose_wait_for_a_standby_is_cut_short_is_unknown(standbyless: Owned, what: str) -> None:
    """The server says that it has succeeded, and it is visible; but it may be on no standby."""
    standbyless.begin(b"alice", k=b"2")
    pid = until_in_wait(standbyless)
    standbyless.other.execute(f"SELECT {what}({pid})")

    with pytest.raises(OwnerLostError, match=r"unknown|ended the connection|broke"):
        standbyless.store.report()
    assert standbyless.stored(b"alice") == {"k": b"2"}


def test_a_confirm_waits_for_a_standby_too(standbyless: Owned) -> None:
    standbyless.confirm()
    standbyless.other.execute(f"SELECT pg_cancel_backend({until_in_wait(standbyless)})")

    with pytest.raises(OwnerLostError, match="unknown"):
        standbyless.store.report()


def test_names_that_are_emptied_under_a_commit_are_found_behind_it(standbyless: Owned) -> None:
    """PostgreSQL wakes all that wait, without a word."""
    standbyless.begin(b"alice", k=b"2")
    until_in_wait(standbyless)
    set_names(standbyless, "")

    with pytest.raises(OwnerLostError, match=NAMES):
        standbyless.store.report()


def test_without_the_statement_behind_it_such_a_commit_looks_clean(standbyless: Owned) -> None:
    """The control."""
    standbyless.store._store._replicated = False
    standbyless.begin(b"alice", k=b"2")
    until_in_wait(standbyless)
    set_names(standbyless, "")

    assert standbyless.store.report().confirmed


def test_a_role_that_silences_warnings_is_overruled() -> None:
    address, life = new_store()
    with psycopg.connect(address.dsn, autocommit=True) as other:
        other.execute(
            "ALTER ROLE holdfast IN DATABASE " + address.dsn.rsplit("/", 1)[1] + " SET client_min_messages = 'error'"
        )
    store = PumpedStore.open(address, life, Limits())
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        for owned in _standbyless(Owned(store, address, life, other)):
            owned.begin(b"alice", k=b"2")
            owned.other.execute(f"SELECT pg_cancel_backend({until_in_wait(owned)})")
            with pytest.raises(OwnerLostError, match="unknown"):
                owned.store.report()
    store.close()


def test_where_warnings_are_silenced_a_commit_that_was_cut_short_looks_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: it is the pinned setting that shows it."""
    monkeypatch.setitem(session._PINNED, "client_min_messages", "error")
    address, life = new_store()
    store = PumpedStore.open(address, life, Limits())
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        for owned in _standbyless(Owned(store, address, life, other)):
            owned.begin(b"alice", k=b"2")
            owned.other.execute(f"SELECT pg_cancel_backend({until_in_wait(owned)})")
            assert owned.store.report().confirmed
    store.close()


def test_what_the_store_refuses_of_one_instance_is_lost_for_that_one_alone(owned: Owned) -> None:
    """A call that PostgreSQL refuses must not end a worker at each try."""
    owned.put(b"alice", k=b"1")
    owned.other.execute("ALTER TABLE kv ADD CHECK (k <> 'bad')")
    bob = owned.located(b"bob")
    owned.begin_all(
        (b"alice", Changes({b"k": b"2"})), (b"bob", Changes({b"bad": b"x"})), (b"carol", Changes({b"k": b"3"}))
    )
    report = owned.store.report()

    assert [*report.lost] == [id(bob)]
    assert isinstance(next(iter(report.lost.values())), HostUnavailableError)
    assert (owned.stored(b"alice"), owned.stored(b"bob"), owned.stored(b"carol")) == ({"k": b"2"}, {}, {"k": b"3"})
    assert owned.value("SELECT array_agg(grp) FROM reached") == [owned.group]
    owned.put(b"alice", k=b"4")
    assert owned.value("SELECT array_agg(grp) FROM reached") == [owned.group]


def test_what_leans_on_what_was_refused_is_lost_with_it(owned: Owned) -> None:
    owned.other.execute("ALTER TABLE kv ADD CHECK (k <> 'bad')")
    alice, bob = owned.located(b"alice"), owned.located(b"bob")
    owned.group += 1
    batches = [Batch(alice, Changes({b"k": b"1"})), Batch(bob, Changes({b"bad": b"x"}))]
    report = owned.store.commit(owned.group, batches, {id(alice): [id(bob)]})

    assert set(report.lost) == {id(alice), id(bob)}
    assert owned.stored(b"alice") == {}


def test_a_full_disk_loses_what_would_have_been_written_and_confirms_nothing(owned: Owned) -> None:
    owned.other.execute(
        "CREATE FUNCTION full_disk(bytea) RETURNS bool LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''no space left'' USING ERRCODE = ''53100''; END'"
    )
    owned.other.execute("ALTER TABLE kv ADD CHECK (full_disk(k))")
    owned.begin_all((b"alice", Changes({b"k": b"2"})), (b"bob", Changes({b"k": b"x"})))
    report = owned.store.report()

    assert {type(error) for error in report.lost.values()} == {StorageFullError}
    assert len(report.lost) == 2
    assert not report.confirmed
    owned.other.execute("DROP FUNCTION full_disk CASCADE")
    owned.put(b"alice", k=b"3")


def test_a_server_that_falls_silent_is_given_up(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    owned.put(b"alice", k=b"1")
    with psycopg.connect(owned.address.dsn, options="-c search_path=holdfast") as holding:
        holding.execute("SELECT FROM kv FOR UPDATE")
        owned.begin(b"alice", k=b"2")
        owned.store.room()
        monkeypatch.setattr(Link, "silent_s", lambda self: 30.5)
        owned.store.room()

        with pytest.raises(OwnerLostError, match="not answered for 30 s"):
            owned.store.report()


def test_a_server_that_crashes_leaves_the_outcome_to_a_successor() -> None:
    own = new_server()
    try:
        address = StoreAddress(own.new_database(), "single")
        with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            make_tables(connection)
            life = required(start_host(connection, HOST, 1), "a life")
        store = PumpedStore.open(address, life, Limits())
        store.commit(2, [Batch(store.locate(7, b"alice"), Changes({b"k": b"1"}))])
        own.stop()
        with pytest.raises(OwnerLostError):
            store.report()
        own.start()
        store.close()
        successor = PumpedStore.open(address, life, Limits())
        assert successor.get(successor.locate(7, b"alice"), b"k") == b"1"
        assert max(group for _, group in successor.reached().values()) == 2
        successor.close()
    finally:
        own.remove()
