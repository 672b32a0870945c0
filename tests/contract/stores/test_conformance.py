"""What every Store promises; see holdfast_host.storage.store."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from holdfast_host.core.errors import StorageFullError
from holdfast_host.core.failures import required
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    Store,
    StoreBrokenError,
    StoredInstance,
)
from holdfast_host.wire.pages.state_page import FIRST_GROUP
from tests.contract.stores.committing import ACCOUNT, Committer, alarm_change, changes, everything
from tests.contract.stores.conftest import SMALL_MAP, OpenStore


def test_an_instance_that_nobody_wrote_is_empty(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")

    assert not alice.exists
    assert alice.live_bytes == 0
    assert store.get(alice, b"balance") is None
    assert store.alarm(alice) is None
    assert everything(store, alice) == []


def test_a_committed_value_is_read_back(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")

    lost = Committer(store)((alice, changes({b"balance": b"70", b"owner": b'"alice"'})))

    assert lost == {}
    assert store.get(alice, b"balance") == b"70"
    assert store.get(alice, b"bal") is None
    assert alice.exists
    assert alice.live_bytes == len(b"balance70owner") + len(b'"alice"')


def test_batches_apply_in_order_and_clearing_comes_before_the_writes_of_its_batch(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, changes({b"a": b"1", b"b": b"2"})))

    commit(
        (alice, changes({b"a": b"3", b"c": b"4"})),
        (alice, changes({b"d": b"5"}, cleared=True)),
        (alice, changes({b"d": None, b"e": b"66"})),
    )

    assert everything(store, alice) == [(b"e", b"66")]
    assert alice.live_bytes == 3


def test_instances_of_one_name_and_two_types_are_apart(store: Store) -> None:
    account, ledger = store.locate(1, b"x"), store.locate(2, b"x")
    commit = Committer(store)
    commit((account, changes({b"k": b"1"})), (ledger, changes({b"k": b"2"})))

    commit((ledger, changes(cleared=True)))

    assert store.get(account, b"k") == b"1"
    assert store.get(ledger, b"k") is None
    assert account.number != ledger.number or account.partition != ledger.partition


def test_neighbours_in_key_order_do_not_see_each_other(store: Store) -> None:
    instances = [store.locate(ACCOUNT, b"n%d" % n) for n in range(20)]
    commit = Committer(store)
    commit(*((each, changes({b"k": b"%d" % each.number, b"\xf4\x8f\xbf\xbf": b"last"})) for each in instances))

    commit((instances[5], changes(cleared=True)))

    for each in instances[:5] + instances[6:]:
        assert everything(store, each) == [(b"k", b"%d" % each.number), (b"\xf4\x8f\xbf\xbf", b"last")]
        assert everything(store, each, reverse=True)[0] == (b"\xf4\x8f\xbf\xbf", b"last")
    assert everything(store, instances[5]) == []


def test_one_object_stands_for_an_instance_as_long_as_anybody_holds_it(store: Store) -> None:
    first = store.locate(ACCOUNT, b"alice")

    assert store.locate(ACCOUNT, b"alice") is first


def test_a_number_is_not_given_twice_even_after_its_instance_was_emptied(store: Store) -> None:
    commit = Committer(store)
    alice = store.locate(ACCOUNT, b"alice")
    number, partition = alice.number, alice.partition
    commit((alice, changes({b"k": b"v"})))
    commit((alice, changes({b"k": None})))
    assert not alice.exists
    del alice
    gc.collect()

    others = [store.locate(ACCOUNT, name) for name in (b"alice", b"bob", b"carol", b"dave")]

    assert (partition, number) not in {(each.partition, each.number) for each in others}


def test_an_instance_is_found_again_with_its_number_and_size(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    Committer(store)((alice, changes({b"k": b"value"})))
    number = alice.number
    del alice
    gc.collect()

    again = store.locate(ACCOUNT, b"alice")

    assert (again.number, again.exists, again.live_bytes) == (number, True, 6)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_stays_within_its_range_and_goes_on_from_its_last_key(store: Store, reverse: bool) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    keys = sorted([b"%02d" % n for n in range(40)] + ["é".encode(), "名".encode()])
    Committer(store)((alice, changes({key: key for key in keys})))
    expected = [key for key in keys if b"05" <= key < "名".encode()]
    start, end = b"05", "名".encode()

    seen: list[bytes] = []
    complete = False
    while not complete:
        pairs, complete = store.scan(alice, start=start, end=end, reverse=reverse, entries_max=7, bytes_max=1 << 20)
        assert len(pairs) <= 7
        seen += [key for key, _ in pairs]
        if reverse:
            end = pairs[-1][0]
        else:
            start = pairs[-1][0] + b"\0"

    assert seen == (expected[::-1] if reverse else expected)


def test_a_scan_ends_once_its_bytes_are_reached_but_gives_at_least_one_pair(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    Committer(store)((alice, changes({b"%d" % n: bytes(1000) for n in range(9)})))

    pairs, complete = store.scan(alice, start=b"", end=None, reverse=False, entries_max=9, bytes_max=2500)
    one, more = store.scan(alice, start=b"", end=None, reverse=True, entries_max=9, bytes_max=1)

    assert (len(pairs), complete) == (3, False)
    assert ([key for key, _ in one], more) == ([b"8"], False)


@pytest.mark.parametrize("open_store", ["memory", "lmdb"], indirect=True)  # PostgreSQL has one transaction for all
def test_each_partition_records_the_groups_that_touched_it(store: Store) -> None:
    by_partition = {each.partition: each for each in (store.locate(ACCOUNT, b"n%d" % n) for n in range(20))}
    assert [group for _, group in store.reached().values()] == [FIRST_GROUP - 1] * 2

    store.commit(FIRST_GROUP, [Batch(by_partition[0], changes({b"k": b"v"}))])
    store.commit(FIRST_GROUP + 1, [Batch(by_partition[1], changes({b"k": b"v"}))])

    assert {number: group for number, (_, group) in store.reached().items()} == {0: FIRST_GROUP, 1: FIRST_GROUP + 1}


def test_a_group_that_does_not_follow_the_last_one_breaks_the_store(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    store.commit(FIRST_GROUP + 3, [Batch(alice, changes({b"k": b"v"}))])

    with pytest.raises(StoreBrokenError, match="group 5"):
        store.commit(FIRST_GROUP + 3, [Batch(alice, changes({b"k": b"w"}))])


def test_an_instance_over_its_quota_is_lost_and_the_others_of_its_group_are_not(open_store: OpenStore) -> None:
    store = open_store(SMALL_MAP.replace(instance_bytes_max=1000))
    alice, bob, carol = (store.locate(ACCOUNT, name) for name in (b"alice", b"bob", b"carol"))
    commit = Committer(store)
    commit((bob, changes({b"old": b"kept"})))

    lost = commit(
        (alice, changes({b"k": bytes(900)})),
        (bob, changes({b"old": b"changed"})),
        (bob, changes({b"k": bytes(1000)})),
        (carol, changes({b"k": b"v"})),
    )

    assert list(lost) == [id(bob)]
    error = lost[id(bob)]
    assert isinstance(error, StorageFullError)
    assert "1011 bytes exceeds the limit of 1000 bytes" in error.message
    assert everything(store, bob) == [(b"old", b"kept")]
    assert (bob.live_bytes, alice.live_bytes, carol.live_bytes) == (7, 901, 2)
    assert store.get(carol, b"k") == b"v"


def test_an_instance_at_its_quota_may_still_overwrite_and_delete(open_store: OpenStore) -> None:
    store = open_store(SMALL_MAP.replace(instance_bytes_max=1802))
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, changes({b"a": bytes(900), b"b": bytes(900)})))
    assert store.refusal(alice, 1802) is None
    assert store.refusal(alice, 1803) is not None

    lost = commit((alice, changes({b"b": b"x" * 900})), (alice, changes({b"a": None})))

    assert lost == {}
    assert alice.live_bytes == 901


@pytest.mark.parametrize("only_new", [False, True])
def test_instances_of_a_full_tenant_do_not_grow_or_no_new_ones_come_to_be(store: Store, only_new: bool) -> None:
    """What is there is read, overwritten and deleted as before, and types of others are let alone."""
    commit = Committer(store)
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    other, armed = store.locate(ACCOUNT + 1, b"alice"), store.locate(ACCOUNT, b"armed")
    commit((alice, changes({b"a": b"12345"})), (armed, alarm_change(Alarm(5, 5))))
    store.quotas.set([((ACCOUNT,), "the tenant 'acme' is full", only_new)])

    assert store.refusal(alice, 6) is None
    assert (store.refusal(alice, 7) is None) == only_new
    assert (store.refusal(armed, 7) is None) == only_new
    assert "the tenant 'acme' is full: instance 'bob' may not" in str(store.refusal(bob, 1))
    assert store.refusal(other, 1) is None
    lost = commit((bob, changes({b"a": b"1"})), (alice, changes({b"a": b"54321"})), (other, changes({b"a": b"1"})))
    assert list(lost) == [id(bob)]
    assert (store.get(alice, b"a"), store.get(other, b"a")) == (b"54321", b"1")
    assert commit((alice, changes({b"a": None}))) == {}
    store.quotas.set([])
    assert commit((bob, changes({b"a": b"1"}))) == {}


def test_threads_read_while_another_commits(open_store: OpenStore) -> None:
    """A reader sees whole groups only: two keys that are always written together are never apart."""
    store = open_store(SMALL_MAP)
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, changes({b"a": b"0", b"b": b"0"})))
    stop = threading.Event()
    torn: list[object] = []

    def read() -> None:
        while not stop.is_set():
            pairs = dict(everything(store, alice))
            if pairs[b"a"] != pairs[b"b"]:
                torn.append(pairs)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(100):
        commit((alice, changes({b"a": b"%d" % n, b"b": b"%d" % n})))
    stop.set()
    for reader in readers:
        reader.join()

    assert torn == []


@pytest.mark.limit("delete_rows_max")
@pytest.mark.parametrize("rows", [4, 5])
def test_an_instance_is_cleared_at_once_whether_its_rows_are_deleted_or_swept(open_store: OpenStore, rows: int) -> None:
    store = open_store(SMALL_MAP.replace(delete_rows_max=4))
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, changes({b"%d" % number: b"v" for number in range(rows)})), (alice, alarm_change(Alarm(due_us=7))))

    commit((alice, changes({b"new": b"1"}, cleared=True)))

    while True:
        assert everything(store, alice) == [(b"new", b"1")]
        assert (alice.live_bytes, store.count_keys(alice, b"")) == (4, (1, None))
        assert store.instances(ACCOUNT, b"", b"", 9) == ([(b"alice", 4)], None)
        assert [(due_us, each.name) for due_us, each in store.due_alarms(8, 9)] == [(7, b"alice")]
        if not store.has_garbage:
            break
        store.sweep()


def test_what_leans_on_a_lost_instance_is_lost_and_what_it_leans_on_is_not(open_store: OpenStore) -> None:
    store = open_store(SMALL_MAP.replace(instance_bytes_max=1000))
    located = (store.locate(ACCOUNT, b"n%d" % number) for number in range(100))
    first, full, silent, last, other = [each for each in located if each.partition == 0][:5]
    group = max(group for _, group in store.reached().values()) + 1
    written = [Batch(each, changes({b"k": bytes(2000 if each is full else 2)})) for each in (last, other, full, first)]

    leans = {id(full): [id(first)], id(silent): [id(full)], id(last): [id(silent)]}
    report = required(store.commit(group, written, leans), "a report")

    assert {id(full), id(last)} <= set(report.lost) <= {id(full), id(silent), id(last)}
    assert [store.get(each, b"k") is not None for each in (first, full, last, other)] == [True, False, False, True]
    after = store.commit(group + 1, [Batch(last, changes({b"k": b"v"}))], {id(last): [id(first)]})
    assert not required(after, "a report").lost


def test_a_place_is_found_without_reading_and_knows_what_is_stored_once_it_was_looked_up(open_store: OpenStore) -> None:
    store = open_store(SMALL_MAP)
    alice = store.locate(ACCOUNT, b"alice")
    number = alice.number
    Committer(store)((alice, changes({b"balance": b"70"})))
    del alice
    gc.collect()

    place = store.place(ACCOUNT, b"alice")
    assert (place.number, place.exists, place.live_bytes) == (0, False, 0)
    store.look_up(place)

    assert (place.number, place.exists, place.live_bytes) == (number, True, 9)
    assert place.data_number > 0
    assert store.get(place, b"balance") == b"70"
    assert store.locate(ACCOUNT, b"alice") is store.place(ACCOUNT, b"alice") is place


def test_however_many_look_up_a_new_name_at_once_it_is_one_instance(store: Store) -> None:
    for number in range(200):
        name, barrier = b"n%d" % number, threading.Barrier(4)
        found: list[tuple[StoredInstance, int]] = []

        def look(name: bytes = name, barrier: threading.Barrier = barrier, found: Any = found) -> None:
            barrier.wait()
            instance = store.locate(ACCOUNT, name)
            found.append((instance, instance.number))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len({id(instance) for instance, _ in found}) == 1
        assert len({given for _, given in found}) == 1
