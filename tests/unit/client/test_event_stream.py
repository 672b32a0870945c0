"""What a follower of events makes of the bytes that come, in whatever pieces, and of what is no stream."""

from __future__ import annotations

import httpx
import pytest

from holdfast import ActorCallError, StatefulActor
from holdfast.client import Event
from holdfast.client._event_stream import Follower
from holdfast.testing import LocalHost


class Plain(StatefulActor):
    """An actor without a method."""


STREAM = (
    ": a word\n\nid: 1\nevent: step\ndata: a\u2028b\ndata:c\n\n"
    "retry: 1000\r\n\r\nid: 2\r\ndata\r\n\r\ndata: d\rid: 3\r\rid: 4\n\ndata: never whole"
).encode()
EVENTS = [Event("1", "step", "a\u2028b\nc"), Event("2", "message", ""), Event("3", "message", "d")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_in_whatever_pieces_they_come(size: int) -> None:
    follower = Follower("Order", "17", "/", None)
    assert "last-event-id" not in follower.headers()
    found = [each for at in range(0, len(STREAM), size) for each in follower.feed(STREAM[at : at + size])]

    assert found == EVENTS
    assert follower.headers()["last-event-id"] == "4"  # an id without data is one too


def test_a_new_connection_begins_with_a_new_line() -> None:
    follower = Follower("Order", "17", "news?x=1", "9")
    assert follower.path == "/v1/actors/Order/17/news?x=1"
    assert list(follower.feed(b"data: half")) == []

    assert follower.headers()["last-event-id"] == "9"
    assert list(follower.feed(b"data: whole\n\n")) == [Event("9", "message", "whole")]


@pytest.mark.parametrize(
    ("status", "body", "again"),
    [
        (404, '{"error": {"name": "UnknownActorTypeError", "message": "m", "retryable": false}}', False),
        (429, "slowly", True),
        (503, '{"error": {"name": "SocketRefusedError", "message": "m", "retryable": true}}', True),
        (502, "<html>", True),
        (200, "no stream", False),
    ],
)
def test_what_is_refused_for_good_is_raised(status: int, body: str, again: bool) -> None:
    follower = Follower("Order", "17", "/", None)
    response = httpx.Response(status, text=body)
    assert not follower.is_stream(response)
    if again:
        assert 0 <= follower.refused(response) <= 0.5
        return

    with pytest.raises(ActorCallError):
        follower.refused(response)


def test_waits_grow_up_to_half_a_minute() -> None:
    follower = Follower("Order", "17", "/", None)
    follower.headers()
    waits = [follower.ended() for _ in range(30)]

    assert waits == sorted(waits)
    assert waits[-1] == 30.0


@pytest.mark.parametrize("retry", ["0", "00", "9" * 400, "9" * 5_000], ids=["0", "00", "400 digits", "5000 digits"])
def test_no_stream_has_its_client_come_again_without_a_wait_or_fail(retry: str) -> None:
    follower = Follower("Order", "17", "/", None)
    follower.headers()
    assert list(follower.feed(f"retry: {retry}\ndata: x\n\n".encode())) == [Event("", "message", "x")]
    waits = [follower.ended() for _ in range(8)]

    assert sum(waits) > 0
    assert max(waits) <= 30.0


def test_a_client_of_the_test_kit_says_who_has_events_there() -> None:
    with (
        LocalHost({"PLAIN": Plain}).client() as client,
        pytest.raises(ValueError, match="the LocalHost itself has `events`"),
    ):
        next(client.events("Plain", "x", "/news"))
