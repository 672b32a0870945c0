"""A shard changes hands when its owner gives it away, or behind a new life of its owner's seat; and what then holds."""

from __future__ import annotations

import queue
from collections.abc import Collection, Iterator

import psycopg
import pytest

from holdfast_host.core.ids import shard_of
from holdfast_host.core.limits import SHARDS, Limits
from holdfast_host.storage.postgres import owning
from holdfast_host.storage.postgres.owning import empty_seat, read_owners
from holdfast_host.storage.store import Changes, OwnerLostError, SocketRow
from tests.harness.postgres import HOST, WAIT_S, PumpedStore, new_store
from tests.unit.storage.postgres.conftest import TYPE, Owned
from tests.unit.storage.postgres.test_fence import until_waiting

ALICE = shard_of(TYPE, b"alice")
Pair = tuple[Owned, Owned]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The stores of two workers of a host; alice is the first one's."""
    address, life = new_store(workers=2)
    stores = [PumpedStore.open(address, life, Limits(), worker) for worker in (0, 1)]
    if ALICE % 2:
        stores.reverse()
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as other:
        yield Owned(stores[0], address, life, other), Owned(stores[1], address, life, other)
    for store in stores:
        store.close()


def worker_of(owned: Owned) -> int:
    return int(owned.value("SELECT worker FROM seat WHERE seat = %s", owned.store._seat.seat))


def give(giver: Owned, taker: Owned, *shards: int) -> Collection[int]:
    """Have the one give shards to the other; which have gone."""
    told: queue.SimpleQueue[Collection[int]] = queue.SimpleQueue()
    worker = worker_of(taker)
    giver.store.pump.post(lambda: giver.store.withhold(shards))
    giver.store.pump.post(lambda: giver.store.give(shards, worker, told.put))
    return told.get(timeout=WAIT_S)


def acquire(taker: Owned) -> dict[int, tuple[int, int]]:
    """What is new of what it owns, which it serves from then on."""
    found: queue.SimpleQueue[dict[int, tuple[int, int]]] = queue.SimpleQueue()
    taker.store.pump.post(lambda: taker.store.read_owned(found.put))
    shards = found.get(timeout=WAIT_S)
    done: queue.SimpleQueue[None] = queue.SimpleQueue()
    taker.store.pump.post(lambda: done.put(taker.store.acquire(shards)))
    done.get(timeout=WAIT_S)
    return shards


def owns(owned: Owned, name: bytes = b"alice") -> bool:
    return bool(owned.store.owns(owned.store.place(TYPE, name)))


def test_a_shard_that_is_given_away_is_read_by_its_new_owner_with_its_epoch_and_group(pair: Pair) -> None:
    first, second = pair
    first.put(b"alice", k=b"1")
    epoch, _ = first.store.reached()[ALICE]

    assert (owns(first), owns(second)) == (True, False)
    assert [*give(first, second, ALICE)] == [ALICE]
    assert (owns(first), owns(second)) == (False, False), "not before it was read"
    assert acquire(second) == {ALICE: (epoch + 1, first.group)}
    assert (owns(first), owns(second)) == (False, True)
    assert second.store.get(second.located(b"alice"), b"k") == b"1"
    second.group = first.group
    second.put(b"alice", k=b"2")
    assert first.stored(b"alice") == {"k": b"2"}


def test_what_was_held_of_a_shard_that_left_and_came_back_is_not_used_again(pair: Pair) -> None:
    """Its instances were written meanwhile; a handle of before is of another epoch."""
    first, second = pair
    first.put(b"alice", k=b"1")
    kept = first.located(b"alice")
    give(first, second, ALICE)
    acquire(second)
    second.group = first.group
    second.put(b"alice", k=b"2")
    give(second, first, ALICE)
    acquire(first)

    assert first.store.get(kept, b"k") == b"1", "the control: what was kept is the past"
    assert not first.store.owns(kept)
    assert first.store.get(first.located(b"alice"), b"k") == b"2"


def test_a_commit_of_what_was_loaded_before_its_shard_was_given_away_ends_the_worker(pair: Pair) -> None:
    first, second = pair
    first.put(b"alice", k=b"1")
    kept, (epoch, _) = first.located(b"alice"), first.store.reached()[ALICE]
    give(first, second, ALICE)
    first.store._placed[TYPE, b"alice"] = kept
    first.store._epochs[ALICE] = epoch
    first.begin(b"alice", k=b"late")

    with pytest.raises(OwnerLostError, match="another owner"):
        first.store.report()
    assert first.stored(b"alice") == {"k": b"1"}


def test_a_shard_with_an_open_socket_is_not_given_away(pair: Pair) -> None:
    """The fronts have it of the worker that accepted it."""
    first, second = pair
    first.begin_all((b"alice", Changes(sockets={7: SocketRow(1)})))
    assert first.store.report().lost == {}

    assert [*give(first, second, ALICE)] == []
    first.store.pump.post(lambda: first.store.keep([ALICE]))
    first.put(b"alice", k=b"1")
    assert owns(first)


@pytest.mark.parametrize("state", ["dead", "stopped"])
def test_nothing_is_given_to_a_host_that_is_gone(pair: Pair, state: str) -> None:
    first, second = pair
    first.other.execute("UPDATE host SET state = %s", (state,))

    assert [*give(first, second, ALICE)] == []
    assert first.value("SELECT count(*) FROM shard WHERE seat = %s", first.store._seat.seat) == SHARDS // 2


def test_a_worker_whose_seat_has_another_life_gives_nothing_away(pair: Pair) -> None:
    first, second = pair
    first.other.execute("UPDATE seat SET life = 42 WHERE seat = %s", (first.store._seat.seat,))

    assert [*give(first, second, ALICE)] == []


def test_a_seat_that_is_emptied_leaves_its_shards_to_the_others_with_what_it_had_reached(pair: Pair) -> None:
    first, second = pair
    first.put(b"alice", k=b"1")
    workers = worker_of(first), worker_of(second)
    given = empty_seat(first.other, HOST, first.host_life, workers[0], [workers[1]])

    assert given == dict.fromkeys(range(ALICE % 2, SHARDS, 2), workers[1])
    assert read_owners(first.other, HOST) == dict.fromkeys(range(SHARDS), workers[1])
    assert acquire(second)[ALICE][1] == first.group
    assert second.store.get(second.located(b"alice"), b"k") == b"1"
    first.begin(b"alice", k=b"late")
    with pytest.raises(OwnerLostError, match="another owner"):
        first.store.report()


def test_a_seat_of_a_host_that_was_taken_over_is_not_emptied(pair: Pair) -> None:
    first, second = pair
    owners = read_owners(first.other, HOST)

    assert empty_seat(first.other, HOST, 42, worker_of(first), [worker_of(second)]) is None
    assert read_owners(first.other, HOST) == owners


@pytest.mark.parametrize("is_new", [True, False], ids=["with_a_new_life", "control_without"])
def test_a_commit_that_waits_while_its_seat_is_emptied_writes_nothing(
    pair: Pair, is_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is the new life that stops it. That the shard is another's its snapshot does not show."""
    first, second = pair
    first.put(b"alice", k=b"1")
    if not is_new:
        monkeypatch.setattr(owning, "new_life", lambda: first.store._seat.life)
    workers = worker_of(first), worker_of(second)
    with psycopg.connect(first.address.dsn, options="-c search_path=holdfast") as emptying:
        emptying.execute("SELECT 1")  # a transaction that stays open
        empty_seat(emptying, HOST, first.host_life, workers[0], [workers[1]])
        first.begin(b"alice", k=b"late")
        until_waiting(first.other)
        emptying.commit()
        if is_new:
            with pytest.raises(OwnerLostError, match="another owner"):
                first.store.report()
        else:
            first.store.report()

    assert first.stored(b"alice") == {"k": b"1" if is_new else b"late"}


def test_a_seat_is_emptied_of_all_but_shards_with_open_sockets(pair: Pair) -> None:
    first, second = pair
    first.begin_all((b"alice", Changes(sockets={7: SocketRow(1)})))
    assert first.store.report().lost == {}
    workers = worker_of(first), worker_of(second)
    given = empty_seat(first.other, HOST, first.host_life, workers[0], [workers[1]])

    assert given is not None
    assert len(given) == SHARDS // 2 - 1
    assert read_owners(first.other, HOST)[ALICE] == workers[0]
