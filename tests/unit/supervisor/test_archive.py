"""The archive: any moment of what was committed, by the model of it."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import zstandard
from click.testing import CliRunner

from holdfast_host.cli.main import group
from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError, HostUnavailableError
from holdfast_host.front.routes.types_and_health import Health, InspectionRoutes
from holdfast_host.storage.archive import spool
from holdfast_host.storage.archive.frames import all_frames, read_frames, read_reached, segment_files
from holdfast_host.storage.archive.records import ArchivedBatch
from holdfast_host.storage.archive.spool import Spool, spool_files, spool_folder
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Alarm, Changes, Ending, Receipt, SocketRow
from holdfast_host.storage.transfers import Staging
from holdfast_host.supervisor.archive import folder, spool_tails
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.restoring import Moment
from holdfast_host.supervisor.archive.shipper import Shipper
from holdfast_host.supervisor.directory.restoring import BackupError
from holdfast_host.supervisor.verification import verify_directory
from holdfast_host.wire.control.protocol import HostHealth
from tests.harness.archives import LIMITS, ArchivedStore, alive, now_us

NAMES = [f"n{number}".encode() for number in range(12)]


def some_changes(chance: random.Random) -> Changes:
    """A turn's: keys written, deleted, all of them cleared."""
    writes: dict[bytes, bytes | None] = {}
    for _ in range(chance.randrange(1, 6)):
        key = b"k%d" % chance.randrange(20)
        writes[key] = None if chance.random() < 0.3 else chance.randbytes(chance.randrange(1, 200))
    size = sum(len(key) + len(value or b"") for key, value in writes.items())
    return Changes(writes, cleared=chance.random() < 0.1, size_bytes=size)


def some_commits(archived: ArchivedStore, chance: random.Random, count: int) -> None:
    for _ in range(count):
        names = chance.sample(NAMES, chance.randrange(1, 4))
        archived.commit(*((1, name, some_changes(chance)) for name in names))


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


def test_a_worker_killed_between_commit_and_word_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    monkeypatch.setattr(Spool, "confirm", lambda *_: None)
    archived.put(b"a", n=b"committed")
    archived.store.close()
    monkeypatch.undo()
    archived.open()
    archived.put(b"b", n=b"1")
    archived.ship()

    assert archived.restored(tmp_path / "restored") == alive(archived.state)
    assert archived.shipper._state is not None
    assert archived.shipper._state.gap_us < archived.history[1][0], "and there is no gap"


def test_a_worker_killed_before_the_commit_leaves_no_trace_of_it(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    archived.put(b"a", n=b"1")
    archived.store._partitions[0].spool.append(archived.group + 1, [ArchivedBatch(1, b"a", {b"n": b"never"}, 6)])  # type: ignore[union-attr]
    archived.store.close()
    archived.open()
    archived.put(b"b", n=b"1")
    archived.ship()

    assert archived.restored(tmp_path / "restored") == alive(archived.state)


def test_without_the_word_a_commit_that_never_was_would_be_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_that_is_there(path: Path) -> spool.SpoolHead | None:
        head = spool.read_head(path)
        return None if head is None else head._replace(confirmed=path.stat().st_size)

    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    archived.put(b"a", n=b"1")
    assert archived.store._partitions[0].spool is not None
    archived.store._partitions[0].spool.append(archived.group + 1, [ArchivedBatch(1, b"a", {b"n": b"never"}, 6)])
    archived.ship()
    assert archived.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"1"}}

    monkeypatch.setattr(spool_tails, "read_head", all_that_is_there)
    archived.ship()
    archived.shipper._state.said_at = float("-inf")  # type: ignore[union-attr]
    archived.ship()
    assert archived.restored(tmp_path / "mutant") == {(1, b"a"): {b"n": b"never"}}


def test_after_a_power_cut_that_took_the_spools_end_the_moments_that_are_lost_are_refused(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    archived.put(b"a", n=b"1")
    known_us = now_us()
    archived.ship()
    archived.put(b"a", n=b"2")
    archived.store.close()
    file = spool_files(spool_folder(archived.data, 0))[-1]
    archived.shipper.close()
    cut = file.stat().st_size - 3
    with file.open("r+b") as opened:
        opened.truncate(cut)
    archived.open()
    archived.put(b"a", n=b"3")
    archived.ship()
    lost_us = now_us()

    assert archived.restored(tmp_path / "known", Moment(known_us)) == {(1, b"a"): {b"n": b"1"}}
    with pytest.raises(BackupError, match="it lacks what partition 0 committed between"):
        archived.restored(tmp_path / "lost", Moment(min(lost_us, reached_us(archived))))
    assert archived.shipper._state is not None
    assert archived.shipper._state.gap_us > archived.shipper._state.base_us, "another base is wanted"
    archived.base()
    archived.put(b"a", n=b"4")
    archived.ship()
    assert archived.restored(tmp_path / "again") == {(1, b"a"): {b"n": b"4"}}


def test_a_power_cut_that_took_a_spools_head_is_a_gap_too(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    archived.put(b"a", n=b"1")
    archived.store.close()
    [*_, file] = spool_files(spool_folder(archived.data, 0))
    file.write_bytes(b"")
    archived.open()
    archived.put(b"a", n=b"2")
    archived.ship()
    with pytest.raises(BackupError, match="it lacks what partition 0 committed between"):
        archived.restored(tmp_path / "lost")
    archived.base()
    archived.put(b"a", n=b"3")
    archived.ship()

    assert archived.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"3"}}


def reached_us(archived: ArchivedStore) -> int:
    found = read_reached(archived.root)
    assert found is not None
    return found.at_us


def test_a_target_that_is_gone_costs_no_commit_and_is_caught_up_with(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    away = tmp_path / "away"
    archived.root.rename(away)
    for number in range(20):
        archived.put(b"n%d" % number, n=b"1")
        assert not archived.shipper.ship()
    assert "has no archive.json any more: mount it" in archived.shipper.failure
    assert archived.shipper.measures()["waiting_bytes"] > 0
    assert not archived.root.exists(), "nothing is written where a disk is to be mounted"
    away.rename(archived.root)

    archived.ship()

    assert archived.shipper.failure == ""
    assert archived.shipper.measures()["waiting_bytes"] == 0
    assert archived.restored(tmp_path / "restored") == alive(archived.state)


@pytest.mark.parametrize("fault", ["full", "short", "sync"])
def test_a_target_that_fails_is_written_again_from_where_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It is full, takes a part of a frame, or says after the write that it may not be there."""
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    archived.put(b"a", n=b"1")
    archived.ship()
    archived.put(b"a", n=b"2")
    with monkeypatch.context() as patched:
        patched.setattr(folder, "append_durably", _failing(fault))
        assert not archived.shipper.ship()
        assert not archived.shipper.ship()
    assert archived.shipper.failure
    archived.put(b"b", n=b"3")

    archived.ship()

    assert archived.restored(tmp_path / "restored") == alive(archived.state)


def _failing(fault: str) -> Callable[[Path, bytes], None]:
    def append(path: Path, text: bytes) -> None:
        kept = {"full": 0, "short": len(text) // 2, "sync": len(text)}[fault]
        with path.open("ab") as file:
            file.write(text[:kept])
        raise OSError(errno.EIO if fault == "sync" else errno.ENOSPC, os.strerror(errno.ENOSPC))

    return append


def test_an_archive_that_is_damaged_says_where_and_restores_nothing(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    for number in range(3):
        archived.put(b"a", n=b"%d" % number)
        archived.ship()
        assert archived.shipper._state is not None
        archived.shipper._state.kept.end_segment()
    *_, middle, last = segment_files(archived.root)
    whole = last.read_bytes()

    for content, sentence in (
        (whole[:-1], "the frame at byte 0 of .* is cut short"),
        (whole[:-9] + b"x" + whole[-8:], "the frame at byte 0 of .* is damaged: its checksum is another one"),
        (b"nonsense" * 40, "is damaged: it does not begin as one"),
        (b"", "it ends before frame .*, which it had: a segment was cut short, or is gone"),
    ):
        last.write_bytes(content)
        with pytest.raises(BackupError, match=sentence):
            archived.restored(tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
    last.write_bytes(whole)
    middle.unlink()
    with pytest.raises(BackupError, match=r"frame \d+ is missing before"):
        archived.restored(tmp_path / "restored")


def test_a_base_that_is_damaged_says_so(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.put(b"a", n=b"1")
    archived.base()
    archived.put(b"a", n=b"2")
    archived.ship()
    [part] = archived.root.glob("bases/*/parts-*")
    part.write_bytes(zstandard.compress(b"another one"))

    with pytest.raises(BackupError, match="is damaged: it is not what the host had"):
        archived.restored(tmp_path / "restored")
    part.unlink()
    with pytest.raises(BackupError, match="is missing"):
        archived.restored(tmp_path / "restored")


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


@pytest.mark.limit("archive_spool_bytes_max")
def test_a_spool_that_is_full_stops_and_goes_on_with_the_next_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "FILE_BYTES", 1000)
    archived = ArchivedStore.make(tmp_path, partitions=1, limits=LIMITS.replace(archive_spool_bytes_max=8000))
    archived.base()
    away = tmp_path / "away"
    archived.root.rename(away)
    for number in range(200):
        archived.put(b"a", n=b"%d" % number)
    assert sum(file.stat().st_size for file in spool_files(spool_folder(archived.data, 0))) < 9200
    away.rename(archived.root)
    archived.ship()
    archived.ship()
    stopped_us = reached_us(archived)

    assert archived.shipper.lag_s > 0
    archived.put(b"a", n=b"100")
    archived.ship()
    assert reached_us(archived) == stopped_us, "it does not say that it has what it lacks"
    archived.base()
    archived.put(b"a", n=b"101")
    archived.ship()
    assert archived.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"101"}}
    with pytest.raises(BackupError, match="it lacks what partition 0 committed between"):
        archived.restored(tmp_path / "lost", Moment(archived.history[-3][1]))


def test_a_data_directory_that_is_full_costs_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("holdfast_host.storage.archive.spool.os.pwrite", full)
        archived.put(b"a", n=b"1")
    archived.put(b"a", n=b"2")
    archived.ship()
    archived.base()
    archived.ship()
    archived.put(b"a", n=b"3")
    archived.ship()

    assert archived.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"3"}}


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


def test_two_hosts_do_not_ship_into_one_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = ArchivedStore.make(tmp_path / "one"), ArchivedStore.make(tmp_path / "two")
    first.base()
    second.root = first.root
    second.new_shipper()

    assert not second.shipper.ship()
    assert "another host ships into" in second.shipper.failure
    first.shipper.close()
    second.base()
    second.put(b"a", n=b"2")
    second.ship()
    assert second.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"2"}}


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


def test_a_lost_file_of_a_spool_is_not_taken_for_the_one_that_gets_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may take its name too, and the archive was out of reach until the next one was longer."""
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.put(b"a", n=b"0")
    archived.base()
    archived.put(b"a", n=b"1")
    archived.ship()
    archived.store.close()
    kept = spool_files(spool_folder(archived.data, 0))
    with monkeypatch.context() as patched:
        patched.setattr("holdfast_host.supervisor.archive.shipper.drop_read", lambda *_: None)
        archived.open()
        for number in range(3):
            archived.put(b"a", n=b"%d" % number)
        archived.ship()
    archived.store.close()
    lost = spool_files(spool_folder(archived.data, 0))[-1]
    assert lost not in kept
    lost.unlink()
    archived.open()
    assert lost.exists(), "the number is given again"
    for number in range(5, 8):
        archived.put(b"a", n=b"%d" % number)
    archived.ship()

    with pytest.raises(BackupError, match="it lacks what partition 0 committed between"):
        archived.restored(tmp_path / "lost")
    archived.base()
    archived.put(b"a", n=b"9")
    archived.ship()
    assert archived.restored(tmp_path / "again") == {(1, b"a"): {b"n": b"9"}}


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


def test_a_frame_that_is_missing_within_a_segment_is_refused(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    for number in range(3):
        archived.put(b"%d" % number, n=b"1")
        archived.ship()
    [segment] = segment_files(archived.root)
    ends = [frame.end for frame in read_frames(segment)]
    text = segment.read_bytes()
    segment.write_bytes(text[: ends[-3]] + text[ends[-2] :])

    with pytest.raises(BackupError, match=r"frame \d+ is missing before frame \d+ of 0+1\.segment"):
        archived.restored(tmp_path / "restored")


def test_what_the_shipper_removes_while_a_spool_is_measured_fails_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "FILE_BYTES", 500)
    archived = ArchivedStore.make(tmp_path, partitions=1)
    listed = spool.spool_files
    monkeypatch.setattr(spool, "spool_files", lambda folder: [*listed(folder), folder / "99"])

    for number in range(20):
        archived.put(b"a", n=b"%d" % number)
    monkeypatch.undo()

    assert len(spool_files(spool_folder(archived.data, 0))) > 2


def test_a_spool_without_descriptors_for_its_next_file_says_that_it_has_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "FILE_BYTES", 100)
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()

    def too_many(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr("holdfast_host.storage.archive.spool.os.open", too_many)
        patched.setattr("io.open", too_many)
        archived.put(b"a", n=b"1")
    archived.put(b"a", n=b"2")
    stopped_us = now_us()
    archived.ship()

    assert reached_us(archived) < stopped_us, "it does not say that it has what it lacks"


def test_a_base_that_fails_again_and_again_is_said_and_tried_ever_more_rarely(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    log = Mock()
    shipper = Shipper(archived.layout, archived.root, 0.0, log)
    for _ in range(14):
        shipper.note_base_failed(OSError("no room"))
    assert not log.warning.called, "workers may be starting"
    for _ in range(40):
        shipper.note_base_failed(OSError("no room"))

    assert [each.kwargs["again_s"] for each in log.warning.call_args_list][:4] == [1.0, 2.0, 4.0, 8.0]
    assert log.warning.call_args.kwargs == {"error": "no room", "again_s": 600.0}


def test_what_is_committed_after_the_clock_was_set_back_is_in_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was wrong by years for a moment: a partition keeps the latest time, and nothing waits until then."""
    clock, ahead_us = time.time_ns, 0
    monkeypatch.setattr(time, "time_ns", lambda: clock() + ahead_us * 1000)
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    ahead_us = 9 * 365 * 86_400_000_000
    archived.put(b"a", n=b"ahead")
    archived.ship()
    ahead_us = 0
    for number in range(9):
        archived.put(b"n%d" % number, n=b"1")
        archived.ship()
    archived.put(b"a", n=b"back")
    archived.store.close()
    archived.open()
    archived.ship()
    archived.ship()

    assert archived.shipper.measures()["waiting_bytes"] == 0
    assert archived.restored(tmp_path / "restored") == alive(archived.state)
    archived.base()
    archived.put(b"a", n=b"later")
    archived.ship()
    state = archived.shipper._state
    assert state is not None
    assert state.base_us >= state.gap_us, "and no base after base is made"
    assert archived.restored(tmp_path / "again") == alive(archived.state)
    assert archived.shipper.complaint == ""
    archived.root.rename(tmp_path / "away")
    archived.put(b"a", n=b"waits")
    assert not archived.shipper.ship()
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 35)
    assert archived.shipper.complaint.startswith("the archive is 3")


def test_no_frame_has_what_may_depend_on_a_later_one_also_when_much_has_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition may have more than a frame takes, and another one all of it."""
    monkeypatch.setattr("holdfast_host.supervisor.archive.spool_tails._ROUND_BYTES", 500)
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    for number in range(60):
        archived.put(b"n1" if number % 4 else NAMES[number // 4 % len(NAMES)], n=b"%d" % number)
    for _ in range(60):
        archived.ship()

    frames = [frame for frame in all_frames(archived.root) if frame.head.kind == "records" and frame.records()]
    times = [[record.at_us for _, record in frame.records()] for frame in frames]
    assert len({number for frame in frames for number, _ in frame.records()}) == 2
    assert len(times) > 5
    assert [each for frame in times for each in frame] == sorted(each for frame in times for each in frame)
    assert archived.shipper.measures()["waiting_bytes"] == 0
    assert archived.restored(tmp_path / "restored") == alive(archived.state)


def test_what_follows_a_damaged_frame_is_kept_aside_where_a_host_goes_on(tmp_path: Path) -> None:
    """A torn end is cut off; whole frames behind a damaged one are all that there is of what they hold."""
    archived = ArchivedStore.make(tmp_path, partitions=1)
    archived.base()
    for number in range(5):
        archived.put(b"a", n=b"%d" % number)
        archived.ship()
    [segment] = segment_files(archived.root)
    ends = [frame.end for frame in read_frames(segment)]
    text = bytearray(segment.read_bytes())
    text[ends[-3] - 1] ^= 1
    segment.write_bytes(text)
    archived.store.close()
    archived.open()
    archived.put(b"a", n=b"5")
    archived.ship()

    assert segment.with_suffix(".damaged").read_bytes() == text
    assert archived.restored(tmp_path / "restored") == alive(archived.state), "the spool still has them"
