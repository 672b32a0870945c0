"""What earlier formats wrote is taken over by the first open, and read for ever."""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path

import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import ensure_data_directory, partition_path, read_data_directory
from holdfast_host.storage.jobs import POOLS, Job
from holdfast_host.storage.lmdb.keys import FORMAT, META_KEY, Meta, pack_meta, unpack_meta
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import AUTO_RESPONSE, Alarm, Batch, Changes, Ending, Receipt, SocketRow
from tests.harness.partitions import faults_of, sweep_all
from tests.unit.storage.conftest import LIMITS, open_lmdb

PARTITIONS = Path(__file__).parents[2] / "fixtures" / "partitions"
ACCOUNT, ROOM, SWEPT = 7, 8, 9
DUE_US = 1_800_000_000_000_000
OF_FORMAT_2 = Changes(
    writes={b"balance": b"70", b"big": b"x" * 9000},
    alarm=Alarm(DUE_US, 0, DUE_US),
    alarm_changed=True,
    receipts={
        b"answered--------": Receipt(1_900_000_000, 200, b"f" * 16, b'{"balance":70}'),
        b"forgotten-------": Receipt(1_700_000_000, 200, b"g" * 16, b"y" * 9000),
    },
    jobs={
        b"run-------------": Job("run", DUE_US + 1, DUE_US + 1, key="n\u00e4chtlich", facts=b'{"method":"_m"}\n[1]'),
        b"cron------------": Job("run", DUE_US + 2, DUE_US + 2, facts=b'{"method":"_m","cron":"0 9 * * *"}\n[]'),
        b"call------------": Job(
            "call", DUE_US + 3, DUE_US, "retrying", facts=b'{"method":"pay","binding":"A","name":"b"}\n[5]',
            tries=2, tried_us=DUE_US - 7, begun=True, last_error="HostUnavailableError: the worker died",
        ),
        b"waiting---------": Job(
            "http", DUE_US + 4, DUE_US, "waiting", facts=b'{"url":"https://api.example.com/"}\n{}', tries=1,
            retry_count=2, unknown=True, outcome=b'{"ok":false}',
        ),
        b"abandoned-------": Job("http", DUE_US, DUE_US, "abandoned", facts=b"{}\n{}", tries=12, last_error="503"),
        b"parked----------": Job("call", DUE_US, DUE_US, "parked", facts=b"{}\n[]", retry_count=1, killed=True),
    },
    sockets={
        AUTO_RESPONSE: SocketRow(0, tags=b"ping", attachment=b"pong"),
        0x1_00000007: SocketRow(DUE_US, tags=b"\0user:ann\0all\0", protocol=b"chat", attachment=b'{"user":"ann"}'),
        0x1_00000008: SocketRow(DUE_US, events=True, attachment=b'"' + b"z" * 9000 + b'"'),
        0x1_00000009: SocketRow(DUE_US, closed=True),
        0x2_00000001: SocketRow(
            DUE_US, ending=Ending(1013, "too sl\u00f6w", clean=False, broke=True, tries=2, begun=True, killed=True)
        ),
    },
)  # fmt: skip


def kept_data(folder: Path, version: int) -> Path:
    """A data directory as a release of that format left it."""
    partition_path(folder, 0).mkdir(parents=True)
    packed = (PARTITIONS / f"format-{version}.mdb.xz").read_bytes()
    (partition_path(folder, 0) / "data.mdb").write_bytes(lzma.decompress(packed))
    (folder / "format.json").write_text(json.dumps({"format": version, "partitions": 1}))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One of format 1."""
    return kept_data(tmp_path, 1)


def test_a_partition_of_format_2_is_read_whole(tmp_path: Path) -> None:
    store = open_lmdb(kept_data(tmp_path, 2))
    alice = store.locate(ACCOUNT, b"alice")
    held = OF_FORMAT_2

    assert {key: store.get(alice, key) for key in held.writes} == held.writes
    assert store.count_keys(alice, b"") == (2, None)
    assert store.alarm(alice) == held.alarm
    assert held.receipts is not None
    assert {key: store.receipt(alice, key) for key in held.receipts} == held.receipts
    assert dict(store.jobs.page(alice, b"", b"", 99)[0]) == held.jobs
    assert dict([(0, store.socket(alice, 0)), *store.sockets(alice, 0, 99)[0]]) == held.sockets
    assert (alice.live_bytes, alice.apart_bytes) == (9_012, 18_920)
    # Of another instance, which has nothing but one of each.
    lobby = store.locate(ROOM, b"lobby")
    assert (store.jobs.count(lobby), len(store.sockets(lobby, 0, 9)[0]), lobby.live_bytes) == (1, 1, 0)
    assert faults_of(store) == []
    store.close()


def test_what_is_due_in_a_partition_of_format_2_is_found_in_its_order(tmp_path: Path) -> None:
    store = open_lmdb(kept_data(tmp_path, 2))
    due = {
        pool: [(row.id, row.due_us - DUE_US) for row in store.jobs.due(pool, {}, DUE_US * 2, 9).rows] for pool in POOLS
    }

    assert store.due_alarms(DUE_US * 2, 9) == [(DUE_US, store.locate(ACCOUNT, b"alice"))]
    assert due["run"] == [(b"run-------------", 1), (b"cron------------", 2), (b"waiting---------", 4)]
    assert due["call"] == [(b"lobbys call-----", 0), (b"call------------", 3)]
    assert due["http"] == []
    assert store.jobs.parked(ACCOUNT, 9) == [(store.locate(ACCOUNT, b"alice"), b"parked----------")]
    assert [found.id for found in store.jobs.listing("abandoned", b"", 9)[0]] == [b"abandoned-------"]
    assert OF_FORMAT_2.sockets is not None
    assert {number for _, number, _ in store.socket_page(b"", 99)[0]} == {*OF_FORMAT_2.sockets, 0x3_00000001}
    store.close()


def test_a_partition_of_format_1_is_taken_over_with_all_that_it_holds(data: Path) -> None:
    store = open_lmdb(data)
    alice, bob, room = (
        store.locate(*each) for each in ((ACCOUNT, b"alice"), (ACCOUNT, "böb".encode()), (ROOM, b"lobby"))
    )
    swept = store.locate(SWEPT, b"swept")

    assert store.get(alice, b"balance") == b"70"
    assert (alice.live_bytes, alice.apart_bytes) == (21, 0)
    assert store.get(bob, b"big") == b'"' + b"x" * 9000 + b'"'
    assert store.count_keys(room, b"") == (20, None)
    assert store.count_keys(swept, b"") == (1, None)
    armed = Alarm(1_800_000_000_000_000, 0, 1_800_000_000_000_000)
    assert store.alarm(store.locate(ROOM, b"due")) == armed
    parked = Alarm(1_700_000_000_000_000, 1, 1_699_000_000_000_000, "parked", "not deployed", False, True)
    assert store.alarm(store.locate(ROOM, b"parked")) == parked
    assert store.alarm_page("abandoned", b"", 9)[0][0][1] == b"abandoned"
    assert store.has_garbage
    sweep_all(store)
    store.commit(9, [Batch(alice, Changes(receipts={b"h" * 16: Receipt(1, 200, b"f" * 16, b"7")}))])
    assert faults_of(store) == []
    store.close()


def test_once_taken_over_a_release_of_format_1_leaves_it_alone(data: Path) -> None:
    ensure_data_directory(data, 1)
    LmdbStore.open(data, [0], LIMITS).close()

    found = read_data_directory(data)
    assert found is not None
    assert found.format == FORMAT
    store = LmdbStore.open(data, [0], LIMITS)
    with store._partitions[0].env.begin() as txn:
        row = txn.get(META_KEY)
    store.close()
    assert int.from_bytes(row[:4], "little") == FORMAT


@pytest.mark.parametrize("later", [0, FORMAT + 1])
def test_another_format_is_refused_and_named(data: Path, later: int) -> None:
    row = struct.pack("<I", later) + pack_meta(Meta(0, 1, 1, 1))[4:]

    with pytest.raises(ConfigurationError, match=f"format {later}, this release reads up to format {FORMAT}"):
        unpack_meta(row, "partition x")
    (data / "format.json").write_text(json.dumps({"format": later, "partitions": 1}))
    with pytest.raises(ConfigurationError, match=f"format {later}, this release reads up to format {FORMAT}"):
        ensure_data_directory(data, 1)
