"""A partition from its making to its successor: epochs, formats, locks, short reads."""

from __future__ import annotations

import ast
import json
import os
import signal
import threading
from pathlib import Path
from random import Random
from typing import Any

import lmdb
import pytest

import holdfast_host
from holdfast_host.core.errors import ConfigurationError, InternalError
from holdfast_host.core.ids import partition_of
from holdfast_host.storage.data_directory import ensure_data_directory, partition_path, read_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Alarm, Batch, Changes, StoreBrokenError
from holdfast_host.storage.unflushed import Pending
from holdfast_host.wire.pages.state_page import FIRST_GROUP
from tests.unit.storage import children
from tests.unit.storage.conftest import LIMITS, batch, open_lmdb, run_child, start_child

HOST = Path(holdfast_host.__file__).parent


def test_every_open_bumps_the_epoch_and_a_fresh_partition_is_one_group_before_the_first(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        store = open_lmdb(tmp_path)
        seen.append(store.reached())
        store.close()

    assert seen == [{0: (epoch, FIRST_GROUP - 1)} for epoch in (1, 2, 3)]


def test_what_was_committed_is_there_after_reopening_and_numbers_go_on(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path)
    alice, ghost, bob = (store.locate(1, name) for name in (b"alice", b"ghost", b"bob"))
    store.commit(5, [batch(alice, {b"k": b"v"}), Batch(bob, Changes(alarm=Alarm(9), alarm_changed=True))])
    store.commit(6, [batch(bob, {b"k": b"v"})])
    store.commit(7, [batch(bob, {b"k": None}), Batch(bob, Changes(alarm_changed=True))])
    store.close()

    store = open_lmdb(tmp_path)
    again = store.locate(1, b"alice")
    others = [store.locate(1, name) for name in (b"ghost", b"bob", b"carol")]

    assert store.reached() == {0: (2, 7)}
    assert (again.number, again.live_bytes, store.get(again, b"k")) == (alice.number, 2, b"v")
    assert not any(each.exists for each in others)
    assert all(each.number > max(alice.number, ghost.number, bob.number) for each in others)
    store.close()


def test_a_successor_fences_the_process_before_it(tmp_path: Path) -> None:
    """Two processes have it open; the older one's next commit is refused and writes nothing."""
    with start_child(children.commit_when_told, tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def tell(group: int) -> dict[str, object]:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(f"{group}\n")
            child.stdin.flush()
            answer: dict[str, object] = json.loads(child.stdout.readline())
            return answer

        assert json.loads(child.stdout.readline()) == {"epoch": 1}
        assert tell(2) == {"lost": 0, "reached": 2}
        store = open_lmdb(tmp_path)

        first, second = tell(3), tell(4)

        child.stdin.close()
    message = "partition 0 is in epoch 2, ours is 1: a successor has opened it"
    assert first == second == {"broken": message, "reached": 2}
    alice = store.locate(1, b"alice")
    assert store.get(alice, b"k") == b"2"
    assert not store.commit(3, [batch(alice, {b"k": b"mine"})]).lost
    store.close()


def test_acknowledged_groups_survive_a_kill_at_any_moment_and_groups_are_whole(tmp_path: Path) -> None:
    random = Random(2)
    for epoch in range(1, 11, 2):
        child = start_child(children.commit_for_ever, tmp_path)
        assert child.stdout is not None
        acknowledged = 0
        for _ in range(random.randrange(1, 60)):
            acknowledged = json.loads(child.stdout.readline())["group"]
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()  # communicate() would miss what readline() has read ahead
        child.communicate()
        for line in rest.splitlines(keepends=True):
            if line.endswith("\n"):
                acknowledged = json.loads(line)["group"]

        store = open_lmdb(tmp_path)
        reached_epoch, reached = store.reached()[0]
        last = {store.get(store.locate(1, name), b"last") for name in children.NAMES}
        store.close()

        assert reached_epoch == epoch + 1
        assert reached in {acknowledged, acknowledged + 1}
        assert last == {b"%d" % reached}


def test_a_failed_data_sync_breaks_the_store_and_the_next_start_reads_the_durable_state(tmp_path: Path) -> None:
    first, second, third = run_child(children.lose_the_data_sync, tmp_path)

    assert first == {"lost": 0, "reached": 2}
    assert "commit of group 3 in partition 0 failed" in second["broken"]
    assert third == second
    store = open_lmdb(tmp_path)
    alice = store.locate(1, b"alice")
    assert (store.get(alice, b"k"), store.get(alice, b"group")) == (b"durable", None)
    store.close()


def test_a_failed_meta_page_breaks_the_store_for_good(tmp_path: Path) -> None:
    first, second, third = run_child(children.lose_the_meta_page, tmp_path)

    assert first == {"lost": 0, "reached": 2}
    assert "commit of group 3" in second["broken"]
    assert third == second
    store = open_lmdb(tmp_path)
    assert store.reached()[0][1] == 2
    store.close()


def test_a_partition_is_not_opened_twice_in_one_process_and_the_first_keeps_its_lock(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path)

    with pytest.raises(ConfigurationError, match="already open in this process"):
        LmdbStore.open(tmp_path, [0], LIMITS)

    assert run_child(children.probe_lock, tmp_path) == [{"held": True}]
    store.commit(2, [batch(store.locate(1, b"alice"), {b"k": b"v"})])
    store.close()
    assert run_child(children.probe_lock, tmp_path) == [{"held": False}]


def test_nothing_but_the_environment_has_its_files_open(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path)
    opened = _descriptors_below(tmp_path)

    alice = store.locate(1, b"alice")
    for group in range(2, 40):
        store.commit(group, [batch(alice, {b"k%d" % group: bytes(5000)})])
    store.scan(alice, start=b"", end=None, reverse=True, entries_max=9, bytes_max=1000)
    store.due_alarms(1, 1)
    ensure_data_directory(tmp_path, 1)

    assert opened == ["data.mdb", "data.mdb", "lock.mdb"]
    assert _descriptors_below(tmp_path) == opened
    store.close()
    assert _descriptors_below(tmp_path) == []


def test_no_code_of_the_host_names_the_files_of_an_environment_but_to_see_whether_one_is_there() -> None:
    """Opening one by path and closing it again would drop the lock of the process that has it open."""
    named: list[tuple[str, str]] = []
    opens: list[str] = []
    for source in sorted(HOST.rglob("*.py")):
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in {"data.mdb", "lock.mdb"}:
                named.append((source.name, str(node.value)))
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"lmdb.open", "lmdb.Environment"}:
                opens.append(source.name)

    assert named == [("partition.py", "data.mdb")]
    partition = (HOST / "storage" / "lmdb" / "partition.py").read_text()
    assert opens == ["partition.py", "partition.py"]  # the second one in a process of its own
    assert [line.count("_FILE") for line in partition.splitlines() if "_FILE" in line] == [1, 1, 1]
    assert "(path / _FILE).exists()" in partition
    assert "(path / _FILE).stat()" in partition


def test_no_read_leaves_its_transaction_open(lmdb_store: LmdbStore) -> None:
    alice = lmdb_store.locate(1, b"alice")
    lmdb_store.commit(2, [batch(alice, {b"%03d" % n: b"v" for n in range(500)})])

    lmdb_store.get(alice, b"001")
    lmdb_store.alarm(alice)
    lmdb_store.due_alarms(1, 1)
    for reverse in (False, True):
        lmdb_store.scan(alice, start=b"", end=None, reverse=reverse, entries_max=9, bytes_max=1000)

    readers = lmdb_store._partitions[0].env.readers()
    assert {line.split()[-1] for line in readers.splitlines()[1:]} <= {"-"}, readers


@pytest.mark.limit("page_read_s")
def test_a_scan_ends_when_the_time_of_a_page_is_over_and_a_list_goes_on(tmp_path: Path) -> None:
    store = open_lmdb(tmp_path, LIMITS.replace(page_read_s=0.0))
    alice = store.locate(1, b"alice")
    store.commit(2, [batch(alice, {b"%03d" % n: b"v" for n in range(50)})])

    pairs, complete = store.scan(alice, start=b"", end=None, reverse=False, entries_max=50, bytes_max=1000)
    overlay = Overlay(store, alice, Pending(), LIMITS, "T/alice")

    assert (len(pairs), complete) == (1, False)
    for reverse in (False, True):
        page, _ = overlay.list(b"", None, None, None, reverse, 50)
        assert [key for key, _ in page] == sorted((b"%03d" % n for n in range(50)), reverse=reverse)
    store.close()


def test_values_that_were_read_stay_what_they_were_when_their_pages_are_written_over(lmdb_store: LmdbStore) -> None:
    alice = lmdb_store.locate(1, b"alice")
    lmdb_store.commit(2, [batch(alice, {b"a": b"a" * 9000, b"b": b"b" * 10})])

    value = lmdb_store.get(alice, b"a")
    pairs, _ = lmdb_store.scan(alice, start=b"", end=None, reverse=False, entries_max=9, bytes_max=1 << 20)
    for group in range(3, 60):
        lmdb_store.commit(group, [batch(alice, {b"a": b"%d" % group * 4000, b"b": b"%d" % group * 5})])

    assert value == b"a" * 9000
    assert pairs == [(b"a", b"a" * 9000), (b"b", b"b" * 10)]
    assert {type(each) for pair in pairs for each in pair} == {bytes}


def test_instances_lie_where_their_shard_says_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    ensure_data_directory(tmp_path, 3)
    store = LmdbStore.open(tmp_path, [0, 2], LIMITS)
    places = {name: partition_of(1, name, 3) for name in (b"n%d" % n for n in range(40))}

    assert all(store.locate(1, name).partition == at for name, at in places.items() if at != 1)
    foreign = next(name for name, at in places.items() if at == 1)
    with pytest.raises(InternalError, match="lies in partition 1, which this worker does not own"):
        store.locate(1, foreign)
    store.close()


def test_a_commit_after_a_failure_is_refused_even_if_it_could_succeed(lmdb_store: LmdbStore) -> None:
    alice = lmdb_store.locate(1, b"alice")
    with pytest.raises(StoreBrokenError, match="failed"):
        lmdb_store.commit(2, [Batch(alice, Changes({b"k": "text"}))])  # type: ignore[dict-item]

    with pytest.raises(StoreBrokenError, match="commit of group 2"):
        lmdb_store.commit(3, [batch(alice, {b"k": b"v"})])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ({"format": 99, "partitions": 1}, "has format 99, this release reads up to format 2"),
        ({"format": "1", "partitions": 1}, "has format '1'"),
        ({"format": 1, "partitions": 0}, "says 0 partitions"),
        ({"format": 1}, "is damaged"),
        ([], "is damaged"),
    ],
)
def test_a_data_directory_of_another_format_is_refused(tmp_path: Path, marker: object, message: str) -> None:
    (tmp_path / "format.json").write_text(json.dumps(marker))

    for opens in (lambda: ensure_data_directory(tmp_path, 1), lambda: LmdbStore.open(tmp_path, [0], LIMITS)):
        with pytest.raises(ConfigurationError, match=message):
            opens()


def test_a_data_directory_keeps_the_number_of_partitions_that_it_was_made_with(tmp_path: Path) -> None:
    assert read_data_directory(tmp_path) is None
    made = ensure_data_directory(tmp_path / "a" / "b", 3)

    assert ensure_data_directory(tmp_path / "a" / "b", 8) == made
    with pytest.raises(ConfigurationError, match=r"has 3 partitions, asked for are \[0, 3\]"):
        LmdbStore.open(tmp_path / "a" / "b", [0, 3], LIMITS)
    with pytest.raises(ConfigurationError, match=r"it has no format\.json"):
        LmdbStore.open(tmp_path, [0], LIMITS)


def test_partitions_without_a_marker_are_refused(tmp_path: Path) -> None:
    open_lmdb(tmp_path).close()
    (tmp_path / "format.json").unlink()

    with pytest.raises(ConfigurationError, match=r"has partitions but no format\.json"):
        ensure_data_directory(tmp_path, 1)


def test_a_partition_of_another_format_number_or_without_its_file_is_refused(tmp_path: Path) -> None:
    ensure_data_directory(tmp_path, 2)
    LmdbStore.open(tmp_path, [0, 1], LIMITS).close()
    zero, one = partition_path(tmp_path, 0), partition_path(tmp_path, 1)

    _rewrite_meta(zero, 0, 77)
    with pytest.raises(ConfigurationError, match="parts/00 has storage format 77, this release reads up to format 2"):
        LmdbStore.open(tmp_path, [0], LIMITS)

    one.rename(tmp_path / "aside")
    zero.rename(one)
    _rewrite_meta(one, 0, 1)
    with pytest.raises(ConfigurationError, match="holds partition 0, not 1: was it moved"):
        LmdbStore.open(tmp_path, [1], LIMITS)

    (one / "data.mdb").unlink()
    with pytest.raises(ConfigurationError, match=r"parts/01 has lost its data\.mdb"):
        LmdbStore.open(tmp_path, [1], LIMITS)

    (one / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigurationError, match="parts/01 cannot be opened"):
        LmdbStore.open(tmp_path, [1], LIMITS)


def test_a_partition_that_must_be_there_is_not_made_anew(tmp_path: Path) -> None:
    ensure_data_directory(tmp_path, 1)

    with pytest.raises(ConfigurationError, match="parts/00 is gone"):
        LmdbStore.open(tmp_path, [0], LIMITS, make=False)
    assert not (tmp_path / "parts").exists()


def test_a_partition_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    ensure_data_directory(tmp_path, 1)
    half_made = tmp_path / "parts" / "00.new"
    half_made.mkdir(parents=True)
    (half_made / "data.mdb").write_bytes(b"torn")

    store = LmdbStore.open(tmp_path, [0], LIMITS)

    assert store.reached() == {0: (1, 1)}
    assert sorted(each.name for each in (tmp_path / "parts").iterdir()) == ["00"]
    store.close()


def _descriptors_below(path: Path) -> list[str]:
    targets = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sorted(os.path.basename(each) for each in targets if each.startswith(f"{path}/parts"))


def _rewrite_meta(path: Path, offset: int, version: int) -> None:
    with lmdb.open(os.fspath(path), map_size=LIMITS.map_bytes) as env, env.begin(write=True) as txn:
        row = bytearray(txn.get(b"\0") or b"")
        row[offset : offset + 4] = version.to_bytes(4, "little")
        txn.put(b"\0", bytes(row))


def test_a_name_is_looked_up_while_another_one_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb(tmp_path)
    reading, go_on = threading.Event(), threading.Event()
    find = Partition.find

    def slow(self: Partition, type_id: int, name: bytes) -> Any:
        if name == b"slow":
            reading.set()
            assert go_on.wait(10)
        return find(self, type_id, name)

    monkeypatch.setattr(Partition, "find", slow)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(store.locate(1, b"slow").number))
    thread.start()
    assert reading.wait(10)

    assert store.locate(1, b"quick").number > 0
    assert store.place(1, b"slow").number == 0
    go_on.set()
    thread.join()
    assert found[0] > 0
    store.close()


def test_what_was_never_looked_up_is_never_written(tmp_path: Path) -> None:
    """It has no number: what is written under another one's would be that one's."""
    store = open_lmdb(tmp_path)

    with pytest.raises(StoreBrokenError, match="instance b'new' is to be written and was never looked up"):
        store.commit(5, [batch(store.place(1, b"new"), {b"k": b"v"})])

    assert store.locate(1, b"new").exists is False
    store.close()
