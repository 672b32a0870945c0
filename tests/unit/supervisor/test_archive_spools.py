"""What a worker writes beside its commits for the archive: through kills, power cuts and full disks."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from holdfast_host.storage.archive import spool
from holdfast_host.storage.archive.records import ArchivedBatch
from holdfast_host.storage.archive.spool import Spool, spool_files, spool_folder
from holdfast_host.supervisor.archive import spool_tails
from holdfast_host.supervisor.archive.restoring import Moment
from holdfast_host.supervisor.directory.restoring import BackupError
from tests.harness.archives import LIMITS, ArchivedStore, alive, now_us, reached_us


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
