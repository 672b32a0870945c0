"""Answers from outside that are read as they come."""

from __future__ import annotations

from collections.abc import Generator
from threading import Event

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver, Outside, Subject

MIB = 1 << 20


@pytest.fixture
def asker(subject: NewSubject) -> Subject:
    """An instance of Asker."""
    return subject("Asker")


@pytest.fixture
def outside(driver: Driver) -> Outside:
    """What stands for the outside, with nothing asked yet."""
    return driver.outside()


class Endless:
    """A body that goes on until nobody wants more of it."""

    def __init__(self) -> None:
        self.closed = Event()

    def pieces(self) -> Generator[bytes, None, None]:
        try:
            while True:
                yield b"x" * (64 << 10)
        finally:
            self.closed.set()


def test_an_answer_is_read_to_its_end_and_then_there_is_no_more(asker: Subject, outside: Outside) -> None:
    def pieces() -> Generator[bytes, None, None]:
        yield b"one "
        yield b"t"
        yield b"wo"

    outside.stream("/s", {"Content-Type": "text/plain"}, pieces)
    outside.answer("/whole", 418, {"Content-Type": "text/html"}, b"<p>")

    found = asker.call("stream", "POST", f"{outside.url}/s", {"json": {"n": 1}, "headers": {"X-A": "1"}})
    assert found.typed == [200, "text/plain", "one two", [], b""]
    assert asker.call("stream", "GET", f"{outside.url}/whole", {}).typed == [418, "text/html", "<p>", [], b""]
    (asked, _) = outside.asked()
    assert (asked.method, asked.body, asked.headers["x-a"]) == ("POST", b'{"n":1}', "1")


def test_lines_and_events_are_read_wherever_the_pieces_are_cut(asker: Subject, outside: Outside) -> None:
    text = "\ufeffid: 7\nevent: word\r\ndata: h\u00e4\rdata: llo\n\n: nothing\nretry: 50\ndata\n\ndata: cut".encode()

    def pieces() -> Generator[bytes, None, None]:
        for at in range(len(text)):
            yield text[at : at + 1]

    outside.stream("/s", {}, pieces)

    assert asker.call("stream_events", f"{outside.url}/s").typed == [
        ["word", "h\u00e4\nllo", "7", None], ["message", "", "7", 50],
    ]  # fmt: skip
    assert asker.call("stream_lines", f"{outside.url}/s").typed == [
        "id: 7", "event: word", "data: h\u00e4", "data: llo", "", ": nothing", "retry: 50", "data", "", "data: cut",
    ]  # fmt: skip


@pytest.mark.parametrize("closes", [True, False])
def test_what_is_not_read_is_closed_by_its_reader_or_by_the_end_of_the_turn(
    asker: Subject, outside: Outside, closes: bool
) -> None:
    endless = Endless()
    outside.stream("/s", {}, endless.pieces)

    read = asker.call("stream_some", f"{outside.url}/s", closes).typed
    assert read[0] > 0
    assert read[1:] == ([0] if closes else [])
    assert endless.closed.wait(10)


def test_no_later_turn_reads_what_an_earlier_one_has_left(asker: Subject, outside: Outside) -> None:
    outside.stream("/s", {}, Endless().pieces)
    asker.call("stream_some", f"{outside.url}/s", False)
    refused = asker.call("stream_left")

    assert refused.refusal == (500, "ActorMethodError")
    assert "is open: it has ended, or was closed" in refused.error["message"]


def test_an_answer_may_be_longer_than_what_may_be_held_of_one(asker: Subject, outside: Outside) -> None:
    def pieces() -> Generator[bytes, None, None]:
        for _ in range(11):
            yield bytes(MIB)

    outside.stream("/s", {}, pieces)

    assert asker.call("stream_count", f"{outside.url}/s").typed == 11 * MIB
    whole = asker.call("stream_whole", f"{outside.url}/s")
    assert "longer than the limit of 10485760 bytes" in whole.error["message"]
    bound = asker.call("failing", f"{outside.url}/s", {}).typed
    assert bound[0] == "LimitError"


@pytest.mark.parametrize("url", ["https://other.example/", "nonsense"])
def test_what_may_not_be_asked_is_denied_as_any_request_is(asker: Subject, url: str) -> None:
    assert asker.call("stream_failing", url, {}).typed[:2] == ["OutboundDeniedError", []]
