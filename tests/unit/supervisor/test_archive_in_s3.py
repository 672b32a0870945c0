"""An archive in a bucket: what holds of one in a folder, and what only a service of S3 can do wrong."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import zstandard

from holdfast_host.storage.archive import s3, spool
from holdfast_host.storage.archive.changes import ChangeReader, Position
from holdfast_host.storage.archive.frames import REACHED, read_reached, segment_files
from holdfast_host.storage.archive.roots import archive_root
from holdfast_host.storage.archive.s3 import BucketPath
from holdfast_host.supervisor.archive import base_maker
from holdfast_host.supervisor.archive import bucket as shelf
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.restoring import Moment
from holdfast_host.supervisor.directory.restoring import BackupError
from tests.harness.archives import NAMES, ArchivedStore, alive, now_us, some_commits
from tests.harness.s3 import S3Bucket


def archived_in(bucket: S3Bucket, folder: Path, partitions: int = 1) -> ArchivedStore:
    return ArchivedStore.make(folder, partitions, bucket=bucket.root())


def made_two(bucket: S3Bucket, folder: Path) -> ArchivedStore:
    """A base, and a commit behind it."""
    archived = archived_in(bucket, folder)
    archived.put(b"a", n=b"1")
    archived.base()
    archived.put(b"a", n=b"2")
    archived.ship()
    return archived


def test_any_moment_comes_back_from_a_bucket(bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through workers and supervisors that start anew, bases between, and segments of a few frames."""
    monkeypatch.setattr(spool, "FILE_BYTES", 4096)
    monkeypatch.setattr(shelf, "REWRITTEN_BYTES_MAX", 6_000)
    chance = random.Random(15)
    archived = archived_in(bucket, tmp_path, partitions=2)
    archived.base()
    begin_us = now_us()
    for number in range(10):
        some_commits(archived, chance, 10)
        archived.ship()
        if number % 5 == 4:
            archived.base()
        if number % 4 == 3:
            archived.store.close()
            archived.open()
    end_us = now_us()
    some_commits(archived, chance, 1)
    archived.ship()

    for number, at_us in enumerate(chance.randrange(begin_us, end_us) for _ in range(6)):
        found = archived.restored(tmp_path / f"restored{number}", Moment(at_us))
        acknowledged, *under_way = archived.at(at_us)
        for name in NAMES:
            possible = [state.get((1, name)) for state in (acknowledged, *under_way)]
            assert found.get((1, name)) in possible, (at_us, name)
    assert archived.restored(tmp_path / "last") == alive(archived.state)
    assert len(segment_files(bucket.root())) > 2
    assert len(read_bases(bucket.root())) == 3


def test_a_large_file_of_a_base_goes_in_parts(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PART_BYTES", 5 << 20)
    archived = archived_in(bucket, tmp_path)
    for number in range(12):
        archived.put(b"%d" % number, n=random.Random(number).randbytes(1 << 20))
    archived.base()
    archived.ship()

    assert archived.restored(tmp_path / "restored") == alive(archived.state)


def test_a_service_that_refuses_costs_no_commit_and_is_caught_up_with(bucket: S3Bucket, tmp_path: Path) -> None:
    archived = archived_in(bucket, tmp_path)
    archived.base()
    with bucket.service.failing(refuse=503):
        for number in range(5):
            archived.put(b"n%d" % number, n=b"1")
        assert not archived.shipper.ship()
    assert "the service fails for now (ServiceUnavailable)" in archived.shipper.failure
    assert archived.shipper.measures()["waiting_bytes"] > 0

    archived.ship()

    assert archived.shipper.failure == ""
    assert archived.shipper.measures()["waiting_bytes"] == 0
    assert archived.restored(tmp_path / "restored") == alive(archived.state)


def test_a_service_that_takes_all_and_keeps_nothing_is_found_out(bucket: S3Bucket, tmp_path: Path) -> None:
    archived = made_two(bucket, tmp_path)
    archived.shipper.close()
    archived.new_shipper()
    with bucket.service.failing(lose="segments/"):
        archived.put(b"a", n=b"lost")
        archived.ship()

    with pytest.raises(
        BackupError, match=r"it ends before frame .*, which it had: a segment was cut short, or is gone"
    ):
        archived.restored(tmp_path / "restored")


def test_a_frame_that_was_given_up_and_arrives_late_writes_over_nothing(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service had it whole when its answer was lost, and puts it once the next ones are there."""
    late: list[tuple[BucketPath, bytes, str | None]] = []
    put = BucketPath.put

    def give_up(self: BucketPath, content: bytes, *, expected: str | None = None) -> str:
        if "segments" in self.at:
            late.append((self, content, expected))
            raise OSError("no answer")
        return put(self, content, expected=expected)

    archived = made_two(bucket, tmp_path)
    archived.put(b"a", n=b"3")
    with monkeypatch.context() as patched:
        patched.setattr(BucketPath, "put", give_up)
        assert not archived.shipper.ship()
    archived.put(b"a", n=b"4")
    archived.ship()
    [(path, content, expected)] = late
    with pytest.raises(OSError, match="it is not what it was"):
        put(path, content, expected=expected)

    assert archived.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"4"}}
    put(path, content)
    assert archived.restored(tmp_path / "mutant") == {(1, b"a"): {b"n": b"3"}}, "without the condition one is lost"


def test_a_frame_whose_answer_was_lost_counts_once(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks again, and the service says that the object has changed: by the first time."""
    archived = made_two(bucket, tmp_path)
    put = BucketPath.put

    def twice(self: BucketPath, content: bytes, *, expected: str | None = None) -> str:
        put(self, content, expected=expected)
        return put(self, content, expected=expected)

    archived.put(b"a", n=b"3")
    with monkeypatch.context() as patched:
        patched.setattr(BucketPath, "put", twice)
        archived.ship()
    archived.put(b"a", n=b"4")
    archived.ship()

    assert archived.restored(tmp_path / "restored") == {(1, b"a"): {b"n": b"4"}}


def test_a_second_host_on_the_same_prefix_is_refused_until_the_first_is_gone(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = made_two(bucket, tmp_path / "one")
    second = archived_in(bucket, tmp_path / "two")
    second.put(b"a", n=b"other")
    assert not second.shipper.ship()
    assert "another host ships into s3://" in second.shipper.failure

    monkeypatch.setattr(shelf, "HELD_S", 0.0)
    second.ship()

    first.put(b"a", n=b"3")
    monkeypatch.undo()
    assert not first.shipper.ship(), "and the first one has not taken it back"
    assert "another host ships into s3://" in first.shipper.failure


def test_a_gap_is_remembered_by_the_last_frame(bucket: S3Bucket, tmp_path: Path) -> None:
    """A host that starts reads one segment, and not the heads of all since the last base."""
    archived = made_two(bucket, tmp_path)
    archived.store.close()
    archived.shipper.close()
    [*_, file] = spool.spool_files(spool.spool_folder(archived.data, 0))
    file.write_bytes(b"")
    archived.open()
    archived.put(b"a", n=b"3")
    archived.ship()
    archived.new_shipper()
    bucket.service.ask("GET", "requests")
    archived.ship()
    asked = bucket.service.ask("GET", "requests")

    state = archived.shipper._state
    assert state is not None
    assert state.gap_us > state.base_us
    assert len([each for each in asked if each.startswith("GET") and "/segments/" in each]) == 1
    with pytest.raises(BackupError, match="it lacks what partition 0 committed between"):
        archived.restored(tmp_path / "lost")


def test_pruning_removes_bases_segments_and_components_that_no_kept_moment_needs(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "REWRITTEN_BYTES_MAX", 1)
    monkeypatch.setattr(shelf, "_CLOCKS_US", -10_000_000_000)
    root, component = bucket.root(), tmp_path / "0123.wasm"
    component.write_bytes(b"code")
    archived = archived_in(bucket, tmp_path)
    archived.base()
    base_maker.store_component(component, "0123", root)
    for number in range(4):
        archived.put(b"a", n=b"%d" % number)
        archived.ship()
    archived.base()
    archived.put(b"a", n=b"last")
    archived.ship()
    assert bucket.names("components") == ["components/0123.wasm.zst"]
    before = len(segment_files(root))
    state = archived.shipper._state
    assert state is not None

    removed = state.kept.prune(now_us())

    assert removed >= 4
    assert len(segment_files(root)) == before - removed
    assert len(read_bases(root)) == 1
    assert {name.split("/")[1] for name in bucket.names("bases")} == {read_bases(root)[0].path.name}
    assert bucket.names("components") == []
    assert archived.restored(tmp_path / "restored") == alive(archived.state)
    assert state.kept.prune(now_us()) == 0


def test_a_base_that_was_not_finished_is_none_and_is_removed_by_the_next(bucket: S3Bucket, tmp_path: Path) -> None:
    archived = made_two(bucket, tmp_path)
    (bucket.root() / "bases" / "99" / "parts-00-data.mdb.zst").put(b"half")
    assert len(read_bases(bucket.root())) == 1

    archived.base()

    assert len(read_bases(bucket.root())) == 2
    assert not [name for name in bucket.names("bases") if "/99/" in name]


@pytest.mark.parametrize("what", ["base", "segment"])
def test_a_damaged_object_is_named_and_nothing_is_restored(bucket: S3Bucket, tmp_path: Path, what: str) -> None:
    archived = made_two(bucket, tmp_path)
    if what == "base":
        [name] = [each for each in bucket.names("bases") if "parts-" in each]
        (bucket.root() / name).put(zstandard.compress(b"another one"))
        sentence = r"s3://.*parts-00-data\.mdb\.zst is damaged: it is not what the host had"
    else:
        [path] = segment_files(bucket.root())
        text = path.read_bytes()
        path.put(text[:-9] + b"x" + text[-8:])
        sentence = r"the frame at byte \d+ of .*\.segment is damaged: its checksum is another one"

    with pytest.raises(BackupError, match=sentence):
        archived.restored(tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("what", ["base", "segment"])
def test_a_missing_object_is_named_and_nothing_is_restored(bucket: S3Bucket, tmp_path: Path, what: str) -> None:
    archived = made_two(bucket, tmp_path)
    root = bucket.root()
    if what == "base":
        [name] = [each for each in bucket.names("bases") if "parts-" in each]
        root.remove([root / name])
        sentence = r"s3://.*parts-00-data\.mdb\.zst is missing"
    else:
        root.remove(segment_files(root))
        sentence = "it ends before frame .*, which it had"

    with pytest.raises(BackupError, match=sentence):
        archived.restored(tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_segment_that_lost_something_is_kept_aside_and_told_again_from_the_spool(
    bucket: S3Bucket, tmp_path: Path
) -> None:
    archived = made_two(bucket, tmp_path)
    archived.put(b"a", n=b"3")
    archived.ship()
    [path] = segment_files(bucket.root())
    text = path.read_bytes()
    path.put(text[:-5])
    archived.new_shipper()
    archived.ship()

    assert (bucket.root() / "segments" / f"{path.stem}.damaged").read_bytes() == text[:-5]
    assert archived.restored(tmp_path / "restored") == alive(archived.state)


def test_changes_are_read_from_a_bucket_as_they_come(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "REWRITTEN_BYTES_MAX", 1_500)
    archived = archived_in(bucket, tmp_path)
    archived.base()
    reader = ChangeReader(bucket.root(), None, lambda _: True)
    found = []
    for number in range(12):
        archived.put(b"a", n=b"%d" % number)
        archived.ship()
        archived.shipper._state.said_at = float("-inf")  # type: ignore[union-attr]
        archived.ship()
        found += reader.read()
    assert numbers(found) == list(range(12))
    assert len(segment_files(bucket.root())) > 2

    position = Position.read(found[5]["position"])
    later = ChangeReader(bucket.root(), position, lambda _: True).read()
    assert numbers(later) == list(range(6, 12))


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    return [int(bytes(line["put"]["n"])) for line in lines]


def test_a_prefix_that_holds_other_things_is_refused(bucket: S3Bucket, tmp_path: Path) -> None:
    (bucket.root() / "notes.txt").put(b"mine")
    archived = archived_in(bucket, tmp_path)

    assert not archived.shipper.ship()
    assert "holds 'notes.txt' and is no archive: name another prefix with --archive" in archived.shipper.failure


def test_an_endpoint_of_the_environment_that_is_none_is_named(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no damage of the archive, and no bug of the host: whoever set it can mend it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    root = archive_root(f"s3://{bucket.name}/archive")
    archived = ArchivedStore.make(tmp_path, 1, bucket=root)
    named = "cannot be read: the client finds no service (Invalid endpoint: nonsense): see AWS_ENDPOINT_URL_S3"

    assert not archived.shipper.ship()
    assert named in archived.shipper.failure
    with pytest.raises(BackupError, match=re.escape(named)):
        archived.restored(tmp_path / "restored")


@pytest.mark.parametrize(
    ("asked", "variables", "found"),
    [
        ("", {}, "us-east-1"),
        ("", {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ("", {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-2"),
        ("&region=eu-west-3", {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-3"),
    ],
    ids=["none", "of-old", "of-today", "asked"],
)
def test_the_region_is_that_of_the_address_or_of_the_environment(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, asked: str, variables: dict[str, str], found: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    root = archive_root(f"s3://{bucket.name}/archive?endpoint={bucket.service.endpoint}{asked}")
    assert isinstance(root, BucketPath)

    assert root.bucket.client.meta.region_name == found


def test_a_reached_that_is_damaged_is_written_over(bucket: S3Bucket, tmp_path: Path) -> None:
    archived = made_two(bucket, tmp_path)
    (bucket.root() / REACHED).put(b"nonsense")
    archived.new_shipper()
    archived.put(b"a", n=b"3")
    archived.ship()

    assert read_reached(bucket.root()) is not None
    assert archived.restored(tmp_path / "restored") == alive(archived.state)
