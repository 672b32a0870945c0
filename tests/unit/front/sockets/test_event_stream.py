"""What an event stream's bytes say to a client that reads them as the HTML standard tells it to."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.front.sockets.event_stream import COMMENT, pack_event, pack_retry

lines = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)
LINE_ENDS = re.compile(r"\r\n|\r|\n")


def read_stream(stream: bytes) -> list[tuple[str, str, str]]:
    """Name, data and last id of each event, by the steps of the standard's section 9.2.6."""
    name, data, last_id, events = "", "", "", []
    for line in LINE_ENDS.split(stream.decode())[:-1]:
        if not line:
            if data:
                events.append((name or "message", data.removesuffix("\n"), last_id))
            name, data = "", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data += value + "\n"
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


@given(data=st.text(st.characters(codec="utf-8"), max_size=40), name=lines, event_id=lines)
def test_an_event_is_read_as_it_was_meant(data: str, name: str, event_id: str) -> None:
    """A line break of any kind in the data is a line break."""
    stream = pack_retry() + COMMENT + pack_event(data.encode(), name.encode(), event_id.encode()) + COMMENT

    assert read_stream(stream) == [(name or "message", LINE_ENDS.sub("\n", data), event_id)]


def test_an_event_without_an_id_leaves_the_one_before() -> None:
    stream = pack_event(b"one", b"", b"7") + pack_event(b"two")

    assert read_stream(stream) == [("message", "one", "7"), ("message", "two", "7")]


def test_clients_come_back_after_one_to_five_seconds_each_after_another() -> None:
    pauses = {int(pack_retry().split(b":")[1]) for _ in range(50)}

    assert len(pauses) > 40
    assert min(pauses) >= 1_000
    assert max(pauses) <= 5_000
