"""Calls that are served without being parsed: what is taken for one, and that its answer is the usual one."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.front.http import aiohttp_internals as library
from holdfast_host.front.known.boundary import HEAD_BYTES_MAX
from holdfast_host.front.known.connection import KnowingConnection
from holdfast_host.front.known.direct import DirectCalls
from tests.unit.front.stage import Stage, request_bytes, staged

TARGET = "/v1/actors/Account/alice/deposit"
CALL = request_bytes("POST", TARGET, b"[1]")
TOKEN = "correct horse"
TYPED = "application/vnd.holdfast+json"
GOOD = {"authorization": f"Bearer {TOKEN}"}


def post(target: str = TARGET, body: bytes = b"[1]", **headers: str) -> bytes:
    return request_bytes("POST", target, body, **{**GOOD, **headers})


CORPUS = {  # what is sent, and whether it is served directly once its head is known
    "a call": (post(), True),
    "no body": (post(body=b""), True),
    "an empty body": (post(body=b"", content_length="0"), True),
    "a large body": (post(body=b'["' + b"x" * 900 + b'"]'), True),
    "typed arguments": (post(content_type=TYPED), True),
    "typed arguments with a parameter": (post(content_type=f"{TYPED}; charset=utf-8"), True),
    "typed result": (post(accept=f"text/html, {TYPED}"), True),
    "typed both ways": (post(content_type=TYPED, accept=TYPED), True),
    "another content type": (post(content_type="text/plain"), True),
    "kept alive by name": (post(connection="keep-alive"), True),
    "our own page": (post(origin="http://localhost", sec_fetch_site="same-origin"), True),
    "a name with what may stand in a segment": (post("/v1/actors/Account/a:b@c,d;e=f&g+h!$'()*~._-/deposit"), True),
    "two dots": (post("/v1/actors/Account/../deposit"), True),
    "a type that nobody owns": (post("/v1/actors/Ledger/a/add"), True),
    "a type in other letters": (post("/v1/actors/account/alice/deposit"), True),
    "the longest name": (post(f"/v1/actors/Account/{'x' * 256}/deposit"), True),
    "no JSON": (post(body=b"{"), True),
    "a scalar": (post(body=b"5"), True),
    "no UTF-8": (post(body=b'["\xff"]'), True),
    "a body nested too deep": (post(body=b"[" * 101 + b"]" * 101), True),
    "a body past the limit": (post(body=b'["' + b"x" * 1000 + b'"]'), True),
    "a name that is too long": (post(f"/v1/actors/Account/{'x' * 257}/deposit"), False),
    "an empty name": (post("/v1/actors/Account//deposit"), False),
    "a method that is too long": (post(f"/v1/actors/Account/alice/{'x' * 257}"), False),
    "an escaped name": (post("/v1/actors/Account/a%2Fb/deposit"), False),
    "a broken escape": (post("/v1/actors/Account/%zz/deposit"), False),
    "a query": (post(f"{TARGET}?x=1"), False),
    "a fragment": (post(f"{TARGET}#x"), False),
    "one segment more": (post(f"{TARGET}/more"), False),
    "another route": (post("/v1/call", b'{"type":"Account","name":"a","method":"deposit"}'), False),
    "an absolute target": (post(f"http://localhost{TARGET}"), False),
    "a space too many": (post().replace(b" HTTP", b"  HTTP", 1), False),
    "GET": (request_bytes("GET", TARGET, b"", **GOOD), False),
    "HEAD": (request_bytes("HEAD", TARGET, b"", **GOOD), False),
    "OPTIONS": (request_bytes("OPTIONS", TARGET, b"", **GOOD), False),
    "another method": (request_bytes("POSTS", TARGET, b"[1]", **GOOD), False),
    "HTTP/1.0": (post().replace(b"HTTP/1.1", b"HTTP/1.0", 1), False),
    "HTTP/1.0 kept alive": (post(connection="keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0", 1), False),
    "HTTP/1.2": (post().replace(b"HTTP/1.1", b"HTTP/1.2", 1), False),
    "closed": (post(connection="close"), False),
    "chunked": (post(body=b"3\r\n[1]\r\n0\r\n\r\n", transfer_encoding="chunked"), False),
    "chunked and with a length": (post(transfer_encoding="chunked", content_length="3"), False),
    "two lengths": (post().replace(b"content-length", b"content-length: 3\r\ncontent-length", 1), False),
    "a length that is none": (post(content_length="+3"), False),
    "expecting to be told to go on": (post(expect="100-continue"), False),
    "a coding": (post(content_encoding="gzip"), False),
    "identity as its coding": (post(content_encoding="identity"), False),
    "asking for another protocol": (post(upgrade="h2c", connection="upgrade"), False),
    "no token": (request_bytes("POST", TARGET, b"[1]"), False),
    "another token": (post(authorization="Bearer wrong"), False),
    "another scheme": (post(authorization=f"Basic {TOKEN}"), False),
    "another host's name": (post(host="evil.example"), False),
    "a host that is none": (post(host="a b"), False),
    "two hosts": (post().replace(b"host:", b"host: localhost\r\nhost:", 1), False),
    "a function's host": (post(host="account.localhost"), False),
    "a page of another origin": (post(origin="http://evil.example"), False),
    "a page of another site": (post(sec_fetch_site="cross-site"), False),
    "a line feed for a line's end": (post().replace(b"\r\nhost", b"\nhost", 1), False),
    "a folded line": (post(x_folded="1\r\n 2"), False),
    "a head that is not worth it": (post(x_long="x" * HEAD_BYTES_MAX), False),
}


@pytest.mark.parametrize("what", CORPUS)
def test_a_request_is_answered_alike_whether_its_head_is_known_or_not(what: str) -> None:
    raw, direct = CORPUS[what]

    async def play() -> None:
        async with staged(token=TOKEN, limits=Limits(arguments_bytes_max=1000)) as stage:
            stage.worker.record(b'{"ok":true}')
            rounds = []
            for _ in range(3):
                refused = dict(stage.server._refused)
                counted = stage.server.requests_count
                before = stage.direct_calls
                answer = await answer_bytes(stage, raw)
                calls = stage.worker.recorded()
                news = {name: count - refused.get(name, 0) for name, count in stage.server._refused.items()}
                news = {name: count for name, count in news.items() if count}
                rounds.append((answer, calls, news, stage.server.requests_count - counted))
                went = stage.direct_calls - before

            assert went == direct
            assert rounds[0] == rounds[1] == rounds[2]
            assert (stage.server.open_requests, stage.front._links[0].unanswered) == (0, 0)

    uvloop.run(play())


async def answer_bytes(stage: Stage, raw: bytes) -> bytes:
    """All that comes back, to the answer's end or that of the connection, but for the time of day."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(raw)
    came = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", came.lower())
    if length is not None and not raw.startswith(b"HEAD"):
        came += await reader.readexactly(int(length[1]))
    if b"connection: close" in came.lower():
        came += b"then the end" + await reader.read()
    writer.close()
    return re.sub(rb"(Date|Holdfast-Request-Id): [^\r]*", rb"\1:", came)


def test_a_head_is_known_once_it_has_passed_and_a_different_one_is_not() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            counts = []
            for raw in (CALL, CALL, CALL.replace(b"alice", b"bob"), CALL.replace(b"host", b"Host"), CALL[:-3] + b"{ }"):
                assert (await stage.exchange(raw)).status == 200
                counts.append(stage.direct_calls)

            assert counts == [0, 1, 2, 2, 3]

    uvloop.run(play())


def test_a_head_that_passed_under_the_older_protocol_is_not_known_under_the_newer() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            kept = request_bytes("POST", TARGET, connection="keep-alive")
            for raw in (kept.replace(b"HTTP/1.1", b"HTTP/1.0"), kept):
                assert (await stage.exchange(raw)).status == 200

            assert stage.direct_calls == 0

    uvloop.run(play())


def test_few_heads_are_kept_none_of_a_trace_and_the_one_known_longest_goes() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            direct = DirectCalls(stage.front._calls, heads_max=2)
            stage.server._new_connection = partial(KnowingConnection, direct, stage.front._known_functions)
            for number in range(5):
                await stage.exchange(request_bytes("POST", TARGET, x=str(number)))
            await stage.exchange(request_bytes("POST", TARGET, x="x" * HEAD_BYTES_MAX))
            await stage.exchange(request_bytes("POST", TARGET, traceparent="00-1-2-01"))  # comes once
            known = dict(direct._heads)
            for number in range(5):
                await stage.exchange(request_bytes("POST", TARGET, x=str(number)))

            assert list(known) == [b"host: localhost\r\nx: 3\r\n\r\n", b"host: localhost\r\nx: 4\r\n\r\n"]
            assert direct.count == 0  # each came when it had just been forgotten

    uvloop.run(play())


def test_a_host_that_is_told_to_parse_all_knows_no_head() -> None:
    async def play() -> None:
        async with staged(known_heads=False) as stage:
            stage.worker.answer = b"1"
            statuses = [(await stage.exchange(CALL)).status for _ in range(3)]

            assert (statuses, stage.direct_calls) == ([200, 200, 200], 0)

    uvloop.run(play())


def test_the_library_has_what_is_relied_on_and_where_it_had_not_all_requests_would_be_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert library.is_known()
    monkeypatch.setattr(library, "PRIVATE", (*library.PRIVATE, "_something_else"))

    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            statuses = [(await stage.exchange(CALL)).status for _ in range(3)]

            assert (statuses, stage.direct_calls) == ([200, 200, 200], 0)

    uvloop.run(play())
