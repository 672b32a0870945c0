"""Outbound HTTP: what an actor sends, what it is told, and what of a turn is whose."""

from __future__ import annotations

import json

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver, Outside, Subject


@pytest.fixture
def asker(subject: NewSubject) -> Subject:
    """An instance of Asker."""
    return subject("Asker")


@pytest.fixture
def outside(driver: Driver) -> Outside:
    """What stands for the outside, with nothing asked yet."""
    return driver.outside()


def test_a_request_is_sent_and_any_status_is_an_answer(asker: Subject, outside: Outside) -> None:
    outside.answer("/a?b=c", 418, {"Content-Type": "text/plain; charset=utf-8", "X-More": "1"}, "ü".encode())
    options = {"headers": {"X-Mine": "yes"}, "body": "text"}

    assert asker.call("ask", "post", f"{outside.url}/a?b=c", options).typed == {
        "status": 418, "type": "text/plain; charset=utf-8", "text": "ü",
    }  # fmt: skip
    (asked,) = outside.asked()
    assert (asked.method, asked.path, asked.body) == ("POST", "/a?b=c", b"text")
    assert asked.headers["x-mine"] == "yes"


def test_each_method_has_its_function_and_json_goes_both_ways(asker: Subject, outside: Outside) -> None:
    outside.answer("/x", 200, {"Content-Type": "application/json"}, b'{"n":2}')

    shown = {"status": 200, "type": "application/json", "text": '{"n":2}'}
    assert asker.call("verbs", f"{outside.url}/x").typed == [shown] * 4 + [{"n": 2}]
    assert [(each.method, each.body) for each in outside.asked()] == [
        ("GET", b""), ("POST", b'{"n":1}'), ("PUT", b"x"), ("PATCH", b"\xff"), ("DELETE", b""),
    ]  # fmt: skip
    assert outside.asked()[1].headers["content-type"] == "application/json"


def test_fetch_takes_a_request_and_gives_a_response(asker: Subject, outside: Outside) -> None:
    outside.answer("/x", 200, {"Content-Type": "text/html"}, b"<p>")

    found = asker.call("hand_on", f"{outside.url}/x").typed
    assert found == {"is_response": True, "status": 200, "type": "text/html", "text": "<p>"}
    assert outside.asked()[0].headers["x-a"] == "1"


def test_redirects_are_followed_unless_an_actor_wants_to_see_them(asker: Subject, outside: Outside) -> None:
    outside.answer("/from", 302, {"Location": "/to"}, b"")
    outside.answer("/to", 200, {"Content-Type": "text/plain"}, b"there")
    outside.answer("/loop", 302, {"Location": "/loop"}, b"")

    assert asker.call("ask", "POST", f"{outside.url}/from", {"body": "x"}).typed["text"] == "there"
    assert [(each.method, each.path) for each in outside.asked()] == [("POST", "/from"), ("GET", "/to")]
    assert asker.call("ask", "GET", f"{outside.url}/from", {"redirects": False}).typed["status"] == 302
    assert asker.call("failing", f"{outside.url}/loop", {}).typed[:2] == ["OutboundDeniedError", False]


@pytest.mark.parametrize(
    "url", ["https://other.example/", "ftp://127.0.0.1/", "http://user@127.0.0.1/", "nonsense", "http://127.0.0.1\\x/"]
)
def test_what_the_manifest_does_not_list_and_what_is_no_url_is_denied(asker: Subject, url: str) -> None:
    name, retryable, message = asker.call("failing", url, {}).typed

    assert (name, retryable) == ("OutboundDeniedError", False)
    assert message


def test_a_timeout_or_a_body_that_is_no_good_is_said_before_anything_is_sent(asker: Subject, outside: Outside) -> None:
    for options, error in [({"timeout": 0}, "ValueError"), ({"timeout": "1"}, "ValueError")]:
        assert asker.call("failing", f"{outside.url}/x", options).typed[0] == error
    assert asker.call("failing", f"{outside.url}/x", {"body": "x", "json": 1}).typed[0] == "TypeError"
    assert not outside.asked()


def test_bodies_have_the_limit_of_fetch_both_ways(asker: Subject, outside: Outside) -> None:
    limit = 10 << 20
    outside.answer("/long", 200, {"Content-Type": "text/plain"}, b"x" * (limit + 1))

    name, _, message = asker.call("failing", f"{outside.url}/long", {}).typed
    assert name == "LimitError"
    assert str(limit) in message


def test_an_error_that_is_not_caught_is_the_callers_method_error(asker: Subject) -> None:
    refused = asker.call("ask", "GET", "https://other.example/", {})

    assert refused.refusal == (500, "ActorMethodError")
    assert refused.error["message"].startswith("OutboundDeniedError: ")


def test_a_request_is_no_part_of_the_turn_that_sends_it(asker: Subject, outside: Outside) -> None:
    outside.answer("/x", 200, {}, b"")
    failed = asker.call("ask_and_fail", f"{outside.url}/x")

    assert failed.error["message"] == "ValueError: after the request"
    assert asker.call("value").typed is None
    assert len(outside.asked()) == 1
    assert asker.call("put_then_ask", 7, f"{outside.url}/x").typed == 200
    assert asker.call("value").typed == 7


def test_a_function_asks_outside_too(driver: Driver, outside: Outside) -> None:
    outside.answer("/x", 201, {"Content-Type": "application/json"}, b'{"a":1}')
    body = json.dumps({"url": f"{outside.url}/x"}).encode()
    reply = driver.fetch("POST", "/outside", {}, body)

    assert (reply.status, reply.text) == (201, '{"a":1}')
    assert reply.headers["content-type"] == "application/json"
