"""What earlier formats wrote is taken over by the first open, and read for ever."""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path

import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import ensure_data_directory, partition_path, read_data_directory
from holdfast_host.storage.lmdb.keys import FORMAT, META_KEY, Meta, pack_meta, unpack_meta
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Alarm, Batch, Changes, Receipt
from tests.harness.partitions import faults_of, sweep_all
from tests.unit.storage.conftest import LIMITS, open_lmdb

FORMAT_1 = Path(__file__).parents[2] / "fixtures" / "partitions" / "format-1.mdb.xz"
ACCOUNT, ROOM, SWEPT = 7, 8, 9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory as a release of format 1 left it."""
    partition_path(tmp_path, 0).mkdir(parents=True)
    (partition_path(tmp_path, 0) / "data.mdb").write_bytes(lzma.decompress(FORMAT_1.read_bytes()))
    (tmp_path / "format.json").write_text('{"format": 1, "partitions": 1}')
    return tmp_path


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
