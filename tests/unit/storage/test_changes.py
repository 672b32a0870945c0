"""What was committed, read from an archive from any position on."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import pytest

from holdfast_host.core.limits import DUE_US_MAX
from holdfast_host.storage.archive.changes import ChangeReader, Position, PositionGoneError
from holdfast_host.storage.archive.frames import ArchiveError, segment_files
from holdfast_host.storage.store import Alarm, Changes
from holdfast_host.storage.transfers import Staging
from holdfast_host.supervisor.archive.spool_tails import Gap
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


def test_a_position_that_the_archive_never_had_is_refused_and_not_waited_for(archived: ArchivedStore) -> None:
    archived.put(b"a", k=b"1")
    archived.ship()
    now = Position.now(archived.root)
    assert read_all(archived.root, str(now)) == []
    for strange in (Position(now.seq, 1), Position(now.seq + 1), Position(10**14, 3)):
        with pytest.raises(PositionGoneError, match=rf"{strange} is no position of it: it ends with"):
            read_all(archived.root, str(strange))


def test_a_position_in_an_archive_that_is_away_is_not_taken_for_its_beginning(archived: ArchivedStore) -> None:
    archived.put(b"a", k=b"1")
    archived.ship()
    after = str(read_all(archived.root)[-1]["position"])
    archived.root.rename(archived.root.with_name("unmounted"))
    with pytest.raises(ArchiveError, match="it is not there"):
        Position.now(archived.root)
    with pytest.raises(ArchiveError, match="it is not there"):
        read_all(archived.root, after)


def test_a_gap_is_told_to_who_reads_from_now_on(archived: ArchivedStore) -> None:
    archived.put(b"a", k=b"1")
    archived.ship()
    after = Position.now(archived.root)
    state = archived.shipper._state
    assert state is not None
    archived.shipper._ship_gap(state, Gap(0, 1, 2))
    archived.put(b"a", k=b"2")
    archived.ship()

    gap, line = read_all(archived.root, str(after))

    assert gap["gap"] == {"partition": 0, "from": gap["gap"]["from"], "to": "1970-01-01T00:00:00.000002Z"}  # type: ignore[index]
    assert line["put"] == {"k": 2}
    assert read_all(archived.root, str(gap["position"])) == [line]


def test_a_reader_of_one_type_looks_at_a_bounded_piece_at_a_time(archived: ArchivedStore) -> None:
    for number in range(120):
        archived.put(b"a", k=b"%d" % number)
        archived.ship()
    reader, pieces = ChangeReader(archived.root, None, lambda name: name == "Other"), 0
    while not reader.at_end:
        assert reader.read_some() == []
        pieces += 1
    assert pieces > 2, "whoever reads can stop in between"
    archived.put(b"a", k=b"last")
    archived.ship()
    assert reader.read() == []
    assert reader.at_end


def test_a_piece_of_large_values_has_few_of_them(archived: ArchivedStore) -> None:
    after = Position.now(archived.root)
    for _ in range(8):
        archived.put(b"a", k=b'"%s"' % secrets.token_hex(1 << 20).encode())
        archived.ship()
    reader = ChangeReader(archived.root, after, lambda _: True)
    pieces = [len(reader.read())]
    while not reader.at_end:
        pieces.append(len(reader.read()))
    assert sum(pieces) == 8
    assert max(pieces) <= 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(b"[" * 100_000, "[" * 100_000, id="nested past what is read"),
        pytest.param(b'"\xff"', '"\ufffd"', id="no UTF-8"),
        pytest.param(b'{"a\xff":\n1}', '{"a\ufffd":\n1}', id="no UTF-8 in lines"),
    ],
)
def test_a_strange_value_of_a_guest_is_a_text_and_stops_no_follower(
    archived: ArchivedStore, value: bytes, shown: str
) -> None:
    after = str(Position.now(archived.root))
    archived.put(b"a", k=value)
    archived.put(b"a", k=b"1")
    archived.ship()

    strange, later = read_all(archived.root, after)

    assert strange["raw"] == {"k": shown}
    assert later["put"] == {"k": 1}


def test_the_last_moment_that_an_alarm_may_have_is_told(archived: ArchivedStore) -> None:
    after = str(Position.now(archived.root))
    archived.commit((1, b"a", Changes(alarm=Alarm(DUE_US_MAX), alarm_changed=True)))
    archived.ship()
    [line] = read_all(archived.root, after)
    assert line["alarm"] == "9999-12-31T23:59:59.999999Z"
