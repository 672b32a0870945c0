"""The function's own `fetch(request, env)`."""

from __future__ import annotations

import json

from tests.contract.guest.drivers import Driver, Subject


def test_a_function_reads_its_request_and_its_environment(driver: Driver) -> None:
    reply = driver.fetch("PUT", "/a%20b/c?a=1&a=2&b=%C3%A9&d=", {"X-One": "1"}, "body é".encode())

    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.text) == [
        "PUT", "/a b/c", {"a": "2", "b": "é", "d": ""}, ["1", "2"], "1", "body é", "hello",
    ]  # fmt: skip


def test_a_function_calls_actors(driver: Driver, probe: Subject) -> None:
    reply = driver.fetch("POST", f"/call/{probe.name}", {}, b"")

    assert (reply.status, json.loads(reply.text)) == (201, {"found": [None, 1]})
    assert probe.one("get", "k") == 1


def test_a_response_has_the_bytes_status_and_headers_that_were_given(driver: Driver) -> None:
    reply = driver.fetch("POST", "/bytes", {}, b"\x01abc")

    assert (reply.status, reply.text) == (200, "cba\x01")
    assert (reply.headers["content-type"], reply.headers["x-two"]) == ("image/png", "2")
    assert driver.fetch("GET", "/empty", {}, b"").status == 204


def test_a_function_may_refuse_and_so_may_who_it_calls(driver: Driver, shapes: Subject) -> None:
    assert driver.fetch("GET", "/refuse", {}, b"").error == {
        "name": "ActorError", "message": "not here", "retryable": False, "code": "nowhere",
    }  # fmt: skip
    reply = driver.fetch("GET", f"/refused/{shapes.name}", {}, b"")
    assert reply.refusal == (409, "ActorError")
    assert reply.error["code"] == "insufficient_funds"


def test_what_else_fails_in_a_function_stays_in_its_log(driver: Driver) -> None:
    for path in ("/fail", "/wrong"):
        reply = driver.fetch("GET", path, {}, b"")

        assert reply.refusal == (500, "ActorMethodError")
        assert reply.error["message"] == "the function 'suite' failed: its log says why"
    lines = driver.log("fn suite")
    assert ("stdout", "before it failed") in lines
    assert any(level == "error" and "ValueError: a secret" in text and "app.py" in text for level, text in lines)
