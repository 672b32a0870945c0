"""A large `delete_all` costs a commit a few rows; what it leaves is swept a piece at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from holdfast_host.core.limits import KIB, MIB
from holdfast_host.storage.lmdb import commits, garbage
from holdfast_host.storage.lmdb.inspection import count_keys
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.store import Alarm, Batch, Changes
from tests.harness.partitions import faults_of, rows_of, sweep_all
from tests.unit.storage.clearing import FEW, Group, cleared, everything, many
from tests.unit.storage.conftest import LIMITS, batch, open_lmdb


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = open_lmdb(tmp_path, FEW)
    yield opened
    opened.close()


@pytest.mark.limit("delete_rows_max")
def test_no_commit_deletes_more_rows_than_a_piece_however_many_an_instance_clears(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path)
    commit = Group(store, looks=False)
    huge, neighbour = store.locate(1, b"huge"), store.locate(1, b"neighbour")
    for first in range(0, 100_000, 10_000):
        commit(batch(huge, {b"%07d" % number: b"v" for number in range(first, first + 10_000)}))
    deleted = []
    before = rows_of(store)

    def note() -> None:
        nonlocal before
        deleted.append(before - rows_of(store))
        before -= deleted[-1]

    commit(cleared(huge), batch(neighbour, {b"k": b"v"}))
    note()
    assert (huge.live_bytes, huge.exists, everything(store, huge)) == (0, False, {})
    for number in range(20):
        commit(batch(neighbour, {b"k": b"%d" % number}))
        note()
    with_groups = sum(deleted)
    while store.has_garbage:
        store.sweep()
        note()

    assert deleted[0] <= 0
    assert max(deleted) <= LIMITS.delete_rows_max + 1
    assert with_groups >= 20 * LIMITS.delete_rows_max // 4 - 10
    assert rows_of(store) == 2
    assert faults_of(store) == []
    store.close()


def test_few_rows_are_deleted_where_they_are(store: LmdbStore) -> None:
    commit = Group(store)
    few, over = store.locate(1, b"few"), store.locate(1, b"over")
    commit(batch(few, many(8)), batch(over, many(9)))

    commit(cleared(few))
    assert not store.has_garbage

    commit(cleared(over))
    assert store.has_garbage


def test_many_instances_that_are_cleared_together_share_what_a_commit_may_delete(store: LmdbStore) -> None:
    commit = Group(store)
    instances = [store.locate(1, b"n%d" % number) for number in range(50)]
    commit(*(batch(each, many(3)) for each in instances))
    before = rows_of(store)

    commit(*(cleared(each) for each in instances))

    names, garbage_rows = 50, 48
    assert before - rows_of(store) - names + garbage_rows == 2 * 3
    sweep_all(store)
    assert rows_of(store) == 0


class LookedAt:
    """A transaction, or a cursor of it, that counts the steps over rows."""

    steps = 0

    def __init__(self, real: Any) -> None:
        self.real = real

    def __enter__(self) -> LookedAt:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def cursor(self) -> LookedAt:
        return LookedAt(self.real.cursor())

    def next(self) -> Any:
        LookedAt.steps += 1
        return self.real.next()


def test_a_group_of_many_large_clears_looks_at_few_rows(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Group(store)
    instances = [store.locate(1, b"n%d" % number) for number in range(50)]
    commit(*(batch(each, many(9)) for each in instances))
    monkeypatch.setattr(LookedAt, "steps", 0)
    look = garbage.Garbage.may_delete
    monkeypatch.setattr(garbage.Garbage, "may_delete", lambda self, txn, *rest: look(self, LookedAt(txn), *rest))

    commit(*(cleared(each) for each in instances))

    assert 8 <= LookedAt.steps <= 2 * 8
    sweep_all(store)
    assert rows_of(store) == 0


def test_large_values_count_as_many_rows(store: LmdbStore) -> None:
    commit = Group(store)
    large = store.locate(1, b"large")
    commit(batch(large, many(3, bytes(4 * KIB))))

    commit(cleared(large, {b"new": b"1"}))

    assert store.has_garbage
    assert sweep_all(store) == 2
    assert everything(store, large) == {b"new": b"1"}


@pytest.mark.parametrize("due_us", [77, None])
def test_the_alarm_stays_as_it_is_with_its_state_and_its_due_time(store: LmdbStore, due_us: int | None) -> None:
    commit = Group(store)
    alarm = Alarm(due_us or 5, 2, 40, "retrying" if due_us else "abandoned", "é", begun=True)
    alice = store.locate(1, b"alice")
    commit(batch(alice, many(20)), Batch(alice, Changes(alarm=alarm, alarm_changed=True)))

    commit(cleared(alice))

    assert (alice.exists, alice.live_bytes, store.alarm(alice)) == (True, 0, alarm)
    assert [(at, each.name) for at, each in store.due_alarms(100, 9)] == ([(77, b"alice")] if due_us else [])
    sweep_all(store)
    commit(Batch(alice, Changes(alarm_changed=True)))
    assert (alice.exists, rows_of(store)) == (False, 0)


@pytest.mark.parametrize("in_one_group", [True, False])
def test_what_is_written_after_it_is_all_that_there_is(store: LmdbStore, in_one_group: bool) -> None:
    commit = Group(store)
    alice = store.locate(1, b"alice")
    commit(batch(alice, many(20)))
    batches = [
        cleared(alice, {b"0000003": b"same turn"}),
        batch(alice, {b"next": b"turn", **many(15, b"w")}),
        cleared(alice, {b"twice": b"cleared"}),
        cleared(alice, {b"thrice": b"cleared"}),
        batch(alice, {b"last": b"1", b"thrice": None}),
    ]

    for group in [batches] if in_one_group else [[each] for each in batches]:
        commit(*group)

    assert everything(store, alice) == {b"last": b"1"}
    assert (store.get(alice, b"last"), store.get(alice, b"0000003")) == (b"1", None)
    assert store.count_keys(alice, b"") == (1, None)
    sweep_all(store)
    assert everything(store, alice) == {b"last": b"1"}
    assert rows_of(store) == 2
    assert faults_of(store) == []


def test_what_takes_as_many_bytes_as_what_was_cleared_is_found_after_a_restart(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    Group(store)(batch(store.locate(1, b"alice"), many(20)))
    Group(store)(cleared(store.locate(1, b"alice"), many(20, b"w")))
    store.close()

    store = open_lmdb(tmp_path, FEW)
    assert everything(store, store.locate(1, b"alice")) == many(20, b"w")
    store.close()


def test_where_its_group_is_lost_everything_is_where_it_was(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW.replace(instance_bytes_max=1000))
    commit = Group(store)
    alice, bob, carol = (store.locate(1, name) for name in (b"alice", b"bob", b"carol"))
    commit(batch(alice, many(20)), batch(bob, many(20)))

    commit(cleared(alice, {b"k": bytes(1001)}), cleared(bob, {b"k": b"1"}), batch(carol, {b"k": b"1"}), lost=1)

    assert (everything(store, alice), everything(store, bob)) == (many(20), {b"k": b"1"})
    assert alice.live_bytes == 160
    sweep_all(store)
    commit(cleared(alice), batch(bob, {b"more": b"2"}))
    sweep_all(store)
    assert (everything(store, alice), everything(store, bob)) == ({}, {b"k": b"1", b"more": b"2"})
    assert rows_of(store) == 5
    store.close()


@pytest.mark.parametrize("way", ["_write_in_children", "_write_one_by_one"])
def test_each_way_of_committing_a_group_clears_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    store = open_lmdb(tmp_path, FEW)
    commit = Group(store)
    alice, bob = store.locate(1, b"alice"), store.locate(1, b"bob")
    commit(batch(alice, many(20)), batch(bob, many(20)))
    together = commits._write_together

    def full(partition: Partition, group: int, tallies: Any, *rest: Any) -> None:
        if len(tallies) > 1:
            raise lmdb.MapFullError("mdb_put")
        together(partition, group, tallies, *rest)

    monkeypatch.setattr(commits, "_write_together", full)
    if way == "_write_one_by_one":
        monkeypatch.setattr(commits, "_write_in_children", full_always)
    commit(cleared(alice, {b"k": b"1"}), cleared(bob))

    assert (everything(store, alice), everything(store, bob)) == ({b"k": b"1"}, {})
    assert sweep_all(store) > 0
    assert rows_of(store) == 2
    store.close()


def full_always(*_: Any) -> None:
    raise lmdb.MapFullError("mdb_put")


def test_a_successor_goes_on_where_a_sweep_has_stopped(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, FEW)
    alice = store.locate(1, b"alice")
    Group(store)(batch(alice, many(200)))
    Group(store)(cleared(alice, {b"k": b"kept"}))
    group, sweeps = store.reached()[0][1], 0
    while store.has_garbage:
        store.sweep()
        store.close()
        sweeps += 1
        store = open_lmdb(tmp_path, FEW)
        assert faults_of(store) == []
        assert everything(store, store.locate(1, b"alice")) == {b"k": b"kept"}

    assert sweeps == 25
    assert store.reached()[0][1] == group, "a sweep records no group"
    assert rows_of(store) == 2
    store.close()


def test_no_data_number_is_used_twice_over_restarts(tmp_path: Path) -> None:
    seen = set()
    for number in range(5):
        store = open_lmdb(tmp_path, FEW)
        alice, stranger = store.locate(1, b"alice"), store.locate(1, b"stranger %d" % number)
        Group(store)(batch(alice, many(20)), batch(stranger, many(1)))
        Group(store)(cleared(alice, many(3)))
        seen |= {alice.data_number, stranger.number}
        store.close()

    assert len(seen) == 10


def test_an_instance_that_fills_and_clears_itself_again_and_again_leaves_no_more_than_it_held(store: LmdbStore) -> None:
    """Its quota bounds what is live; what is left of it must not add up beside that, busy as the partition may be."""
    commit = Group(store)
    alice = store.locate(1, b"alice")
    for number in range(60):
        commit(batch(alice, many(100, b"%d" % number)))
        commit(cleared(alice))

        assert rows_of(store) <= 2 * 100 + 4


def test_room_comes_back(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, LIMITS.replace(map_bytes=4 * MIB, delete_rows_max=100))
    commit = Group(store)
    alice, bob = store.locate(1, b"alice"), store.locate(1, b"bob")
    for _ in range(20):
        for first in range(0, 5_000, 500):
            commit(batch(alice, {b"%d" % n: bytes(500) for n in range(first, first + 500)}))
        commit(cleared(alice))
        sweep_all(store)
    commit(*(batch(bob, {b"%d" % n: bytes(500) for n in range(first, first + 500)}) for first in range(0, 5_000, 500)))

    assert bob.live_bytes > 2_500_000
    store.close()


@pytest.mark.parametrize("while_reading", ["scan", "get", "count_keys"])
def test_who_reads_while_it_is_cleared_and_swept_sees_all_of_it_or_nothing(
    store: LmdbStore, monkeypatch: pytest.MonkeyPatch, while_reading: str
) -> None:
    commit = Group(store)
    alice = store.locate(1, b"alice")
    commit(batch(alice, many(20)))
    reads: list[int] = []

    def late(read: Callable[..., Any]) -> Callable[..., Any]:
        def first_swept(*arguments: Any, **named: Any) -> Any:
            if not reads:
                commit(cleared(alice, {b"new": b"1"}))
                store.sweep()
            reads.append(alice.data_number)
            return read(*arguments, **named)

        return first_swept

    if while_reading == "count_keys":
        monkeypatch.setattr("holdfast_host.storage.lmdb.lmdb_store.count_keys", late(count_keys))
        assert store.count_keys(alice, b"") == (1, None)
    elif while_reading == "scan":
        monkeypatch.setattr(Partition, "scan", late(Partition.scan))
        assert everything(store, alice) == {b"new": b"1"}
    else:
        monkeypatch.setattr(Partition, "get", late(Partition.get))
        assert store.get(alice, b"new") == b"1"
    assert len(reads) == 2


def test_a_group_sweeps_nothing_that_it_leaves_itself(store: LmdbStore) -> None:
    """Until the group is settled, others read what the instance held."""
    commit = Group(store)
    alice, bob = store.locate(1, b"alice"), store.locate(1, b"bob")
    commit(batch(alice, many(20)), batch(bob, many(20)))
    commit(cleared(bob))
    old_number = alice.data_number
    commit(cleared(alice), batch(store.locate(1, b"other"), many(100)))

    pairs, _ = store._partitions[0].scan(old_number, b"", None, reverse=False, entries_max=99, bytes_max=1 << 20)
    assert dict(pairs) == many(20)
