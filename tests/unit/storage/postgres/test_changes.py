"""Changes of what hosts share: done, not done, or unknown, and which of these is always the truth."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.postgres.owning import make_tables
from holdfast_host.storage.postgres.records import changes as changes_module
from holdfast_host.storage.postgres.records.changes import Changes, Connection
from holdfast_host.storage.postgres.session import StoreAddress
from holdfast_host.storage.records import MovedError
from tests.harness.postgres import Server, new_server, server


class Shared:
    """A store, one host's session, and what a test does beside it."""

    def __init__(self, on: Server, durability: str = "single") -> None:
        self.dsn = on.new_database()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            make_tables(connection)
        self.changes = Changes(StoreAddress(self.dsn, durability), "holdfast/test/host")

    def change(self, content: bytes, seen: int | None = None) -> int:
        def write(connection: Connection) -> None:
            connection.execute("UPDATE document SET content = %s WHERE name = 'secrets'", (content,))

        return self.changes.change("secrets", seen, write)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def content(self) -> object:
        return self.execute("SELECT content FROM document WHERE name = 'secrets'")[0][0]


@pytest.fixture
def shared() -> Iterator[Shared]:
    made = Shared(server())
    yield made
    made.changes.close()


def lose_commits(monkeypatch: pytest.MonkeyPatch, *, sent: bool) -> None:
    """The first COMMIT, or the answer to it, is lost with the connection."""
    real = Changes._commit
    lost: list[bool] = []

    def commit(changes: Changes, connection: Connection) -> bool:
        if lost:
            return real(changes, connection)
        lost.append(True)
        if sent:
            connection.execute("COMMIT")
        changes.close()
        return False

    monkeypatch.setattr(Changes, "_commit", commit)


def test_a_change_gives_the_document_the_next_number_of_the_catalog(shared: Shared) -> None:
    numbers = [shared.change(b"1"), shared.change(b"2")]

    assert numbers == [2, 3]
    assert shared.execute("SELECT catalog FROM cluster") == [(3,)]


def test_a_change_over_the_past_is_refused_and_changes_nothing(shared: Shared) -> None:
    seen = shared.change(b"1")
    shared.change(b"2", seen)
    with pytest.raises(MovedError):
        shared.change(b"3", seen)

    assert shared.content() == b"2"
    assert shared.execute("SELECT catalog FROM cluster") == [(3,)]


def test_a_commit_whose_answer_is_lost_has_been_made(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_commits(monkeypatch, sent=True)
    number = shared.change(b"1")

    assert (number, shared.content()) == (2, b"1")


def test_a_commit_that_never_arrives_has_not(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_commits(monkeypatch, sent=False)
    with pytest.raises(HostUnavailableError, match="nothing was changed"):
        shared.change(b"1")

    assert shared.content() is None
    assert shared.change(b"2") == 2


def test_where_another_host_has_changed_the_same_since_nobody_says_what_became_of_a_lost_one(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.change(b"0")
    lose_commits(monkeypatch, sent=True)
    real = Changes._settle

    def settle(changes: Changes, *asked: object) -> None:
        shared.execute("UPDATE document SET changed = changed + 5, change = 7 WHERE name = 'secrets'")
        real(changes, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(Changes, "_settle", settle)
    with pytest.raises(HostUnavailableError, match="does not say whether"):
        shared.change(b"1")


def test_a_write_that_the_server_refuses_changes_nothing(shared: Shared) -> None:
    with pytest.raises(HostUnavailableError, match="nothing was changed"):
        shared.changes.change("secrets", None, lambda it: it.execute("SELECT 1 / 0"))

    assert shared.execute("SELECT catalog FROM cluster") == [(1,)]
    assert shared.change(b"1") == 2


def test_a_session_that_an_operator_has_ended_is_made_anew(shared: Shared) -> None:
    shared.change(b"1")
    shared.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast/test/host'"
    )
    with pytest.raises(HostUnavailableError, match="nothing was changed"):
        shared.change(b"2")

    assert shared.change(b"3") == 3


def test_who_holds_the_row_of_all_changes_is_waited_for_and_no_longer_than_said(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "ANSWER_S", 0.3)
    with psycopg.connect(shared.dsn, options="-c search_path=holdfast") as other:
        other.execute("UPDATE cluster SET catalog = catalog")
        with pytest.raises(HostUnavailableError, match="nothing was changed"):
            shared.change(b"1")

    assert shared.content() is None


@pytest.fixture(scope="module")
def waiting() -> Iterator[Server]:
    """A server whose only standby is none: every commit waits for it."""
    made = new_server("synchronous_standby_names = 'nobody'")
    yield made
    made.remove()


def stop_waiting(on: Server) -> None:
    """As an operator who wants to get going again."""
    with psycopg.connect(on.dsn("postgres"), autocommit=True, options="-c synchronous_commit=local") as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        connection.execute("SELECT pg_reload_conf()")


def wait_again(on: Server) -> None:
    with psycopg.connect(on.dsn("postgres"), autocommit=True, options="-c synchronous_commit=local") as connection:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.1)


@pytest.fixture
def unheard(waiting: Server) -> Iterator[Shared]:
    """A store that was made while nobody was waited for."""
    stop_waiting(waiting)
    made = Shared(waiting, "managed")
    wait_again(waiting)
    yield made
    made.changes.close()


@pytest.mark.slow
def test_a_change_that_no_standby_has_is_not_said_to_be_made(
    waiting: Server, unheard: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "ANSWER_S", 0.3)
    monkeypatch.setattr(changes_module, "SETTLE_S", 1.0)
    with pytest.raises(HostUnavailableError, match="does not say whether this change of secrets was recorded"):
        unheard.change(b"1")
    stop_waiting(waiting)
    wait_again(waiting)


@pytest.mark.slow
def test_a_change_that_a_standby_gets_late_is_made(
    waiting: Server, unheard: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was cut off while it waited; a later write proves that it is as durable as it is to be."""
    monkeypatch.setattr(changes_module, "ANSWER_S", 0.3)
    threading.Timer(1.0, stop_waiting, (waiting,)).start()
    began = time.monotonic()
    number = unheard.change(b"1")

    assert time.monotonic() - began > 0.9
    assert (number, unheard.content()) == (2, b"1")


@pytest.mark.slow
def test_a_cancelled_wait_for_a_standby_is_not_taken_for_a_commit(
    waiting: Server, unheard: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers it with success and a warning."""
    monkeypatch.setattr(changes_module, "SETTLE_S", 0.5)
    over = threading.Event()

    def cancel() -> None:
        while not over.wait(0.1):
            unheard.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast/test/host'"
            )

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        with pytest.raises(HostUnavailableError, match=r"does not say whether|nothing was changed"):
            unheard.change(b"1")
    finally:
        over.set()
        canceller.join()
        stop_waiting(waiting)
        wait_again(waiting)
