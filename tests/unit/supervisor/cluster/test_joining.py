"""A host that starts on a store: whom it waits for, whom it refuses, whom it takes over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.storage.postgres import owning
from holdfast_host.storage.postgres.owning import host_name, make_tables
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.storage.store import TakenOverError
from holdfast_host.supervisor.cluster.heart import Heart
from holdfast_host.supervisor.cluster.joining import Candidate, join
from tests.harness.postgres import HOST, PumpedStore, new_store, server

TTL_S = 2.0
LOG = EventLog("error")


def candidate(host: str = HOST, workers: int = 1) -> Candidate:
    return Candidate(host, workers, "machine", f"http://{host}:8787", "0.1")


@pytest.fixture
def address() -> StoreAddress:
    """A store with tables, on which no host has started."""
    made = StoreAddress(server().new_database(), "single")
    with connect(made, "test", checked=False) as connection:
        make_tables(connection)
    return made


@pytest.fixture
def other(address: StoreAddress) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else who has the database."""
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
        yield connection


def test_a_host_that_beats_is_not_taken_over_and_the_refusal_says_where_it_is(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    life = join(address, candidate(), TTL_S, LOG)
    heart = Heart(address, HOST, life, TTL_S, LOG)
    heart.start()
    with pytest.raises(ConfigurationError, match=f"the host machine at http://{HOST}:8787 serves this store"):
        join(address, candidate("another"), TTL_S, LOG)
    with pytest.raises(ConfigurationError, match="is the data directory a copy"):
        join(address, candidate(), TTL_S, LOG)
    heart.close()

    assert other.execute("SELECT host, life, state FROM host").fetchall() == [(HOST, life, "stopped")]


def test_the_next_start_of_a_host_that_was_killed_waits_for_nothing(address: StoreAddress) -> None:
    """Its directory is ours, and the server has none of its connections: there is nobody who could beat."""
    join(address, candidate(), TTL_S, LOG)
    began = time.monotonic()
    join(address, candidate(), TTL_S, LOG)

    assert time.monotonic() - began < TTL_S / 2


def test_a_process_of_this_host_that_only_hangs_is_waited_for(address: StoreAddress) -> None:
    """Its connections are there: it could be stopped, and wake up."""
    life = join(address, candidate(), TTL_S, LOG)
    with connect(address, host_name(HOST)):
        began = time.monotonic()
        again = join(address, candidate(), TTL_S, LOG)

    assert again != life
    assert time.monotonic() - began >= TTL_S


def test_a_host_that_is_silent_for_the_time_to_live_is_taken_over_and_finds_that_out(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    life = join(address, candidate(), TTL_S, LOG)
    store = PumpedStore.open(address, life, Limits())
    other.execute("UPDATE cluster SET directory = ''")  # so that another one may go with it
    began = time.monotonic()
    new_life = join(address, candidate("another", 2), TTL_S, LOG)
    took_s = time.monotonic() - began
    told: list[str] = []
    late = Heart(address, HOST, life, TTL_S, LOG)
    late.on_over(lambda: told.append("over"))
    late.start()
    end = time.monotonic() + 10
    while not told and time.monotonic() < end:
        time.sleep(0.01)
    late.close()

    assert TTL_S <= took_s < TTL_S + 2.0
    assert told == ["over"]
    rows = other.execute("SELECT host, life, state FROM host ORDER BY host").fetchall()
    assert rows == [("another", new_life, "up"), (HOST, life, "dead")]
    with pytest.raises(TakenOverError):
        PumpedStore.open(address, life, Limits())
    store.close()


def test_a_host_that_has_ended_in_order_is_not_waited_for(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    heart = Heart(address, HOST, join(address, candidate(), TTL_S, LOG), TTL_S, LOG)
    heart.start()
    heart.close()
    began = time.monotonic()
    join(address, candidate("another"), TTL_S, LOG)

    assert time.monotonic() - began < TTL_S / 2


def test_a_host_that_comes_to_life_while_it_is_taken_over_is_left_alone(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    """What was seen is looked at again under the lock."""
    life = join(address, candidate(), TTL_S, LOG)
    with connect(address, "test") as connection:
        other.execute("UPDATE host SET beat = beat + 1")
        taken = owning.start_host(connection, "another", 1, seen={HOST: (life, 0)})

    assert taken is None
    assert other.execute("SELECT host, life, state FROM host").fetchall() == [(HOST, life, "up")]
    assert other.execute("SELECT DISTINCT host FROM shard JOIN seat USING (seat)").fetchall() == [(HOST,)]


def test_hosts_that_have_ended_are_forgotten_after_a_day(address: StoreAddress, other: psycopg.Connection[Any]) -> None:
    join(address, candidate(), TTL_S, LOG)
    other.execute("UPDATE host SET state = 'stopped', changed_at = now() - interval '25 hours'")
    join(address, candidate("another"), TTL_S, LOG)

    assert other.execute("SELECT host FROM host").fetchall() == [("another",)]
    assert other.execute("SELECT host FROM seat").fetchall() == [("another",)]


def test_a_store_that_does_not_answer_stops_the_counting_and_nothing_else(address: StoreAddress) -> None:
    """The heart goes on once its connection is gone, on a new one."""
    _, life = address, join(address, candidate(), TTL_S, LOG)
    heart = Heart(address, HOST, life, TTL_S, LOG)
    heart.start()
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        end = time.monotonic() + 10

        def beats(after: int) -> int:
            while time.monotonic() < end:
                (beat,) = other.execute("SELECT beat FROM host").fetchone() or (0,)
                if beat > after:
                    return int(beat)
                time.sleep(0.02)
            raise AssertionError("no further beat")

        first = beats(0)
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%/host'")
        beats(first + 1)
    heart.close()


def test_a_seat_of_a_host_that_is_not_up_cannot_be_claimed() -> None:
    address, life = new_store()
    with connect(address, "test") as connection:
        connection.execute("UPDATE host SET state = 'stopped'")
    with pytest.raises(TakenOverError):
        PumpedStore.open(address, life, Limits())
