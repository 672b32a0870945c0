"""Nothing is written, and nothing that was read is confirmed, once the seat has another life."""

from __future__ import annotations

import queue
import time

import psycopg
import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.postgres import statements
from holdfast_host.storage.postgres.owning import start_host
from holdfast_host.storage.store import OwnerLostError, TakenOverError
from tests.harness.postgres import HOST, PumpedStore, new_store
from tests.unit.storage.postgres.conftest import Owned

ANOTHER_LIFE = "UPDATE seat SET life = 42, lives = lives + 1"
WAITED_S = 0.3


def until_waiting(other: psycopg.Connection, count: int = 1) -> None:
    """Return when so many sessions wait for a lock that somebody holds."""
    end = time.monotonic() + 10
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while (other.execute(query).fetchone() or (0,))[0] < count:
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.005)


def test_a_commit_behind_a_takeover_waits_for_it_and_writes_nothing(owned: Owned) -> None:
    owned.put(b"alice", k=b"1")
    with psycopg.connect(owned.address.dsn, options="-c search_path=holdfast") as taking:
        taking.execute(ANOTHER_LIFE)
        owned.begin(b"alice", k=b"2")
        until_waiting(owned.other)
        taking.commit()

        with pytest.raises(OwnerLostError, match="another owner"):
            owned.store.report()
    assert owned.stored(b"alice") == {"k": b"1"}
    assert owned.value("SELECT max(grp) FROM reached") == owned.group - 1, "the group that failed is not recorded"


def test_a_commit_behind_a_takeover_that_is_given_up_goes_on(owned: Owned) -> None:
    with psycopg.connect(owned.address.dsn, options="-c search_path=holdfast") as taking:
        taking.execute(ANOTHER_LIFE)
        owned.begin(b"alice", k=b"2")
        until_waiting(owned.other)
        taking.rollback()

        assert owned.store.report().lost == {}
    assert owned.stored(b"alice") == {"k": b"2"}


def test_a_confirm_finds_another_life(owned: Owned) -> None:
    owned.confirm()
    assert owned.store.report().confirmed
    owned.other.execute(ANOTHER_LIFE)
    owned.confirm()

    with pytest.raises(OwnerLostError, match="another owner"):
        owned.store.report()


@pytest.mark.parametrize("statement", ["commit", "confirm"])
def test_without_the_life_in_its_fence_a_statement_of_an_old_owner_goes_through(
    statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is the life that stops it, and nothing else."""
    without = getattr(statements, statement.upper()).replace("AND seat.life = $2::bigint", "AND $2::bigint > 0")
    monkeypatch.setitem(statements.PREPARED, statement, without)
    address, life = new_store()
    store = PumpedStore.open(address, life, Limits())
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        owned = Owned(store, address, life, other)
        other.execute(ANOTHER_LIFE)
        if statement == "commit":
            owned.put(b"alice", k=b"late")
            assert owned.stored(b"alice") == {"k": b"late"}
        else:
            owned.confirm()
            assert owned.store.report().confirmed
    store.close()


def test_a_shard_in_another_epoch_than_its_instances_were_loaded_in_is_not_written(owned: Owned) -> None:
    owned.put(b"alice", k=b"1")
    owned.other.execute("UPDATE shard SET epoch = epoch + 1")
    owned.begin(b"alice", k=b"2")

    with pytest.raises(OwnerLostError):
        owned.store.report()
    assert owned.stored(b"alice") == {"k": b"1"}


def test_a_successor_waits_for_the_commit_of_its_predecessor_and_knows_its_group(owned: Owned) -> None:
    """Whose connection may still be there, with a statement that has not ended."""
    owned.put(b"alice", k=b"1")
    with psycopg.connect(owned.address.dsn, options="-c search_path=holdfast") as holding:
        holding.execute("SELECT FROM kv FOR UPDATE")
        owned.begin(b"alice", k=b"2")
        until_waiting(owned.other)
        opened: queue.SimpleQueue[PumpedStore] = queue.SimpleQueue()
        owned.store.pump.post_aside(lambda: opened.put(PumpedStore.open(owned.address, owned.host_life, Limits())))
        until_waiting(owned.other, 2)
        assert opened.empty()
        holding.commit()
        successor = opened.get(timeout=10)
    shard = owned.located(b"alice")
    before, after = owned.store.reached(), successor.reached()

    assert owned.store.report().lost == {}
    assert after[getattr(shard, "shard", 0)] == (before[0][0] + 1, owned.group)
    assert successor.get(successor.locate(7, b"alice"), b"k") == b"2"
    owned.begin(b"alice", k=b"3")
    with pytest.raises(OwnerLostError):
        owned.store.report()
    successor.close()


def test_a_host_that_was_started_anew_leaves_nothing_to_workers_of_its_last_start(owned: Owned) -> None:
    owned.put(b"alice", k=b"1")
    owned.other.execute("SELECT set_config('application_name', 'test', false)")
    start_host(owned.other, HOST, 1)
    owned.begin(b"alice", k=b"2")

    with pytest.raises(OwnerLostError):
        owned.store.report()
    with pytest.raises(TakenOverError):
        PumpedStore.open(owned.address, owned.host_life, Limits())
    assert owned.stored(b"alice") == {"k": b"1"}


def test_lives_are_never_used_twice() -> None:
    """They are random: a store that was restored to the past brings no old owner back."""
    address, life = new_store()
    lives = set()
    for _ in range(5):
        store = PumpedStore.open(address, life, Limits())
        lives.add(store._seat.life)
        store.close()

    assert len(lives) == 5
    assert min(lives) > 1 << 40
