"""Lines and events of text that comes in pieces, against the whole text read at once."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from holdfast import LimitError
from holdfast._text_streams import HELD_CHARS_MAX, LineCutter, ServerSentEvent, cut_lines, read_events

MARK = "\ufeff"


def _events(text: str | bytes) -> list[tuple[str, str, str, int | None]]:
    data = text.encode() if isinstance(text, str) else text
    return [(each.event, each.data, each.id, each.retry) for each in read_events([data])]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        # From the examples and rules of the HTML standard, section "Server-sent events".
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "", None)]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [
                ("message", "first event", "1", None), ("message", "second event", "", None),
                ("message", " third event", "", None),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", [("message", "", "", None), ("message", "\n", "", None)]),
        ("data:test\n\ndata: test\n\n", [("message", "test", "", None)] * 2),
        (f"{MARK}data: 1\n\n", [("message", "1", "", None)]),
        (f"{MARK}{MARK}data: 1\n\n", []),  # the second is part of the field's name
        (f"data: 1\n\n{MARK}data: 2\n\n", [("message", "1", "", None)]),
        ("event: a\ndata: 1\n\ndata: 2\n\n", [("a", "1", "", None), ("message", "2", "", None)]),
        ("event: a\n\ndata: 1\n\n", [("message", "1", "", None)]),
        ("event: a\nevent: b\ndata: 1\n\n", [("b", "1", "", None)]),
        ("id: 7\n\ndata: 1\n\n", [("message", "1", "7", None)]),
        ("id: 7\ndata: 1\n\nid: a\0b\ndata: 2\n\n", [("message", "1", "7", None), ("message", "2", "7", None)]),
        ("retry: 50\ndata: 1\n\ndata: 2\n\n", [("message", "1", "", 50), ("message", "2", "", 50)]),
        ("retry: 5s\nretry: -5\nretry:\nretry: \u0665\ndata: 1\n\n", [("message", "1", "", None)]),
        (f"retry: {'9' * 5000}\ndata: 1\n\n", [("message", "1", "", None)]),
        ("Data: 1\ndata : 2\n data: 3\nother: 4\n\n", []),
        ("data: a:b: c\n\n", [("message", "a:b: c", "", None)]),
        ("data:\ta\u2028b\x0bc\x85d\n\n", [("message", "\ta\u2028b\x0bc\x85d", "", None)]),
        ("data: 1\r\rdata: 2\r\n\r\ndata: 3\n\n", [("message", each, "", None) for each in "123"]),
        ("data: 1\n\r\n\r", [("message", "1", "", None)]),
        ("data: cut", []), ("data: cut\n", []), ("", []), ("\n\n\n", []),
    ],
)  # fmt: skip
def test_an_event_stream_is_read_as_the_standard_says(
    text: str, events: list[tuple[str, str, str, int | None]]
) -> None:
    assert _events(text) == events


def test_what_is_no_utf8_is_replaced() -> None:
    assert _events(b"data: a\xff\xe2\x82b\n\n") == [("message", "a\ufffd\ufffdb", "", None)]


def test_wherever_the_pieces_are_cut_the_lines_and_events_are_the_same() -> None:
    randomness = random.Random(7)
    fields = ["data: x", "data:\u20ac\U0001f600", "id: 1", "event: e", ":c", "retry: 1"]
    parts = [*fields, "\r", "\n", "\r\n", "\n\n", "\r\n\r\n"]
    for _ in range(400):
        text = MARK * randomness.randint(0, 1) + "".join(randomness.choices(parts, k=randomness.randint(0, 20)))
        data = text.encode()
        cuts = sorted(randomness.randint(0, len(data)) for _ in range(randomness.randint(0, 12)))
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        expected = text.removeprefix(MARK).replace("\r\n", "\n").replace("\r", "\n").split("\n")

        assert list(cut_lines(pieces)) == expected[: None if expected[-1] else -1]
        assert list(read_events(pieces)) == list(read_events([data]))


def test_an_event_is_given_as_soon_as_its_end_has_come() -> None:
    """Also where the end is a CR, behind which a LF may still come."""
    given: list[str] = []

    def pieces() -> Iterator[bytes]:
        for piece, so_far in [(b"data: 1\r\r", []), (b"\ndata: 2\n", ["1"]), (b"\n", ["1"]), (b"data: 3", ["1", "2"])]:
            assert given == so_far
            yield piece
        assert given == ["1", "2"]

    given += (event.data for event in read_events(pieces()))


def test_a_line_and_an_event_that_never_end_are_cut_off() -> None:
    part = b"x" * (1 << 20)
    with pytest.raises(LimitError, match="a line of over"):
        list(cut_lines(part for _ in range(1 + (HELD_CHARS_MAX >> 20))))
    with pytest.raises(LimitError, match="an event of over"):
        list(read_events(b"data: " + part + b"\n" for _ in range(1 + (HELD_CHARS_MAX >> 20))))


def test_a_long_line_in_small_pieces_takes_time_in_proportion_to_its_length() -> None:
    """Its parts are joined once."""
    cutter = LineCutter()
    for _ in range(200_000):
        assert cutter.feed(b"0123456789") == []
    assert [len(line) for line in cutter.feed(b"\n")] == [2_000_000]


def test_an_event_has_the_defaults_of_the_standard() -> None:
    assert ServerSentEvent("x") == ServerSentEvent("x", "message", "", None)
