"""Responses of a function whose body comes in pieces, taken whole; over a real host also piece by piece (outside)."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [("words", 201, "one two"), ("async", 200, "one two three"), ("none", 200, "")],
)
def test_a_body_is_the_pieces_of_an_iterator(driver: Driver, path: str, status: int, text: str) -> None:
    """Of text and bytes, of a generator and an asynchronous one; an empty piece is none and ends nothing."""
    reply = driver.fetch("GET", f"/pieces/{path}", {}, b"")

    assert (reply.status, reply.text) == (status, text)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers.get("x-a") == ("1" if path == "words" else None)


def test_a_long_piece_comes_whole(driver: Driver) -> None:
    reply = driver.fetch("GET", "/pieces/huge", {}, b"")

    assert len(reply.text) == 1_000_001
    assert reply.text.endswith("\x7fe")


def test_a_body_may_call_actors_between_its_pieces_and_runs_to_its_end(driver: Driver, subject: NewSubject) -> None:
    actor = subject("Piecewise")
    reply = driver.fetch("GET", f"/pieces/counted/{actor.name}", {}, b"")

    assert reply.text == "1 2 3 "
    assert actor.call("closed").typed == ["whole"]


def test_an_answer_from_outside_is_handed_on_as_it_comes(driver: Driver) -> None:
    outside = driver.outside()

    def pieces() -> Generator[bytes, None, None]:
        yield b"one "
        yield b"two"

    outside.stream("/s", {"Content-Type": "text/x-words"}, pieces)
    reply = driver.fetch("GET", f"/pieces/hand-on?url={outside.url}/s", {}, b"")

    assert (reply.status, reply.text) == (200, "one two")
    assert reply.headers["content-type"] == "text/x-words"


def test_an_actor_cannot_answer_in_pieces_and_is_told_who_can(driver: Driver, subject: NewSubject) -> None:
    actor = subject("Piecewise")
    reply = driver.fetch("GET", f"/pieces/of-actor/{actor.name}", {}, b"")

    assert "Piecewise.fetch returned a body in pieces, which an actor cannot: its turn is whole" in reply.text
    assert "Return it from the function's fetch" in reply.text
    assert actor.call("counted").typed is None


def test_a_list_is_no_iterator(driver: Driver) -> None:
    assert driver.fetch("GET", "/pieces/list", {}, b"").refusal == (500, "ActorMethodError")
    lines = driver.log("fn suite")
    assert any("a body is str, bytes or an iterator of them, not list" in text for _, text in lines)


def test_without_a_body_by_status_the_pieces_are_not_asked_for(driver: Driver, subject: NewSubject) -> None:
    actor = subject("Piecewise")
    assert driver.fetch("GET", f"/pieces/bodiless/{actor.name}", {}, b"").status == 204
    assert actor.call("counted").typed is None
