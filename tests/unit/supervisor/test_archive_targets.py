"""An archive whose target goes away, fails or fills, and one that is damaged or of two hosts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import zstandard

from holdfast_host.storage.archive.frames import all_frames, read_frames, segment_files
from holdfast_host.supervisor.archive import folder
from holdfast_host.supervisor.archive.shipper import Shipper
from holdfast_host.supervisor.directory.restoring import BackupError
from tests.harness.archives import NAMES, ArchivedStore, alive


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


def test_a_base_that_fails_again_and_again_is_said_and_tried_ever_more_rarely(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path, partitions=1)
    log = Mock()
    shipper = Shipper(archived.layout, archived.root, 0.0, log)
    for _ in range(14):
        shipper.note_base_failed(OSError("no room"))
    assert not log.warning.called, "workers may be starting"
    early = shipper.complaint, shipper.measures()["base_failing"]
    for _ in range(40):
        shipper.note_base_failed(OSError("no room"))

    assert [each.kwargs["again_s"] for each in log.warning.call_args_list][:4] == [1.0, 2.0, 4.0, 8.0]
    assert log.warning.call_args.kwargs == {"error": "no room", "again_s": 600.0}
    assert early == ("", False)
    assert shipper.complaint == "the archive gets no new base: no room", "which readiness says"
    assert shipper.measures()["base_failing"]
    shipper.note_base(1)
    assert (shipper.complaint, shipper.measures()["base_failing"]) == ("", False)


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
