"""Which calls the clients make again, under which key, and what they say where they give up; without a host."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from holdfast import ActorCallError, CodecError
from holdfast.client import AsyncClient, Client, HostUnreachableError, UnexpectedAnswerError

Answer = httpx.Response | httpx.HTTPError
Caller = Callable[..., Any]

FULL = {"name": "MailboxFullError", "message": "the mailbox is full", "retryable": True}
UNKNOWN = {"name": "ActorOutputGateError", "message": "the worker died"}
RAISED = {"name": "ActorMethodError", "message": "ValueError: no such cart"}
REFUSED = {"name": "ActorError", "message": "insufficient funds", "code": "insufficient_funds"}


def _refusal(error: dict[str, Any], status: int) -> httpx.Response:
    return httpx.Response(status, json={"error": error})


def _result(text: str = "5") -> httpx.Response:
    return httpx.Response(200, text=text, headers={"content-type": "application/vnd.holdfast+json"})


class Server:
    """Gives what it was told, in order, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)  # a fresh one

    @property
    def keys(self) -> list[str | None]:
        return [each.headers.get("idempotency-key") for each in self.requests]


def _in_threads(server: Server, *, once: str | None = None, timeout_s: float | None = None, **options: Any) -> Any:
    with Client("http://127.0.0.1:1", transport=httpx.MockTransport(server), **options) as client:
        actor = client.actor("Account", "alice", timeout_s=timeout_s)
        return (actor if once is None else actor.once(once)).deposit(5)


def _in_a_loop(server: Server, *, once: str | None = None, timeout_s: float | None = None, **options: Any) -> Any:
    async def call() -> Any:
        async with AsyncClient("http://127.0.0.1:1", transport=httpx.MockTransport(server), **options) as client:
            actor = client.actor("Account", "alice", timeout_s=timeout_s)
            return await (actor if once is None else actor.once(once)).deposit(5)

    return asyncio.run(call())


@pytest.fixture(params=[_in_threads, _in_a_loop], ids=["threads", "loop"])
def call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setattr("holdfast.client._request._PAUSE_S", 0.001)
    caller: Caller = request.param
    return caller


@pytest.mark.parametrize(
    "failure",
    [
        _refusal(FULL, 429),
        _refusal(UNKNOWN, 500),
        httpx.ConnectError("refused"),
        httpx.ReadError("the connection broke"),
        httpx.RemoteProtocolError("the server said nothing"),
        httpx.Response(502, text="<html>a proxy's</html>"),
    ],
    ids=["refused before it ran", "unknown outcome", "not connected", "broken", "no answer", "a proxy's"],
)
def test_a_call_that_cannot_do_its_work_twice_is_made_again_under_the_same_key(call: Caller, failure: Answer) -> None:
    server = Server(failure, _result())
    assert call(server) == 5
    assert server.keys[0] is not None
    assert server.keys[0] == server.keys[1]


def test_each_call_has_a_key_of_its_own(call: Caller) -> None:
    server = Server(_result(), _result())
    call(server)
    call(server)
    assert len({*server.keys}) == 2


@pytest.mark.parametrize("failure", [_refusal(UNKNOWN, 500), httpx.ReadError("broke")], ids=["unknown", "broken"])
def test_a_call_without_a_key_is_not_made_again_where_nobody_knows_what_it_did(call: Caller, failure: Answer) -> None:
    server = Server(failure, _result())
    with pytest.raises(ActorCallError):
        call(server, retries=0)
    assert server.keys == [None]


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [(RAISED, 500, None), (REFUSED, 409, "insufficient_funds")],
    ids=["raised", "refused"],
)
def test_an_actors_own_error_is_the_callers_at_once(
    call: Caller, refusal: dict[str, Any], status: int, code: str | None
) -> None:
    server = Server(_refusal(refusal, status))
    with pytest.raises(ActorCallError) as caught:
        call(server)
    error = caught.value
    assert (error.name, error.message, error.code, error.status) == (refusal["name"], refusal["message"], code, status)
    assert not error.retryable


def test_what_is_refused_again_and_again_is_refused_in_the_end_and_may_be_tried_later(call: Caller) -> None:
    server = Server(*[_refusal(FULL, 429) for _ in range(3)])
    with pytest.raises(ActorCallError, match="MailboxFullError: the mailbox is full") as caught:
        call(server)
    assert caught.value.retryable
    assert len(server.requests) == 3


def test_what_is_not_connected_says_so_and_that_nothing_was_done(call: Caller) -> None:
    server = Server(*[httpx.ConnectError("refused") for _ in range(3)])
    with pytest.raises(HostUnreachableError) as caught:
        call(server)
    assert str(caught.value) == (
        "HostUnreachableError: Account/alice.deposit at http://127.0.0.1:1: refused; nothing was done"
    )
    assert caught.value.retryable


def test_what_broke_says_that_the_outcome_is_unknown(call: Caller) -> None:
    with pytest.raises(HostUnreachableError, match="broke; the outcome is unknown") as caught:
        call(Server(httpx.ReadError("it broke")), retries=0)
    assert not caught.value.retryable


def test_no_attempt_begins_after_the_time_of_the_call(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.client._request._PAUSE_S", 10.0)
    server = Server(_refusal(FULL, 429), _result())
    began = time.monotonic()
    with pytest.raises(ActorCallError, match="MailboxFullError"):
        call(server, timeout_s=0.5)
    assert time.monotonic() - began < 5
    assert len(server.requests) == 1


class Trickle(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer that goes on and on, a byte at a time."""

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(500):
            time.sleep(0.01)
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def test_an_answer_that_trickles_ends_with_the_time_of_the_call(call: Caller) -> None:
    """The library's own time counts anew for each piece."""
    began = time.monotonic()
    with pytest.raises(HostUnreachableError, match=r"no answer within 0\.1 s; the outcome is unknown"):
        call(lambda request: httpx.Response(200, stream=Trickle()), timeout_s=0.1)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("token", ["secret\n", "two words", "geheimnisträger"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="without spaces and line ends") as refused:
            kind("http://127.0.0.1:1", token)
        assert token.strip() not in str(refused.value)


def test_what_is_no_holdfast_host_is_named(call: Caller) -> None:
    with pytest.raises(UnexpectedAnswerError, match="status 404, no result, and no error of a host: is it a Holdfast"):
        call(Server(httpx.Response(404, text="not here")))
    with pytest.raises(UnexpectedAnswerError, match="status 200"):
        call(Server(_result("<html>")))
    with pytest.raises(UnexpectedAnswerError, match="status 302"):
        call(Server(httpx.Response(302, headers={"location": "http://elsewhere/"})))


def test_a_key_of_the_callers_own_is_sent_as_it_is(call: Caller) -> None:
    server = Server(_result())
    call(server, once='order "17" \\')
    assert server.keys == [r'"order \"17\" \\"']


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "a\nb"])
def test_a_key_that_no_header_carries_is_refused_before_anything_is_sent(call: Caller, key: str) -> None:
    server = Server()
    with pytest.raises(ValueError, match="1 to 255 printable ASCII characters"):
        call(server, once=key)


def test_arguments_and_results_keep_their_types() -> None:
    server = Server(_result('{"$hf":"decimal","v":"1.5"}'))
    with Client("http://127.0.0.1:1", transport=httpx.MockTransport(server)) as client:
        assert client.actor("Shop", "a").price(b"\x00", size=Decimal(2)) == Decimal("1.5")
    assert json.loads(server.requests[0].content) == {
        "$hf": "arguments",
        "v": [[{"$hf": "bytes", "v": "AA=="}], {"size": {"$hf": "decimal", "v": "2"}}],
    }


def test_what_cannot_be_passed_is_refused_by_its_path() -> None:
    with (
        Client("http://127.0.0.1:1", transport=httpx.MockTransport(Server())) as client,
        pytest.raises(CodecError, match=r"the arguments of Shop\.price\[0\]"),
    ):
        client.actor("Shop", "a").price(object())


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8787", "ftp://host", "http://", "http://user@host", "http://h?x=1", "http://["]
)
def test_a_url_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of a host is like"):
        Client(url)
    with pytest.raises(ValueError, match="the URL of a host is like"):
        AsyncClient(url)


def test_url_and_token_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_HOST", "https://actors.example.com")
    monkeypatch.setenv("HOLDFAST_TOKEN", "secret\n")
    server = Server(_result())
    with Client(transport=httpx.MockTransport(server)) as client:
        client.actor("Account", "alice").deposit(5)
    [request] = server.requests
    assert str(request.url) == "https://actors.example.com/v1/actors/Account/alice/deposit"
    assert request.headers["authorization"] == "Bearer secret"


def test_the_steps_of_an_attempt_have_one_deadline_between_them(call: Caller) -> None:
    """To connect, to wait for a connection and to read: the library's own times would count anew for each."""
    left: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        times = request.extensions["timeout"]
        left.append(times.get("pool"))
        time.sleep(0.2)
        left.extend(times.get(step) for step in ("connect", "write", "read"))
        return _result()

    assert call(answer, timeout_s=5.0) == 5
    assert 4.8 < left[0] <= 5
    assert all(0 < each < left[0] - 0.15 for each in left[1:])
