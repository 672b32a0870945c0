"""What every Store says of its instances; see holdfast_host.storage.store."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Alarm, Store
from tests.contract.stores.committing import ACCOUNT, Committer, alarm_change, changes
from tests.contract.stores.conftest import SMALL_MAP, OpenStore

LEDGER = 8


def names_of(store: Store, type_id: int, prefix: bytes = b"", entries_max: int = 100) -> list[bytes]:
    """All names, page by page."""
    names: list[bytes] = []
    after: bytes | None = b""
    while after is not None:
        page, after = store.instances(type_id, prefix, after, entries_max)
        assert page or after is None, "a page that goes on goes forward"
        names += [name for name, _ in page]
    return names


@pytest.mark.parametrize("open_store", ["memory", "lmdb"], indirect=True)  # PostgreSQL has none
def test_instances_come_in_name_order_over_all_partitions_page_by_page(store: Store) -> None:
    names = [b"%03d" % number for number in range(40)]
    places = [store.locate(ACCOUNT, name) for name in names]
    Committer(store)(*((place, changes({b"k": b"1"})) for place in places))

    assert len({place.partition for place in places}) == 2
    for entries_max in (1, 3, 39, 40, 41):
        assert names_of(store, ACCOUNT, entries_max=entries_max) == names


def test_instances_of_other_types_and_with_other_prefixes_are_left_out(store: Store) -> None:
    room, rooms, roof = (store.locate(ACCOUNT, name) for name in (b"room:1", b"room:\xc3\xa9", b"roof"))
    other = store.locate(LEDGER, b"room:2")
    Committer(store)(*((place, changes({b"k": b"1"})) for place in (room, rooms, roof, other)))

    assert names_of(store, ACCOUNT, b"room:") == [b"room:1", b"room:\xc3\xa9"]
    assert names_of(store, ACCOUNT) == [b"roof", b"room:1", b"room:\xc3\xa9"]
    assert names_of(store, LEDGER, b"x") == []


def test_a_listed_instance_comes_with_its_live_bytes_and_goes_with_its_last_row(store: Store) -> None:
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    commit = Committer(store)
    commit((alice, changes({b"key": b"12345"})), (bob, alarm_change(Alarm(due_us=5))))

    assert store.instances(ACCOUNT, b"", b"", 10) == ([(b"alice", 8), (b"bob", 0)], None)

    commit((alice, changes(cleared=True)), (bob, alarm_change(None)))

    assert store.instances(ACCOUNT, b"", b"", 10) == ([], None)


def test_keys_are_counted(store: Store) -> None:
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    Committer(store)((alice, changes({b"k%d" % n: b"1" for n in range(30)})), (bob, changes({b"x": b"1"})))

    assert store.count_keys(alice, b"") == (30, None)
    assert store.count_keys(alice, b"k8") == (1, None)
    assert store.count_keys(store.locate(ACCOUNT, b"nobody"), b"") == (0, None)


def test_a_step_that_runs_out_of_time_goes_on_where_it_stopped(tmp_path: Path) -> None:
    limits = SMALL_MAP.replace(page_read_s=0.0)
    ensure_data_directory(tmp_path, 2)
    store = LmdbStore.open(tmp_path, [0, 1], limits)
    names = [b"%03d" % number for number in range(20)]
    places = [store.locate(ACCOUNT, name) for name in names]
    many: dict[bytes, bytes | None] = {b"%06d" % number: b"1" for number in range(1000)}
    Committer(store)(*((place, changes({b"k": b"1"})) for place in places[1:]), (places[0], changes(many)))

    counted, after = 0, b""
    steps = 0
    while after is not None:
        count, after = store.count_keys(places[0], after)  # type: ignore[assignment]
        counted, steps = counted + count, steps + 1

    assert names_of(store, ACCOUNT) == names
    assert (counted, steps) == (1000, 4)
    store.close()


def test_the_longest_names_are_listed_too(open_store: OpenStore) -> None:
    store = open_store(Limits(map_bytes=SMALL_MAP.map_bytes, disk_reserve_bytes=SMALL_MAP.disk_reserve_bytes))
    place = store.locate(ACCOUNT, b"a" * 256)
    Committer(store)((place, changes({b"k": b"1"})))

    assert names_of(store, ACCOUNT, b"a" * 256) == [b"a" * 256]
    assert names_of(store, ACCOUNT, b"a" * 255) == [b"a" * 256]
