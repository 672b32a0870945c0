"""What was committed, read from an archive from any position on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from holdfast_host.storage.archive.changes import ChangeReader, Position
from holdfast_host.storage.archive.frames import ArchiveError, segment_files
from holdfast_host.storage.store import Alarm, Changes
from holdfast_host.storage.transfers import Staging
from tests.harness.archives import ArchivedStore


def read_all(root: Path, after: str | None = None, only: str | None = None) -> list[dict[str, object]]:
    """As a caller gets them."""
    position = None if after is None else Position.read(after)
    reader = ChangeReader(root, position, lambda name: only is None or name == only)
    lines: list[dict[str, object]] = []
    while page := reader.read():
        lines += page
    return [msgspec.json.decode(msgspec.json.encode(line)) for line in lines]


@pytest.fixture
def archived(tmp_path: Path) -> ArchivedStore:
    made = ArchivedStore.make(tmp_path)
    made.ship()
    return made


def test_each_turn_is_told_once_in_its_order_from_every_position_on(archived: ArchivedStore) -> None:
    for number in range(40):
        archived.put(b"n%d" % (number % 3), k=b"%d" % number)
        if number % 4 == 0:
            archived.ship()
        if number % 10 == 0:
            assert archived.shipper._state is not None
            archived.shipper._state.kept.end_segment()
    archived.ship()

    lines = [line for line in read_all(archived.root) if "gap" not in line]

    assert [line["put"] for line in lines] == [{"k": number} for number in range(40)]
    assert len(segment_files(archived.root)) > 3
    for number, line in enumerate(lines):
        assert read_all(archived.root, str(line["position"])) == lines[number + 1 :]


def test_who_follows_gets_what_is_shipped_later(archived: ArchivedStore) -> None:
    reader = ChangeReader(archived.root, Position.now(archived.root), lambda _: True)
    assert reader.read() == []
    archived.put(b"a", k=b"1")
    assert reader.read() == [], "the archive does not have it"
    archived.ship()
    assert [line["name"] for line in reader.read()] == ["a"]
    assert reader.read() == []


def test_a_line_says_what_a_turn_did(archived: ArchivedStore) -> None:
    archived.shipper._state.types = {1: "Account"}  # type: ignore[union-attr]
    after = str(Position.now(archived.root))
    writes = {b"a": b'{"$hf":"date","v":"2026-12-01"}', b"b": None}
    archived.commit((1, b"alice", Changes(dict(writes), cleared=True, alarm=Alarm(5_000_001), alarm_changed=True)))
    archived.commit((1, b"alice", Changes(alarm_changed=True)), (2, b"bob", Changes({b"k": b"1"})))
    archived.ship()

    first, *rest = read_all(archived.root, after)

    assert first.pop("at") is not None
    assert first.pop("position") is not None
    assert first == {
        "partition": first["partition"], "group": archived.group - 1, "type": "Account", "name": "alice",
        "cleared": True, "put": {"a": {"$hf": "date", "v": "2026-12-01"}}, "deleted": ["b"],
        "alarm": "1970-01-01T00:00:05.000001Z",
    }  # fmt: skip
    assert {(line["type"], line["name"]) for line in rest} == {("Account", "alice"), ("#2", "bob")}
    assert [line["alarm"] for line in rest if line["name"] == "alice"] == [None]
    assert [line["name"] for line in read_all(archived.root, after, only="#2")] == ["bob"]


def test_an_import_is_one_line_when_it_is_adopted(archived: ArchivedStore) -> None:
    after = str(Position.now(archived.root))
    import_id = archived.store.begin_import(archived.store.locate(1, b"alice"))
    archived.commit((1, b"alice", Changes(staging=Staging(import_id, {b"k": b"1"}))))
    archived.commit((1, b"alice", Changes(staging=Staging(import_id, {}, adopts=True), cleared=True, erased=True)))
    archived.ship()

    [line] = read_all(archived.root, after)

    assert line["name"] == "alice"
    assert line["imported"] is True
    assert not line.keys() & {"put", "cleared", "alarm"}


def test_a_value_of_a_guest_that_encodes_otherwise_is_in_one_line_or_a_text(archived: ArchivedStore) -> None:
    after = str(Position.now(archived.root))
    archived.put(b"a", spread=b'{\n "a": 1\n}', none=b"not JSON")
    archived.ship()

    [line] = read_all(archived.root, after)

    assert line["put"] == {"spread": {"a": 1}}
    assert line["raw"] == {"none": "not JSON"}


def test_what_is_missing_or_was_removed_is_said_and_not_passed_over(archived: ArchivedStore) -> None:
    for number in range(3):
        archived.put(b"a", k=b"%d" % number)
        archived.ship()
        assert archived.shipper._state is not None
        archived.shipper._state.kept.end_segment()
    first, middle, last = segment_files(archived.root)[-3:]
    kept = middle.read_bytes()
    middle.unlink()
    with pytest.raises(ArchiveError, match=r"frame \d+ is missing before"):
        read_all(archived.root)
    middle.write_bytes(kept)
    first.unlink()
    for each in segment_files(archived.root)[:-2]:
        each.unlink()
    with pytest.raises(ArchiveError, match=r"what follows 1\.1 is not kept any more: it begins with \d+\.0"):
        read_all(archived.root, "1.1")
    assert [line["put"] for line in read_all(archived.root)] == [{"k": 1}, {"k": 2}]
    assert last.exists()
