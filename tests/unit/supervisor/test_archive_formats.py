"""What earlier releases archived is restored for ever."""

from __future__ import annotations

import tarfile
from pathlib import Path

from holdfast_host.storage.archive.spool import HEAD_BYTES, read_confirmed, read_head, spool_files
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Changes
from holdfast_host.supervisor.archive.restoring import Moment, restore_archive
from tests.harness.archives import LIMITS
from tests.unit.storage.test_formats import OF_FORMAT_2

ARCHIVES = Path(__file__).parents[2] / "fixtures" / "archives"
ROOM = 7
BEFORE = Changes({b"balance": b"1", b"gone": b"x"}, size_bytes=13)
CLEARED = Changes({b"k": b"v"}, cleared=True, size_bytes=2)


def test_an_archive_of_format_1_is_restored_and_its_spool_is_read(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVES / "format-1.tar.xz") as kept:
        kept.extractall(tmp_path, filter="data")

    facts = restore_archive(tmp_path / "archive", tmp_path / "data", Moment())

    assert facts.commits == 2
    store = LmdbStore.open(tmp_path / "data", [0], LIMITS, make=False)
    alice, room = store.locate(ROOM, b"alice"), store.locate(ROOM, b"room")
    assert {key: store.get(alice, key) for key in OF_FORMAT_2.writes} == OF_FORMAT_2.writes
    assert store.get(alice, b"gone") == b"x"
    assert store.alarm(alice) == OF_FORMAT_2.alarm
    assert OF_FORMAT_2.receipts is not None
    assert OF_FORMAT_2.jobs is not None
    assert OF_FORMAT_2.sockets is not None
    assert {key: store.receipt(alice, key) for key in OF_FORMAT_2.receipts} == OF_FORMAT_2.receipts
    assert {key: store.jobs.get(alice, key) for key in OF_FORMAT_2.jobs} == OF_FORMAT_2.jobs
    assert {key: store.socket(alice, key) for key in OF_FORMAT_2.sockets} == OF_FORMAT_2.sockets
    assert (store.get(room, b"k"), store.get(room, b"old")) == (b"v", None)
    store.close()
    [file] = spool_files(tmp_path / "spool")
    head = read_head(file)
    assert head is not None
    records = [record for record, _ in read_confirmed(file, HEAD_BYTES, head.confirmed, 1 << 20)]
    assert [(record.group, record.previous) for record in records] == [(4, 3), (5, 4)]
    assert [[each.changes() for each in record.unpack()] for record in records] == [[OF_FORMAT_2], [CLEARED]]
