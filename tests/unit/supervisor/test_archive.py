"""The archive: any moment of what was committed, by the model of it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from holdfast_host.cli.main import group
from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError, HostUnavailableError
from holdfast_host.front.routes.types_and_health import Health, InspectionRoutes
from holdfast_host.storage.archive import spool
from holdfast_host.storage.archive.frames import segment_files
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Alarm, Changes, Ending, Receipt, SocketRow
from holdfast_host.storage.transfers import Staging
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.restoring import Moment
from holdfast_host.supervisor.archive.shipper import Shipper
from holdfast_host.supervisor.directory.restoring import BackupError
from holdfast_host.supervisor.verification import verify_directory
from holdfast_host.wire.control.protocol import HostHealth
from tests.harness.archives import LIMITS, NAMES, ArchivedStore, alive, now_us, reached_us, some_commits


@pytest.mark.slow
def test_any_moment_that_was_acknowledged_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through workers and supervisors that start anew, bases between, and spools of many files."""
    monkeypatch.setattr(spool, "FILE_BYTES", 4096)
    chance = random.Random(15)
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    begin_us = now_us()
    for number in range(30):
        some_commits(archived, chance, 20)
        archived.ship()
        if number % 10 == 4:
            archived.base()
        if number % 7 == 3:
            archived.store.close()
            archived.open()
    end_us = now_us()
    some_commits(archived, chance, 1)
    archived.ship()
    moments = [chance.randrange(begin_us, end_us) for _ in range(50)]

    for number, at_us in enumerate(moments):
        found = archived.restored(tmp_path / f"restored{number}", Moment(at_us))

        acknowledged, *under_way = archived.at(at_us)
        for name in NAMES:  # a group is one commit in each partition
            possible = [state.get((1, name)) for state in (acknowledged, *under_way)]
            assert found.get((1, name)) in possible, (at_us, name)
    assert archived.restored(tmp_path / "last") == alive(archived.state)
    faults = [fault for each in verify_directory(tmp_path / "last") for fault in each.faults]
    assert [fault for fault in faults if "that the registry never numbered" not in fault] == []


def test_a_group_is_a_moment_too(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    for number in range(5):
        archived.put(b"a", n=b"%d" % number)
    archived.ship()

    assert archived.restored(tmp_path / "third", Moment(group=archived.group - 2)) == {(1, b"a"): {b"n": b"2"}}
    with pytest.raises(BackupError, match="it has no group 99 of partition 0"):
        archived.restored(tmp_path / "none", Moment(group=99))


def test_alarms_jobs_receipts_and_sockets_come_back_with_the_keys(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    alarm = Alarm(5_000_000, retry_count=2, scheduled_us=4, state="retrying", last_error="x", begun=True)
    job_id, job = new_id("k"), Job("call", 7, key="k", facts=b'{"a":1}', tries=1)
    receipt = Receipt(2_000_000_000, 200, bytes(16), b"done")
    socket = SocketRow(9, tags=b"\0t\0", attachment=b"1", ending=Ending(1000, "bye", clean=True))
    writes: dict[bytes, bytes | None] = {b"k": b"v"}
    changes = Changes(
        writes, alarm=alarm, alarm_changed=True, receipts={b"h" * 16: receipt}, jobs={job_id: job}, sockets={3: socket}
    )
    archived.commit((1, b"a", changes))
    archived.ship()

    archived.restored(tmp_path / "restored")

    store = LmdbStore.open(tmp_path / "restored", [0], LIMITS, make=False)
    found = store.locate(1, b"a")
    assert store.alarm(found) == alarm
    assert store.receipt(found, b"h" * 16) == receipt
    assert store.socket(found, 3) == socket
    assert store.jobs.get(found, job_id) == job
    assert (found.live_bytes, found.apart_bytes) == (2, archived.store.locate(1, b"a").apart_bytes)
    store.close()


def test_an_import_comes_back_whole_from_the_moment_of_its_adoption_on(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.put(b"a", old=b"0")
    archived.base()
    alice = archived.store.locate(1, b"a")
    import_id = archived.store.begin_import(alice)
    for number in range(3):
        archived.commit((1, b"a", Changes(staging=Staging(import_id, {b"k%d" % number: b"v"}))))
    adopted = Changes(
        staging=Staging(import_id, {}, adopts=True), cleared=True, erased=True, alarm=Alarm(7), alarm_changed=True
    )
    archived.commit((1, b"a", adopted))
    archived.put(b"a", k0=b"later")
    archived.ship()

    before = archived.restored(tmp_path / "before", Moment(group=archived.group - 2))
    whole = archived.restored(tmp_path / "whole")

    assert before == {(1, b"a"): {b"old": b"0"}}
    assert whole == {(1, b"a"): {b"k0": b"later", b"k1": b"v", b"k2": b"v"}}
    store = LmdbStore.open(tmp_path / "whole", [0], LIMITS, make=False)
    assert store.alarm(store.locate(1, b"a")) == Alarm(7)
    store.close()


def test_an_import_that_a_base_comes_between_ends_and_says_so(tmp_path: Path) -> None:
    """Its end alone, behind the base, would make an instance of half of it."""
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    alice = archived.store.locate(1, b"a")
    import_id = archived.store.begin_import(alice)
    archived.commit((1, b"a", Changes(staging=Staging(import_id, {b"k": b"v"}))))

    archived.base()

    with pytest.raises(HostUnavailableError, match="begin again"):
        archived.store.staged_keys(alice, import_id)


def test_moments_that_an_archive_does_not_have_are_refused_by_name(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path)
    with pytest.raises(BackupError, match=r"is no archive: it has no archive\.json"):
        archived.restored(tmp_path / "restored")
    archived.ship()
    with pytest.raises(BackupError, match="it has no base yet"):
        archived.restored(tmp_path / "restored")
    before_us = now_us()
    archived.base()
    archived.put(b"a", n=b"1")
    archived.ship()
    with pytest.raises(BackupError, match=r"it begins with .*Z, after "):
        archived.restored(tmp_path / "restored", Moment(before_us))
    with pytest.raises(BackupError, match=r"it reaches until .*Z, before "):
        archived.restored(tmp_path / "restored", Moment(now_us() + 1_000_000))
    (archived.root / "archive.json").write_text('{"format": 2}')
    with pytest.raises(BackupError, match="has format 2, this release reads format 1"):
        archived.restored(tmp_path / "restored")


def test_readiness_says_how_late_the_archive_is_and_why_and_stays_as_it_is(tmp_path: Path) -> None:
    later_us = 0
    archived = ArchivedStore.make(tmp_path)
    archived.shipper = Shipper(archived.layout, archived.root, 0.0, Mock(), now_us=lambda: now_us() + later_us)
    archived.ship()
    assert archived.shipper.complaint == ""
    archived.root.rename(tmp_path / "away")
    archived.put(b"a", n=b"1")
    for _ in range(2):
        assert not archived.shipper.ship()
    later_us = 35_000_000
    health = Health([])
    health.update(HostHealth([True], archive=archived.shipper.complaint))

    health.check()

    assert health.archive.startswith(("the archive is 35 s behind: ", "the archive is 36 s behind: "))
    assert "has no archive.json any more" in health.archive
    answer = asyncio.run(InspectionRoutes(Mock(), health, Mock())._readiness(Mock(), (), ""))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("archive", "keep", "said"),
    [
        ("data/archive", None, "--archive data/archive: name a folder outside of the data directory"),
        (".", None, "--archive .: name a folder outside of the data directory"),
        ("file", None, "--archive file is a file; name a folder"),
        ("archive", "30", "--archive-keep '30' is no time, as '30d' or '12h'"),
        ("archive", "0d", "--archive-keep '0d' is no time"),
        (None, "30d", "--archive-keep 30d is for an archive: give --archive too"),
    ],
)
def test_an_archive_that_cannot_be_is_refused_at_the_start(
    archive: str | None, keep: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ConfigurationError) as refused:
        HostConfig.make(data="data", archive=archive, archive_keep=keep)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.tar"], "Name a backup's FILE and DIR, or --from ARCHIVE and DIR"),
        (["a.tar", "data", "--at", "10m"], "--at and --group are for an archive: give --from too"),
        (["--from", "archive", "data", "more"], "Name a backup's FILE and DIR, or --from ARCHIVE and DIR"),
        (["--from", "archive", "--at", "10m", "--group", "3", "data"], "each name a moment: leave one of them out"),
        (["--from", "archive", "--group", "x", "data"], "--group 'x' is no commit: write N, or P:N"),
        (["--from", "archive", "data"], "Nothing was restored: archive is no archive: it has no archive.json."),
    ],
)
def test_restore_says_what_it_needs(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, ["restore", *words])
    assert done.exit_code != 0
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "data").exists()


def test_what_is_older_than_asked_goes_with_what_only_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.ship()
    for number in range(3):
        archived.base()
        archived.put(b"a", n=b"%d" % number)
        archived.ship()
        assert archived.shipper._state is not None
        archived.shipper._state.kept.end_segment()
    bases = read_bases(archived.root)
    (archived.root / "components" / f"{'0' * 64}.wasm.zst").write_bytes(b"old")
    os.utime(archived.root / "components" / f"{'0' * 64}.wasm.zst", (1, 1))
    segments = len(segment_files(archived.root))

    assert archived.shipper._state is not None
    assert archived.shipper._state.kept.prune(bases[1].created_us + 1) > 0

    assert read_bases(archived.root) == bases[1:]
    assert len(segment_files(archived.root)) < segments
    assert not [*(archived.root / "components").iterdir()]
    assert archived.restored(tmp_path / "restored", Moment(bases[2].created_us)) == {(1, b"a"): {b"n": b"1"}}
    with pytest.raises(BackupError, match="it begins with"):
        archived.restored(tmp_path / "gone", Moment(bases[1].created_us - 1))


def test_a_data_directory_that_was_put_back_gets_a_base_of_what_it_holds(tmp_path: Path) -> None:
    """As a snapshot of its disk: it says that it is the archive's, and has another history from there on."""
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.put(b"a", n=b"old")
    archived.ship()
    archived.store.close()
    archived.shipper.close()
    shutil.copytree(archived.data, tmp_path / "snapshot")
    archived.open()
    archived.base()
    for number in range(9):
        archived.put(b"a", n=b"%d" % number)
    archived.base()
    archived.ship()
    archived.store.close()
    archived.shipper.close()
    shutil.rmtree(archived.data)
    (tmp_path / "snapshot").rename(archived.data)
    archived.open()
    archived.put(b"b", n=b"1")
    archived.ship()

    with pytest.raises(BackupError, match="it lacks what partition 0 committed between"):
        archived.restored(tmp_path / "lost")
    state = archived.shipper._state
    assert state is not None
    assert state.gap_us > state.base_us, "another base is wanted"
    archived.base()
    archived.put(b"b", n=b"2")
    archived.ship()
    assert archived.restored(tmp_path / "again") == {(1, b"a"): {b"n": b"old"}, (1, b"b"): {b"n": b"2"}}


def test_what_a_second_data_directory_did_before_its_first_base_is_refused_and_not_left_out(tmp_path: Path) -> None:
    """As where one is restored beside a host, and then takes over its archive."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = ArchivedStore.make(tmp_path / "one", partitions=1)
    first.base()
    first.put(b"a", n=b"1")
    first.ship()
    known_us = reached_us(first)
    first.shipper.close()
    second = ArchivedStore.make(tmp_path / "two", partitions=1)
    second.root = first.root
    second.new_shipper()
    second.put(b"a", n=b"2")
    second.ship()

    with pytest.raises(BackupError, match="it is of another data directory, of which it has no base before"):
        second.restored(tmp_path / "lost")
    assert first.restored(tmp_path / "known", Moment(known_us)) == {(1, b"a"): {b"n": b"1"}}
    second.base()
    second.put(b"a", n=b"3")
    second.ship()
    assert second.restored(tmp_path / "again") == {(1, b"a"): {b"n": b"3"}}
