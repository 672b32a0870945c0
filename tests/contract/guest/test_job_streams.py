"""Answers to requests of jobs that are published to a topic while they come."""

from __future__ import annotations

import time
from collections.abc import Generator
from threading import Event
from typing import Any

import pytest

from holdfast.http import OutboundUnreachableError
from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver, Outside, Subject
from tests.contract.guest.test_jobs import saw, seen

EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
KIB = 1 << 10


@pytest.fixture
def leaving(subject: NewSubject) -> Subject:
    """An instance of Leaving."""
    return subject("Leaving")


@pytest.fixture
def outside(driver: Driver) -> Outside:
    """What stands for the outside, with nothing asked yet."""
    return driver.outside()


def follow(leaving: Subject, url: str, **options: Any) -> str:
    """Have it ask for something that streams; the job's id."""
    id_: str = leaving.call("ask", "POST", url, {"json": {}, "stream_to": "words", "then": "_heard", **options}).typed
    return id_


def published(leaving: Subject) -> list[Any]:
    """Name and data of each event."""
    found: list[Any] = leaving.call("published", "words").typed
    return found


def published_soon(leaving: Subject, count: int) -> list[Any]:
    """The same, on the thread of the server, once it is so many."""
    deadline = time.monotonic() + 20
    while len(published(leaving)) < count:
        assert time.monotonic() < deadline, published(leaving)
        time.sleep(0.02)
    return published(leaving)


def test_events_are_published_while_they_come_and_other_turns_come_between(leaving: Subject, outside: Outside) -> None:
    text = "\ufeffevent: word\r\ndata: h\u00e4\r\rid: 7\ndata: llo\ndata: you\n\n".encode()
    text += b": nothing\n\nevent: reset\ndata: x\n\n"
    between: list[Any] = []
    over = Event()

    def pieces() -> Generator[bytes, None, None]:
        for at in range(0, len(text), 3):
            yield text[at : at + 3]
        between.extend(published_soon(leaving, 3))
        between.append(leaving.call("told", "between").status)
        yield b"data: last\n\ndata: cut"
        over.set()

    outside.stream("/s", EVENTS, pieces)
    id_ = follow(leaving, f"{outside.url}/s")
    assert leaving.driver.wait(over.is_set, 20)
    first = [["word", "h\u00e4"], [None, "llo\nyou"], [None, "x"]]

    assert between == [*first, 200]
    whole = text.decode() + "data: last\n\ndata: cut"
    assert saw(leaving, 2) == ["between", [True, False, None, None, 200, whole, 1]]
    assert published(leaving) == [*first, [None, "last"]]
    assert leaving.call("jobs").typed == []
    assert [each.headers["idempotency-key"] for each in outside.asked()] == [id_]


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        ("application/x-ndjson", ['{"n":1}', '{"n":"\u00e4"}', '{"n":3}']),
        ("text/plain", ['{"n":1}\r\n\n{"n":"\u00e4"}\n{"n":3}']),
    ],
)
def test_other_answers_are_published_line_by_line_or_as_text(
    leaving: Subject, outside: Outside, kind: str, events: list[str]
) -> None:
    text = '{"n":1}\r\n\n{"n":"\u00e4"}\n{"n":3}'

    def pieces() -> Generator[bytes, None, None]:
        whole = text.encode()
        for at in range(len(whole)):
            yield whole[at : at + 1]

    outside.stream("/s", {"Content-Type": kind}, pieces)
    follow(leaving, f"{outside.url}/s")

    assert saw(leaving, 1) == [[True, False, None, None, 200, text, 1]]
    found = [data for _, data in published(leaving)]
    assert found == events if len(events) > 1 else "".join(found) == events[0]


def test_an_answer_that_breaks_off_is_asked_for_again_and_the_topic_says_so(leaving: Subject, outside: Outside) -> None:
    def broken() -> Generator[bytes, None, None]:
        yield b"data: one\n\n"
        published_soon(leaving, 1)
        outside.stream("/s", EVENTS, whole)
        raise OutboundUnreachableError("the server died")

    def whole() -> Generator[bytes, None, None]:
        yield b"data: one\n\ndata: two\n\n"
        over.set()

    over = Event()
    outside.stream("/s", EVENTS, broken)
    id_ = follow(leaving, f"{outside.url}/s")
    assert leaving.driver.wait(over.is_set, 20)

    assert saw(leaving, 1) == [[True, False, None, None, 200, "data: one\n\ndata: two\n\n", 2]]
    assert published(leaving) == [
        [None, "one"], ["again", f'{{"id":"{id_}","tries":1}}'], [None, "one"], [None, "two"],
    ]  # fmt: skip
    assert [each.headers["idempotency-key"] for each in outside.asked()] == [id_, id_]


def test_an_answer_that_is_no_success_is_not_published(leaving: Subject, outside: Outside) -> None:
    outside.answer("/s", 503, EVENTS, b"data: busy\n\n")
    follow(leaving, f"{outside.url}/s")
    assert leaving.driver.wait(lambda: len(outside.asked()) == 1, 5)
    outside.answer("/s", 400, EVENTS, b"data: no\n\n")

    assert saw(leaving, 1) == [[False, False, None, None, 400, "data: no\n\n", 2]]
    assert published(leaving) == []


def test_to_cancel_the_job_ends_the_request(leaving: Subject, outside: Outside) -> None:
    closed = Event()

    def pieces() -> Generator[bytes, None, None]:
        try:
            yield b"data: one\n\n"
            published_soon(leaving, 1)
            leaving.call("cancel_all")
            while True:
                yield b": " + bytes(64 * KIB).hex().encode() + b"\n\n"
        finally:
            closed.set()

    outside.stream("/s", EVENTS, pieces)
    follow(leaving, f"{outside.url}/s")
    assert leaving.driver.wait(closed.is_set, 20)

    assert published(leaving) == [[None, "one"]]
    assert (leaving.call("jobs").typed, seen(leaving)) == ([], [])


def test_what_is_longer_than_what_is_kept_is_published_and_the_outcome_says_so(
    leaving: Subject, outside: Outside
) -> None:
    def pieces() -> Generator[bytes, None, None]:
        for number in range(9):
            yield b"data: %d%b\n\n" % (number, b"x" * (128 * KIB))

    outside.stream("/s", EVENTS, pieces)
    follow(leaving, f"{outside.url}/s")
    said = "an answer of 1179729 bytes exceeds the limit of 1048576 bytes that is kept for a job"

    assert saw(leaving, 1, 20) == [[False, False, None, ["LimitError", said], None, None, 1]]
    assert [data[0] for _, data in published(leaving)] == list("012345678")


def test_an_event_that_is_too_long_is_the_outcome(leaving: Subject, outside: Outside) -> None:
    def pieces() -> Generator[bytes, None, None]:
        yield b"data: one\n\n"
        yield b"data: " + b"x" * (256 * KIB)

    outside.stream("/s", EVENTS, pieces)
    follow(leaving, f"{outside.url}/s")

    [[ok, _, _, error, _, _, tries]] = saw(leaving, 1)
    assert (ok, tries) == (False, 1)
    assert error == [
        "LimitError", "an event of the answer is longer than the limit of 262144 bytes of one that streams",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        (7, ["TypeError", "the name of a topic is a str, not int"]),
        ("", ["ValueError", "the name of a topic has 1 to 200 bytes without NUL and '/', not ''"]),
        ("a/b", ["ValueError", "the name of a topic has 1 to 200 bytes without NUL and '/', not 'a/b'"]),
    ],
)
def test_what_is_no_topic_is_refused_when_the_job_is_made(leaving: Subject, topic: Any, said: list[str]) -> None:
    assert leaving.call("refused", "http", ["GET", "https://a.example/"], {"stream_to": topic}).typed == said
