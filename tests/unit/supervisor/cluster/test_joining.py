"""A host that starts on a store: whom it waits for, whom it refuses, whom it takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.storage.postgres import members, owning
from holdfast_host.storage.postgres.owning import host_name, make_tables
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.storage.store import TakenOverError
from holdfast_host.supervisor.cluster.heart import Heart
from holdfast_host.supervisor.cluster.joining import Candidate, Joining
from holdfast_host.supervisor.cluster.membership import PERIOD_S
from tests.harness.postgres import HOST, PumpedStore, new_store, server

TTL_S = 2.0
NEVER_S = 60.0  # the time to live where a machine that is busy must not make a host seem dead
WAIT_S = 60.0
LOG = EventLog("error")


def candidate(host: str = HOST, workers: int = 1) -> Candidate:
    return Candidate(host, workers, "machine", f"http://{host}:8787", "0.1")


class StoppedError(Exception):
    """The test stops one that waits."""


class Waiter:
    """Waits in earnest; says when it began to stand by, and ends when the test says so."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.stop = threading.Event()
        self.pauses = 0

    def begin(self) -> None:
        self.began.set()

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        if self.stop.wait(seconds):
            raise StoppedError


def join(address: StoreAddress, who: Candidate, waiter: Waiter | None = None, ttl_s: float = TTL_S) -> int:
    return Joining(address, who, ttl_s, waiter or Waiter(), LOG).join()


@contextmanager
def beating(address: StoreAddress, host: str, life: int) -> Iterator[Heart]:
    heart = Heart(address, host, life, TTL_S, LOG)
    heart.start()
    try:
        yield heart
    finally:
        heart.close()


class Start:
    """A host that starts, on a thread of its own."""

    def __init__(self, address: StoreAddress, host: str, ttl_s: float = NEVER_S) -> None:
        self.waiter = Waiter()
        self._end: Future[int] = Future()
        threading.Thread(target=self._run, args=(address, candidate(host), ttl_s), daemon=True).start()

    def _run(self, address: StoreAddress, who: Candidate, ttl_s: float) -> None:
        try:
            self._end.set_result(join(address, who, self.waiter, ttl_s))
        except BaseException as error:
            self._end.set_exception(error)

    def life(self) -> int:
        return self._end.result(WAIT_S)

    def stop(self) -> None:
        self.waiter.stop.set()
        with pytest.raises(StoppedError):
            self.life()

    def goes_on_for(self, pauses: int) -> None:
        """Return when it has waited so many times more."""
        pauses += self.waiter.pauses
        while self.waiter.pauses < pauses:
            assert not self.is_over
            time.sleep(0.01)

    @property
    def is_over(self) -> bool:
        return self._end.done()


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


def states(other: psycopg.Connection[Any]) -> dict[str, str]:
    return dict(other.execute("SELECT host, state FROM host").fetchall())


def test_a_host_stands_by_while_another_one_beats_and_follows_it_when_it_ends_in_order(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    with beating(address, HOST, join(address, candidate())):
        second = Start(address, "second", ttl_s := 2 * TTL_S)
        assert second.waiter.began.wait(WAIT_S)
        assert states(other) == {HOST: "up", "second": "standby"}
        second.goes_on_for(round(ttl_s / PERIOD_S) + 2)
    before = second.waiter.pauses
    second.life()

    assert second.waiter.pauses - before < TTL_S / PERIOD_S, "it waited for a host that had said that it ends"
    assert states(other) == {HOST: "stopped", "second": "up"}


def test_a_standby_takes_a_silent_host_over_after_the_time_to_live(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    """Only its beats have stopped: its connections may be there yet."""
    heart = Heart(address, HOST, join(address, candidate()), TTL_S, LOG)
    heart.start()
    second = Start(address, "second", TTL_S)
    assert second.waiter.began.wait(WAIT_S)
    heart._stop.set()
    silent_since = time.monotonic()
    second.life()

    assert time.monotonic() - silent_since >= TTL_S - PERIOD_S
    assert states(other) == {HOST: "dead", "second": "up"}
    heart.close()
    assert states(other)[HOST] == "dead"


def test_of_two_that_stand_by_one_takes_over_and_the_other_goes_on_standing_by(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    with beating(address, HOST, join(address, candidate())):
        both = {name: Start(address, name) for name in ("second", "third")}
        assert all(each.waiter.began.wait(WAIT_S) for each in both.values())
    end = time.monotonic() + WAIT_S
    while not any(each.is_over for each in both.values()):
        assert time.monotonic() < end
        time.sleep(0.01)
    (first,) = [name for name, each in both.items() if each.is_over]
    (left,) = set(both) - {first}
    with beating(address, first, both[first].life()):
        both[left].goes_on_for(6)
        assert states(other) == {HOST: "stopped", first: "up", left: "standby"}
        both[left].stop()
        assert states(other)[left] == "stopped"


def test_a_copy_of_a_data_directory_is_refused_while_its_original_lives(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    """Whether that serves or stands by."""
    with beating(address, HOST, join(address, candidate())):
        with pytest.raises(ConfigurationError, match=f"alive at http://{HOST}:8787: is the data directory a copy"):
            join(address, candidate(), ttl_s=NEVER_S)
        second = Start(address, "second")
        assert second.waiter.began.wait(WAIT_S)
        with pytest.raises(ConfigurationError, match="alive at http://second:8787: is the data directory a copy"):
            join(address, candidate("second"), ttl_s=NEVER_S)
        second.stop()


def test_a_standby_goes_on_when_its_connection_ends(address: StoreAddress, other: psycopg.Connection[Any]) -> None:
    with beating(address, HOST, join(address, candidate())):
        second = Start(address, "second")
        assert second.waiter.began.wait(WAIT_S)
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast/second/host'"
        )
        second.goes_on_for(4)
    second.life()


def test_a_takeover_whose_answer_is_lost_is_the_hosts_own(
    address: StoreAddress, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it finds in its row is no other process: it takes the store again, and serves."""
    real, lost = owning.start_host, list[int]()

    def start_host(*arguments: Any) -> int | None:
        life = real(*arguments)
        if not lost:
            lost.append(life or 0)
            raise psycopg.OperationalError("the connection is lost")
        return life

    with beating(address, HOST, join(address, candidate())):
        second = Start(address, "second")
        assert second.waiter.began.wait(WAIT_S)
        monkeypatch.setattr(owning, "start_host", start_host)
    taken = second.life()

    assert lost
    assert taken not in lost
    assert other.execute("SELECT life FROM host WHERE state = 'up'").fetchall() == [(taken,)]


def test_a_host_that_is_told_to_stop_while_it_takes_the_store_gives_it_back(
    address: StoreAddress, other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter, real = Waiter(), owning.start_host

    def start_host(*arguments: Any) -> int | None:
        waiter.stop.set()
        return real(*arguments)

    monkeypatch.setattr(owning, "start_host", start_host)
    with pytest.raises(StoppedError):
        join(address, candidate(), waiter)

    assert states(other) == {HOST: "stopped"}


def test_who_could_not_take_the_store_does_not_stand_by(address: StoreAddress, other: psycopg.Connection[Any]) -> None:
    life = join(address, candidate())
    other.execute("UPDATE cluster SET directory = %s", (HOST,))
    with (
        beating(address, HOST, life),
        pytest.raises(ConfigurationError, match="still registered in the data directory"),
    ):
        join(address, candidate("another"), ttl_s=NEVER_S)


def test_the_next_start_of_a_host_that_was_killed_waits_for_nothing(address: StoreAddress) -> None:
    """Its directory is ours, and the server has none of its connections: there is nobody who could beat."""
    join(address, candidate())
    waiter = Waiter()
    join(address, candidate(), waiter)

    assert waiter.pauses == 1, "but for the look at whether it is to stop"


def test_a_process_of_this_host_that_only_hangs_is_waited_for(address: StoreAddress) -> None:
    """Its connections are there: it could be stopped, and wake up."""
    life = join(address, candidate())
    with connect(address, host_name(HOST)):
        began = time.monotonic()
        again = join(address, candidate())

    assert again != life
    assert time.monotonic() - began >= TTL_S


def test_a_host_that_is_silent_for_the_time_to_live_is_taken_over_and_finds_that_out(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    life = join(address, candidate())
    store = PumpedStore.open(address, life, Limits())
    began = time.monotonic()
    new_life = join(address, candidate("another", 2))
    took_s = time.monotonic() - began
    told: list[str] = []
    late = Heart(address, HOST, life, TTL_S, LOG)
    late.on_over(lambda: told.append("over"))
    late.start()
    end = time.monotonic() + WAIT_S
    while not told and time.monotonic() < end:
        time.sleep(0.01)
    late.close()

    assert took_s >= TTL_S
    assert told == ["over"]
    rows = other.execute("SELECT host, life, state FROM host ORDER BY host").fetchall()
    assert rows == [("another", new_life, "up"), (HOST, life, "dead")]
    with pytest.raises(TakenOverError):
        PumpedStore.open(address, life, Limits())
    store.close()


def test_a_host_that_has_ended_in_order_is_not_waited_for(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    heart = Heart(address, HOST, join(address, candidate()), TTL_S, LOG)
    heart.start()
    heart.close()
    waiter = Waiter()
    join(address, candidate("another"), waiter)

    assert waiter.pauses == 1, "but for the look at whether it is to stop"


def test_a_host_that_comes_to_life_while_it_is_taken_over_is_left_alone(
    address: StoreAddress, other: psycopg.Connection[Any]
) -> None:
    """What was seen is looked at again under the lock."""
    life = join(address, candidate())
    with connect(address, "test") as connection:
        other.execute("UPDATE host SET beat = beat + 1")
        taken = owning.start_host(connection, "another", 1, seen={HOST: (life, 0)})

    assert taken is None
    assert other.execute("SELECT host, life, state FROM host").fetchall() == [(HOST, life, "up")]
    assert other.execute("SELECT DISTINCT host FROM shard JOIN seat USING (seat)").fetchall() == [(HOST,)]


def test_hosts_that_have_ended_are_forgotten_after_a_day(address: StoreAddress, other: psycopg.Connection[Any]) -> None:
    join(address, candidate())
    other.execute("UPDATE host SET state = 'stopped', changed_at = now() - interval '25 hours'")
    other.execute("INSERT INTO host VALUES ('killed', 1, 'standby'), ('waiting', 2, 'standby')")
    other.execute("UPDATE host SET changed_at = now() - interval '25 hours' WHERE state = 'standby'")
    assert members.beat(other, "waiting", 2)
    join(address, candidate("another"))

    assert other.execute("SELECT host FROM host WHERE state = 'standby'").fetchall() == [("waiting",)]
    other.execute("DELETE FROM host WHERE state = 'standby'")
    assert other.execute("SELECT host FROM host").fetchall() == [("another",)]
    assert other.execute("SELECT host FROM seat").fetchall() == [("another",)]


def test_a_store_that_does_not_answer_stops_the_counting_and_nothing_else(address: StoreAddress) -> None:
    """The heart goes on once its connection is gone, on a new one."""
    _, life = address, join(address, candidate())
    heart = Heart(address, HOST, life, TTL_S, LOG)
    heart.start()
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        end = time.monotonic() + WAIT_S

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
