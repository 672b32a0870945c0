"""What happens when there is no room: who loses, who does not, and what still works."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from types import SimpleNamespace

import lmdb
import pytest

from holdfast_host.core.errors import StorageFullError
from holdfast_host.core.limits import MIB
from holdfast_host.storage.lmdb import commits
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import StoreBrokenError
from holdfast_host.storage.unflushed import Pending
from tests.unit.storage import children
from tests.unit.storage.conftest import LIMITS, batch, open_lmdb, run_child

TINY = LIMITS.replace(map_bytes=MIB)


def test_one_instance_that_does_not_fit_into_the_map_is_lost_alone(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, TINY)
    alice, bob, carol = (store.locate(1, name) for name in (b"alice", b"bob", b"carol"))

    report = store.commit(
        2,
        [
            batch(alice, {b"k": b"1"}),
            batch(bob, {b"small": b"too"}),
            batch(bob, {b"k": bytes(MIB)}),
            batch(carol, {b"k": b"2"}),
        ],
    )

    assert list(report.lost) == [id(bob)]
    error = report.lost[id(bob)]
    assert isinstance(error, StorageFullError)
    assert "no room for 1048585 bytes written by instance 'bob', which holds 0 bytes" in error.message
    assert [store.get(each, b"k") for each in (alice, bob, carol)] == [b"1", None, b"2"]
    assert (bob.exists, store.get(bob, b"small"), store.reached()[0][1]) == (False, None, 2)
    assert not store.commit(3, [batch(bob, {b"k": b"fits"})]).lost
    store.close()


def test_an_instance_alone_in_its_group_that_does_not_fit_is_lost(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, TINY)
    alice = store.locate(1, b"alice")

    assert list(store.commit(2, [batch(alice, {b"k": bytes(MIB)})]).lost) == [id(alice)]
    assert not store.commit(3, [batch(alice, {b"k": b"v"})]).lost
    store.close()


def test_where_the_redone_commit_does_not_fit_either_each_instance_is_tried_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb(tmp_path, TINY)
    alice, bob, carol = (store.locate(1, name) for name in (b"alice", b"bob", b"carol"))

    def does_not_fit(partition: Partition, *_: object) -> None:
        with partition.env.begin(write=True) as txn:
            txn.put(b"\xff", b"must not stay")
            raise lmdb.MapFullError("mdb_txn_commit")

    monkeypatch.setattr(commits, "_write_in_children", does_not_fit)
    dan = store.locate(1, b"dan")
    batches = [batch(dan, {b"k": b"3"}), batch(alice, {b"k": b"1"}), batch(bob, {b"k": bytes(MIB)})]
    report = store.commit(2, [*batches, batch(carol, {b"k": b"2"})], {id(dan): [id(bob)], id(alice): [id(carol)]})

    assert set(report.lost) == {id(bob), id(dan)}
    assert [store.get(each, b"k") for each in (alice, bob, carol, dan)] == [b"1", None, b"2", None]
    assert store.reached()[0][1] == 2
    store.close()


@pytest.mark.limit("map_bytes")
def test_growth_is_refused_before_the_map_is_full_and_deletes_make_room(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, TINY)
    alice = store.locate(1, b"alice")
    group, stored = 1, 0
    error = None
    while error is None:
        group += 1
        stored += 1
        report = store.commit(group, [batch(alice, {b"%d" % stored: bytes(10_000)})])
        error = report.lost.get(id(alice))

    assert "of the map of 1048576" in str(error)
    assert "deletes still work" in str(error)
    assert not store.commit(group + 1, [batch(alice, {b"1": b"x" * 10_000})]).lost
    assert not store.commit(group + 2, [batch(alice, {b"%d" % n: None for n in range(1, 30)})]).lost
    assert not store.commit(group + 3, [batch(alice, {b"again": bytes(20_000)})]).lost
    store.close()


@pytest.mark.limit("disk_reserve_bytes")
def test_below_the_reserve_of_the_disk_nothing_grows_but_deletes_work(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path)
    store.commit(2, [batch(store.locate(1, b"alice"), {b"a": b"12345", b"b": b"1"})])
    store.close()
    store = open_lmdb(tmp_path, LIMITS.replace(disk_reserve_bytes=1 << 60))
    alice, bob = store.locate(1, b"alice"), store.locate(1, b"bob")

    first = store.commit(3, [batch(alice, {b"a": b"123456"}), batch(bob, {b"k": b"v"})])
    second = store.commit(4, [batch(alice, {b"a": b"54321"})])
    third = store.commit(5, [batch(alice, {b"b": None})])

    assert set(first.lost) == {id(alice), id(bob)}
    assert "bytes of disk are free" in first.lost[id(alice)].message
    assert "fewer than the reserve of 1152921504606846976" in first.lost[id(alice)].message
    assert not second.lost
    assert not third.lost
    assert store.refusal(alice, alice.live_bytes + 1) is not None
    assert store.refusal(alice, alice.live_bytes) is None
    store.close()


@pytest.mark.parametrize("what", ["disk", "map"])
def test_growth_is_let_in_again_as_soon_as_there_is_room_though_nothing_else_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A turn that grows is refused before it is committed: no commit would ever have looked again."""
    store = open_lmdb(tmp_path, TINY.replace(disk_reserve_bytes=MIB) if what == "map" else LIMITS)
    alice = store.locate(1, b"alice")
    store.commit(2, [batch(alice, {b"k": b"v"})])
    if what == "disk":
        low = SimpleNamespace(f_bavail=1, f_frsize=4096)
        with monkeypatch.context() as disk:
            disk.setattr("holdfast_host.storage.lmdb.free_space.os.statvfs", lambda path: low)
            disk.setattr("holdfast_host.storage.lmdb.free_space._ASK_EVERY_S", 0.0)
            refused = store.commit(3, [batch(alice, {b"more": b"v"})]).lost[id(alice)]
            refusal = store.refusal(alice, alice.live_bytes + 1)
            assert isinstance(refused, StorageFullError)
            shortage = store.room().shortage
    else:
        keys = [b"%d" % number for number in range(90)]
        for at, key in enumerate(keys):
            store.commit(3 + at, [batch(alice, {key: bytes(10_000)})])
        refusal, shortage = store.refusal(alice, alice.live_bytes + 1), store.room().shortage
        assert not store.commit(200, [batch(alice, dict.fromkeys(keys))]).lost

    assert isinstance(refusal, StorageFullError)
    assert refusal.message.endswith("make room on the disk, deletes need some too" if what == "disk" else "still work")
    assert shortage is not None
    assert shortage in refusal.message
    overlay = Overlay(store, alice, Pending(), LIMITS, "Account/alice")
    overlay.put(b"more", b"1")
    assert overlay.take().writes == {b"more": b"1"}
    assert store.room().shortage is None
    store.close()


def test_a_disk_that_fills_up_loses_what_does_not_fit_and_takes_deletes(tmp_path: Path) -> None:
    """A real file system of 1.5 MB: short writes (EIO) and ENOSPC come in turn."""
    mount = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1500k none "$0" && exec "$@"', str(tmp_path))
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let an ordinary user mount a small file system")

    (said,) = run_child(children.fill_the_disk, tmp_path, wrapper=mount)

    assert said["whole"]
    assert said["name"] == "StorageFullError"
    assert said["delete_lost"] == 0


@pytest.mark.parametrize(
    ("code", "disk_low", "full"),
    [
        (errno.ENOSPC, False, True),
        (errno.EDQUOT, False, True),
        (errno.EFBIG, False, True),
        (errno.EIO, True, True),
        (errno.EIO, False, False),
        (errno.EINVAL, True, False),
        (0, True, False),
    ],
)
def test_only_want_of_room_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, disk_low: bool, full: bool
) -> None:
    store = open_lmdb(tmp_path, LIMITS.replace(disk_reserve_bytes=1 << 60 if disk_low else 0))
    alice = store.locate(1, b"alice")

    def fails(*_: object) -> None:
        error = lmdb.Error("mdb_txn_commit")
        error.code = code  # type: ignore[misc]
        raise error

    monkeypatch.setattr(commits, "_write_together", fails)
    if full:
        assert list(store.commit(2, [batch(alice, {b"k": None})]).lost) == [id(alice)]
    else:
        with pytest.raises(StoreBrokenError, match="commit of group 2"):
            store.commit(2, [batch(alice, {b"k": None})])
    store.close()


def test_clearing_a_large_instance_frees_its_room(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, LIMITS.replace(map_bytes=2 * MIB))
    alice, bob = store.locate(1, b"alice"), store.locate(1, b"bob")
    store.commit(2, [batch(alice, {b"%04d" % n: bytes(500) for n in range(1000)}), batch(bob, {b"k": b"v"})])

    for group in range(3, 12):
        writes: dict[bytes, bytes | None] = {b"%04d" % n: bytes(500) for n in range(300)}
        assert not store.commit(group, [batch(alice, writes, cleared=True)]).lost

    assert alice.live_bytes == 300 * 504
    assert store.get(bob, b"k") == b"v"
    store.close()
