"""What every Store promises of exports and imports."""

from __future__ import annotations

import pytest

from holdfast_host.core.errors import HostUnavailableError, StorageFullError
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.store import Alarm, Changes, Receipt, Store, StoredInstance
from holdfast_host.storage.transfers import (
    Export,
    ExportedAlarm,
    ExportedInstance,
    ExportedJob,
    ExportedKey,
    ExportRow,
    Staging,
)
from tests.contract.stores.committing import ACCOUNT, Committer, changes, everything
from tests.contract.stores.conftest import SMALL_MAP, OpenStore


def rows_of(export: Export, *, bytes_max: int = 1) -> list[ExportRow]:
    found: list[ExportRow] = []
    try:
        while page := export.step(bytes_max, 60.0):
            found += page
    finally:
        export.close()
    return found


def piece(import_id: str, rows: dict[bytes, bytes]) -> Changes:
    size = sum(len(key) + len(value) for key, value in rows.items())
    return Changes(staging=Staging(import_id, rows), size_bytes=size)


def adoption(import_id: str, alarm: Alarm | None = None, jobs: dict[bytes, Job | None] | None = None) -> Changes:
    return Changes(
        staging=Staging(import_id, {}, adopts=True),
        cleared=True,
        erased=True,
        alarm=alarm,
        alarm_changed=True,
        jobs=jobs,
    )


def test_an_export_has_what_was_committed_when_it_began(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    alarm, job, id_ = Alarm(due_us=5, scheduled_us=5), Job("run", 7, facts=b"{}\n[]"), new_id("")
    commit = Committer(store)
    commit((alice, changes({b"b": b"2", b"a": b"1"})))
    commit((alice, Changes(alarm=alarm, alarm_changed=True, jobs={id_: job})))
    export = store.export(ACCOUNT, b"alice", b"")
    first = export.step(1, 60.0)

    commit((alice, changes({b"c": b"3"}, cleared=True)))

    expected = [
        ExportedInstance(b"alice", 4), ExportedKey(b"a", b"1"), ExportedKey(b"b", b"2"), ExportedAlarm(alarm),
        ExportedJob(id_, job),
    ]  # fmt: skip
    assert first + rows_of(export) == expected
    assert rows_of(store.export(ACCOUNT, b"nobody", b"")) == []


def test_an_export_of_a_type_has_its_instances_under_a_prefix_with_their_keys_alone(store: Store) -> None:
    commit = Committer(store)
    for name in (b"eu/1", b"eu/2", b"us/1"):
        commit((store.locate(ACCOUNT, name), changes({b"k": name})))
        commit((store.locate(ACCOUNT, name), Changes(alarm=Alarm(5), alarm_changed=True)))
    commit((store.locate(8, b"eu/3"), changes({b"k": b"other"})))

    found = rows_of(store.export(ACCOUNT, None, b"eu/"), bytes_max=1 << 20)

    assert sorted(each.value for each in found if isinstance(each, ExportedKey)) == [b"eu/1", b"eu/2"]
    assert len(found) == 4


def test_an_import_is_seen_only_once_it_is_adopted_and_then_whole(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    receipt = Receipt(1 << 31, 200, bytes(16), b"1")
    commit((alice, changes({b"old": b"0"})))
    commit((alice, Changes(alarm=Alarm(5), alarm_changed=True, receipts={bytes(16): receipt})))
    import_id = store.begin_import(alice)
    commit((alice, piece(import_id, {b"a": b"1"})), (alice, piece(import_id, {b"b": b"22"})))
    assert everything(store, alice) == [(b"old", b"0")]
    assert store.staged_keys(alice, import_id) == 2
    job, id_ = Job("run", 9, facts=b"{}\n[]"), new_id("")

    lost = commit((alice, adoption(import_id, Alarm(7), {id_: job})))

    assert lost == {}
    assert everything(store, alice) == [(b"a", b"1"), (b"b", b"22")]
    assert store.alarm(alice) == Alarm(7)
    assert store.jobs.page(alice, b"", b"", 9) == ([(id_, job)], True)
    assert store.receipt(alice, bytes(16)) is None
    assert alice.live_bytes == 5
    commit((alice, changes({b"a": None, b"c": b"3"})))
    assert everything(store, alice) == [(b"b", b"22"), (b"c", b"3")]


def test_a_key_that_is_imported_twice_counts_once(store: Store) -> None:
    alice = store.locate(ACCOUNT, b"alice")
    import_id = store.begin_import(alice)
    commit = Committer(store)
    commit((alice, piece(import_id, {b"a": b"1"})))
    commit((alice, piece(import_id, {b"a": b"22"})))

    assert store.staged_keys(alice, import_id) == 1
    commit((alice, adoption(import_id)))
    assert alice.live_bytes == 3


def test_an_import_that_was_given_up_takes_no_piece_and_is_not_adopted(store: Store) -> None:
    alice, bob = store.locate(ACCOUNT, b"alice"), store.locate(ACCOUNT, b"bob")
    commit = Committer(store)
    commit((alice, changes({b"k": b"1"})))
    import_id = store.begin_import(alice)
    commit((alice, piece(import_id, {b"a": b"1"})))
    assert isinstance(commit((bob, adoption(import_id)))[id(bob)], HostUnavailableError), "it is another instance's"

    store.end_import(alice, import_id)

    for change in (piece(import_id, {b"b": b"2"}), adoption(import_id)):
        assert isinstance(commit((alice, change))[id(alice)], HostUnavailableError)
    with pytest.raises(HostUnavailableError):
        store.staged_keys(alice, import_id)
    assert everything(store, alice) == [(b"k", b"1")]


def test_an_import_past_the_quota_is_refused_and_one_up_to_it_replaces_as_much(open_store: OpenStore) -> None:
    store = open_store(SMALL_MAP.replace(instance_bytes_max=100))
    alice = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, changes({b"k": b"x" * 90})))
    import_id = store.begin_import(alice)

    assert commit((alice, piece(import_id, {b"a": b"y" * 90}))) == {}
    assert isinstance(commit((alice, piece(import_id, {b"b": b"y" * 90})))[id(alice)], StorageFullError)
    assert commit((alice, adoption(import_id))) == {}

    assert everything(store, alice) == [(b"a", b"y" * 90)]


def test_an_adoption_that_is_lost_leaves_everything_as_it_was(open_store: OpenStore) -> None:
    store = open_store(SMALL_MAP.replace(instance_bytes_max=300))
    alice: StoredInstance = store.locate(ACCOUNT, b"alice")
    commit = Committer(store)
    commit((alice, changes({b"k": b"x" * 90})))
    import_id = store.begin_import(alice)
    commit((alice, piece(import_id, {b"a": b"y" * 200})))
    large = Job("run", 9, facts=b"{}\n" + b" " * 200)

    lost = commit((alice, adoption(import_id, None, {new_id(""): large})))

    assert isinstance(lost[id(alice)], StorageFullError)
    assert everything(store, alice) == [(b"k", b"x" * 90)]
    assert store.staged_keys(alice, import_id) == 1
