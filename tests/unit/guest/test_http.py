from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast import Env, Headers, Request, Response, StatefulActor
from holdfast._body_pieces import BodyPieces
from holdfast._coroutines import Coroutines
from holdfast._describe import Component
from holdfast._exports import Guest
from holdfast._host_imports import Err
from holdfast._http import _path_and_query
from holdfast._log_capture import Output
from tests.unit.guest.memory_host import Hosted, host_imports


def wire(**facts: Any) -> str:
    return json.dumps({"method": "GET", "url": "http://host/", **facts})


def test_a_request_has_its_parts() -> None:
    url = "http://h:1/a%2Fb/%E5%90%8D?x=1&x=2&y=&z=%20"
    request = Request.from_wire(wire(method="post", url=url, headers=[["X-A", "1"], ["x-a", "2"]], body='{"n":1}'))

    assert (request.method, request.path) == ("POST", "/a/b/名")
    assert request.query == {"x": "2", "y": "", "z": " "}
    assert request.query_all("x") == ["1", "2"]
    assert (request.headers["x-A"], request.headers.get_all("X-a")) == ("1", ["1", "2"])
    assert (request.text(), request.json(), request.body) == ('{"n":1}', {"n": 1}, b'{"n":1}')


@pytest.mark.parametrize("body", ["text é", b"\x00\xff", "", b"bytes"])
def test_requests_and_responses_cross_unchanged(body: str | bytes) -> None:
    request = Request.from_wire(Request("http://h/", "PUT", {"A": "b"}, body).to_wire())
    response = Response.from_wire(Response(body, 404, [("A", "b")]).to_wire())

    expected = body.encode() if isinstance(body, str) else body
    assert (request.body, response.body, response.status) == (expected, expected, 404)
    assert request.headers == Headers({"a": "b"})


def test_a_body_that_utf_8_cannot_hold_is_refused_where_it_is_written_and_read() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        Response("\ud800")
    with pytest.raises(ValueError, match="surrogates not allowed"):
        Response.from_wire('{"status":200,"body":"\\ud800"}')

    assert Response.json("\ud800").body == b'"\\ud800"'


def test_a_response_says_what_its_body_is_unless_told() -> None:
    assert Response("x").headers["content-type"] == "text/plain; charset=utf-8"
    assert Response(b"x").headers["content-type"] == "application/octet-stream"
    assert Response.json({"a": (1,)}).body == b'{"a":[1]}'
    assert Response.json(1, headers={"content-type": "application/problem+json"}).headers.items() == [
        ("content-type", "application/problem+json")
    ]
    assert "content-type" not in Response(status=204).headers


def test_a_header_may_repeat_and_be_replaced() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X", "y")])
    assert (headers.get_all("Set-Cookie"), list(headers), len(headers)) == (
        ["a=1", "b=2"],
        ["Set-Cookie", "set-cookie", "X"],
        3,
    )

    headers["SET-COOKIE"] = "c=3"

    assert headers.items() == [("X", "y"), ("SET-COOKIE", "c=3")]
    with pytest.raises(KeyError):
        headers["nope"]


@pytest.mark.parametrize(("name", "value"), [("A", "x\r\nB: y"), ("A\n", "x"), ("", "x"), ("A", 1)])
def test_a_header_cannot_smuggle_another(name: Any, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="header"):
        Response("x", headers=[(name, value)])


@pytest.mark.parametrize("status", [99, 600, 101, "200", True])
def test_a_status_is_200_to_599(status: Any) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        Response("x", status)


class Room(StatefulActor):
    async def fetch(self, request: Request) -> Response:
        return Response(f"{self.ctx.name} {request.path}")


class Silent(StatefulActor): ...


def answer(guest: Guest, **facts: Any) -> Any:
    try:
        return json.loads(guest.fetch(wire(**facts)))
    except Err as error:
        return json.loads(error.value)


def test_an_actor_answers_requests_itself() -> None:
    assert answer(Hosted(Room).guest, url="http://h/x")["body"] == "alice /x"


def test_an_actor_without_a_handler_says_so() -> None:
    assert answer(Hosted(Silent).guest)["name"] == "ActorUnknownMethodError"


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (lambda request, env: Response(env.GREETING), {"status": 200, "body": "hello"}),
        (lambda request, env: {"no": "response"}, {"name": "ActorMethodError"}),
        (lambda request, env: Response.json(print), {"name": "ActorMethodError"}),
        (lambda request, env: 1 / 0, {"name": "ActorMethodError", "message": "ZeroDivisionError: division by zero"}),
    ],
)
def test_a_functions_sandbox_answers_by_the_modules_handler(handler: Any, expected: dict[str, Any]) -> None:
    imports = host_imports()
    guest = Guest(Component({}, handler), imports, Output())
    guest.activate("", "", '{"bindings":{},"variables":{"GREETING":"hello"}}')

    found = answer(guest)

    assert {key: found[key] for key in expected} == expected


def test_a_fetch_handler_may_be_annotated() -> None:
    def fetch(request: Request, env: Env) -> Response:
        return Response()

    assert Component({}, fetch).fetch is fetch


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_537, 98_303, 98_304, 98_305, 147_457, 1_000_000])
def test_a_binary_body_of_any_length_comes_back_whatever_its_parts_are(size: int) -> None:
    body = bytes(range(255, -1, -1)) * (size // 256 + 1)
    headers = [("X-Quoted", '"body_base64":"x"')]
    request = Request.from_wire(Request("http://a/b", "PUT", headers, body[:size]).to_wire())
    response = Response.from_wire(Response(body[:size], 201, headers).to_wire())

    assert (request.body, request.headers.get("x-quoted")) == (body[:size], '"body_base64":"x"')
    assert (response.body, response.status) == (body[:size], 201)


def test_a_long_body_is_found_wherever_it_stands_and_however_it_is_spaced() -> None:
    body = b"\xff" * 90_000
    encoded = base64.b64encode(body).decode()
    texts = [
        f'{{"body_base64":"{encoded}"}}',
        f'{{"body_base64":"{encoded}","method":"PUT"}}',
        f'{{ "method": "PUT", "body_base64": "{encoded}" }}',
    ]

    for text in texts:
        facts = {"url": "http://a/", "method": "PUT", "headers": []}
        whole = json.dumps(facts)[:-1] + "," + text[1:]
        assert Request.from_wire(whole).body == body


@given(
    st.from_regex(
        r"(https?|ftp|HTTP)://[a-z0-9.:@\[\]-]{0,12}(/[ -~é]{0,10})?(\?[ -~\t]{0,10})?(#[ -~]{0,5})?", fullmatch=True
    )
)
@example("http://h")
@example("http://h?x")
@example("http://h/a;b?c#d")
@example("http://u@h:80/%2F//..\n")
def test_the_path_and_query_of_any_url_are_those_of_the_standard_library(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            Request(url)
        return

    assert _path_and_query(url) == (parts.path, parts.query)


async def _apart(pieces: list[Any]) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("kind", [iter, _apart])
def test_a_piece_that_is_none_is_an_error_and_not_the_end_of_the_body(kind: Any) -> None:
    """Half of a body must never look like the whole of it."""
    pieces = BodyPieces(kind(["a", None, "b"]), Coroutines())

    assert pieces.take() == "YQ=="
    with pytest.raises(TypeError, match="not of NoneType"):
        pieces.take()


@pytest.mark.parametrize("value", [None, {"a": [1, 2.5]}, "ü", "\ud800", 'say "so"\n', "x" * 70_000])
def test_a_usual_response_is_written_as_any_other(value: Any) -> None:
    assert Response.json(value, 201).to_wire() == Response.json(value, 201, headers={}).to_wire()


def test_what_a_handler_changes_of_a_usual_response_is_what_is_sent() -> None:
    def sent(change: Callable[[Response], None]) -> dict[str, Any]:
        response = Response.json({"a": 1})
        change(response)
        found: dict[str, Any] = json.loads(response.to_wire())
        return found

    kind = ["Content-Type", "application/json"]
    usual = {"status": 200, "headers": [kind], "body": '{"a":1}'}

    assert sent(lambda response: None) == usual
    assert sent(lambda response: setattr(response, "status", 404)) == {**usual, "status": 404}
    assert sent(lambda response: setattr(response, "body", b"other")) == {**usual, "body": "other"}
    assert sent(lambda response: response.headers.add("X-A", "1")) == {**usual, "headers": [kind, ["X-A", "1"]]}
    assert sent(lambda response: setattr(response, "headers", Headers())) == {**usual, "headers": []}


def test_a_request_that_was_read_can_be_changed_and_handed_on() -> None:
    request = Request.from_wire('{"method":"POST","url":"http://a/b?c=1","headers":[["X-A","1"]],"body":"\u00fc"}')
    request.headers["X-A"] = "2"
    request.body = b"other"

    assert (request.text(), request.path, request.query) == ("other", "/b", {"c": "1"})
    assert json.loads(request.to_wire())["headers"] == [["X-A", "2"]]
    assert json.loads(request.to_wire())["body"] == "other"
