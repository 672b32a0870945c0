"""The controls that tests of a worker rely on."""

from __future__ import annotations

import threading

import pytest

from holdfast_host.core.errors import StorageFullError
from holdfast_host.storage.store import CommitReport, StoreBrokenError
from tests.harness.memory_store import MemoryStore
from tests.unit.storage.conftest import batch


def test_a_held_commit_is_neither_visible_nor_returned_until_it_is_completed() -> None:
    store = MemoryStore()
    alice = store.locate(1, b"alice")
    reports: list[CommitReport] = []
    store.hold()
    worker = threading.Thread(target=lambda: reports.append(store.commit(2, [batch(alice, {b"k": b"v"})])))
    worker.start()
    store.wait_held()

    assert store.get(alice, b"k") is None
    assert store.groups == []
    assert store.locate(1, b"bob").number != alice.number

    store.complete()
    worker.join()

    assert store.get(alice, b"k") == b"v"
    assert store.groups == [2]
    assert len(reports) == 1


def test_each_complete_lets_one_commit_go_and_let_go_all() -> None:
    store = MemoryStore()
    alice = store.locate(1, b"alice")
    store.hold()
    store.complete()
    store.commit(2, [batch(alice, {b"k": b"1"})])
    worker = threading.Thread(target=lambda: store.commit(3, [batch(alice, {b"k": b"2"})]))
    worker.start()
    store.wait_held()
    assert store.get(alice, b"k") == b"1"

    store.let_go()
    worker.join()
    store.commit(4, [batch(alice, {b"k": b"3"})])

    assert store.groups == [2, 3, 4]


def test_nothing_held_is_a_timeout() -> None:
    store = MemoryStore()
    store.hold()

    with pytest.raises(TimeoutError):
        store.wait_held(0.01)


def test_a_broken_store_stays_broken() -> None:
    store = MemoryStore()
    alice = store.locate(1, b"alice")
    store.break_next("EIO")

    for group in (2, 3):
        with pytest.raises(StoreBrokenError, match="EIO"):
            store.commit(group, [batch(alice, {b"k": b"v"})])
    assert store.get(alice, b"k") is None


def test_named_instances_are_lost_in_the_next_commit_only() -> None:
    store = MemoryStore()
    alice, bob = store.locate(1, b"alice"), store.locate(1, b"bob")
    store.lose_next([b"bob"])

    report = store.commit(2, [batch(bob, {b"k": b"v"}), batch(alice, {b"k": b"v"}), batch(bob, {b"l": b"v"})])

    assert {key: type(error) for key, error in report.lost.items()} == {id(bob): StorageFullError}
    assert (store.get(alice, b"k"), bob.exists) == (b"v", False)
    assert not store.commit(3, [batch(bob, {b"k": b"v"})]).lost
