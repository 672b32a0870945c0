"""Requests for functions that are served without being parsed: what is taken for one, and that all is as usual."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvloop

from holdfast_host.core.cors import Cors
from holdfast_host.core.limits import Limits
from holdfast_host.core.tenants import key_of
from holdfast_host.front.known.boundary import HEAD_BYTES_MAX
from holdfast_host.front.known.connection import KnowingConnection
from holdfast_host.wire.calls.function_bodies import FOLLOWS, pack_head, unpack_pull
from holdfast_host.wire.control.catalog import Catalog, Deployment, Tenant
from holdfast_host.wire.control.edge import Edge, NewEdge
from tests.unit.front.stage import CATALOG, Stage, request_bytes, staged, until
from tests.unit.front.test_direct import answer_bytes
from tests.unit.front.test_direct_connections import Client

TOKEN = "correct horse"
HOST = "web.localhost"
LISTED = "https://a.example"
REPLY = b'{"status":201,"headers":[["X-Own","1"],["Set-Cookie","a=1"]],"body":"say \\"\xc3\xbc\\""}'
WEB = Deployment("web", "fn_2", 1, "cd", "/y.cwasm", (), handlers=("fetch",))
CATALOG_HERE = Catalog(
    2,
    (
        *CATALOG.deployments,
        WEB,
        replace(WEB, function="shared", func_id="fn_3", cors=Cors((LISTED,), ("GET", "POST"), expose=("X-Own",))),
    ),
)
USUAL = {"user_agent": "a browser", "accept": "*/*"}


def ask(method: str = "GET", target: str = "/a/b?c=d", body: bytes = b"", **headers: str) -> bytes:
    return request_bytes(method, target, body, **{"host": HOST, **USUAL, **headers})


def by_path(method: str = "GET", target: str = "/fn/web/a?b", body: bytes = b"", **headers: str) -> bytes:
    return ask(method, target, body, **{"host": "localhost", **headers})


CORPUS = {  # what is sent, and whether it is served directly once its head is known
    "GET": (ask(), True),
    "POST": (ask("POST", "/", b'{"a":1}', content_type="application/json"), True),
    "POST without a body": (ask("POST"), True),
    "PUT": (ask("PUT", body=b"x"), True),
    "PATCH": (ask("PATCH", body="ü".encode()), True),
    "DELETE": (ask("DELETE"), True),
    "HEAD": (ask("HEAD"), True),
    "GET with a body": (ask(body=b"x"), True),
    "a body that is no text": (ask("POST", body=b"\xff\x00"), True),
    "a body with quotes": (ask("POST", body=b'"\\\x01'), True),
    "an empty body": (ask("POST", content_length="0"), True),
    "a body past the limit": (ask("POST", body=b"x" * 1001), False),
    "by path": (by_path(), True),
    "by path, with a body": (by_path("POST", "/fn/web/", b"x"), True),
    "by path, the function alone": (by_path(target="/fn/web"), True),
    "by path, a query alone": (by_path(target="/fn/web?x=1"), True),
    "by path, two slashes": (by_path(target="/fn/web//a"), True),
    "by path, in other letters": (by_path(target="/fn/Web/a"), False),
    "by path, one that nobody deployed": (by_path(target="/fn/nosuch/a"), False),
    "by path, without a fetch handler": (by_path(target="/fn/account/a"), False),
    "without a fetch handler": (ask(host="account.localhost"), False),
    "one that nobody deployed": (ask(host="nosuch.localhost"), False),
    "a host in other letters": (ask(host="WEB.localhost"), True),
    "a host with a port": (ask(host="web.localhost:8787"), True),
    "a host with a dot": (ask(host="web.localhost."), True),
    "a host that JSON escapes": (ask(host='a"b.localhost'), False),
    "of a tenant": (ask(host="web.acme.localhost"), False),  # which has none
    "what is the API's elsewhere": (ask(target="/v1/functions"), True),
    "a call's path": (ask("POST", "/v1/actors/Account/a/deposit", b"[1]"), True),
    "what is the host's elsewhere": (ask(target="/health/liveness"), False),
    "the prefix of others": (ask(target="/fn/shared/a"), True),
    "an escaped path": (ask(target="/a%2Fb%20c"), True),
    "two slashes": (ask(target="//a"), True),
    "all that may stand in a path": (ask(target="/-._~!$&'()*+,;=:@/?"), True),
    "a fragment": (ask(target="/a#b"), False),
    "a quote": (ask(target='/a"b'), False),
    "a long path": (ask(target=f"/{'x' * 1024}"), True),
    "a longer path": (ask(target=f"/{'x' * 1025}"), False),
    "no path": (ask(target="*"), False),
    "an absolute target": (ask(target="http://web.localhost/a"), False),
    "cookies": (ask(cookie="holdfast_token=x; own=1"), True),
    "our cookie alone": (ask(cookie="holdfast_token=x"), True),
    "hop by hop": (ask(connection="keep-alive, x-hop", x_hop="1", te="trailers"), True),
    "the host's token": (ask(authorization=f"Bearer {TOKEN}"), True),
    "another token": (ask(authorization="Bearer own"), True),
    "bytes that are no UTF-8": (ask(x_bytes="\udcff"), True),
    "a key": (ask("POST", body=b"x", idempotency_key="k"), False),
    "a trace": (ask(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), False),
    "who came before": (ask(x_forwarded_for="203.0.113.9", x_forwarded_proto="https"), True),
    "shared with a page": (ask(host="shared.localhost", origin=LISTED), True),
    "shared with another": (ask(host="shared.localhost", origin="https://b.example"), True),
    "shared by path": (by_path(target="/fn/shared/a", origin=LISTED), True),
    "shared, asked first": (
        ask("OPTIONS", host="shared.localhost", origin=LISTED, access_control_request_method="POST"),
        False,
    ),
    "OPTIONS": (ask("OPTIONS"), False),
    "another method": (ask("PROPFIND"), False),
    "HEAD of an event stream": (ask("HEAD", accept="text/event-stream"), True),
    "another protocol": (ask(upgrade="h2c", connection="upgrade"), False),
    "closed": (ask(connection="close"), False),
    "HTTP/1.0": (ask().replace(b"HTTP/1.1", b"HTTP/1.0", 1), False),
    "chunked": (ask("POST", body=b"1\r\nx\r\n0\r\n\r\n", transfer_encoding="chunked"), False),
    "two lengths": (
        ask("POST", body=b"x").replace(b"content-length", b"content-length: 1\r\ncontent-length", 1),
        False,
    ),
    "a coding": (ask("POST", body=b"x", content_encoding="identity"), False),
    "two hosts": (ask().replace(b"host:", b"host: localhost\r\nhost:", 1), False),
    "a host that is none": (ask(host="a b.localhost"), False),
    "a line feed for a line's end": (ask().replace(b"\r\nhost", b"\nhost", 1), False),
    "a head that is not worth it": (ask(x_long="x" * HEAD_BYTES_MAX), False),
}
REPLIES = {
    "whole": (200, REPLY),
    "as the SDK writes it": (200, b'{"status":200,"headers":[["Content-Type","application/json"]],"body":"[1]"}'),
    "dated by itself": (200, b'{"status":200,"headers":[["Date","now"],["Server","mine"]],"body":"x"}'),
    "rules of an origin": (200, b'{"status":200,"headers":[["Clear-Site-Data","*"]],"body":"x"}'),
    "our cookie": (200, b'{"status":200,"headers":[["Set-Cookie","holdfast_token=x"]],"body":"x"}'),
    "what pages may do": (200, b'{"status":200,"headers":[["Access-Control-Allow-Origin","*"]],"body":"x"}'),
    "no body": (200, b'{"status":204,"headers":[]}'),
    "a status without a body": (200, b'{"status":304,"headers":[],"body":"x"}'),
    "reset": (200, b'{"status":205,"headers":[],"body":"x"}'),
    "bytes": (200, b'{"status":200,"headers":[],"body_base64":"/w=="}'),
    "a member behind the body": (200, b'{"status":200,"headers":[],"body":"x","status":404}'),
    "two bodies": (200, b'{"status":200,"headers":[],"body":"x","body":"y"}'),
    "a body that ends early": (200, b'{"status":200,"headers":[],"body":"x"'),
    "a surrogate": (200, b'{"status":200,"headers":[],"body":"\\ud800"}'),
    "no status": (200, b'{"status":99,"headers":[],"body":"x"}'),
    "a header that is none": (200, b'{"status":200,"headers":[["a b","1"]],"body":"x"}'),
    "no JSON": (200, b"{"),
    "an error": (503, b'{"error":{"name":"HostUnavailableError","message":"m"}}'),
}


async def alike(stage: Stage, raw: bytes, *, direct: bool) -> None:
    """Three times the same: what is answered, what the worker is asked, what is counted; the last two go directly."""
    rounds = []
    for _ in range(3):
        refused, counted = dict(stage.server._refused), stage.server.requests_count
        before = stage.direct_calls
        answer = await answer_bytes(stage, raw)
        news = {name: count - refused.get(name, 0) for name, count in stage.server._refused.items()}
        news = {name: count for name, count in news.items() if count}
        rounds.append((answer, stage.worker.recorded(), news, stage.server.requests_count - counted))
        went = stage.direct_calls - before

    assert went == direct
    assert rounds[0] == rounds[1] == rounds[2]
    assert (stage.server.open_requests, stage.front._links[0].unanswered) == (0, 0)
    assert stage.front._known_functions._hosts._held._of_all == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("what", CORPUS)
def test_a_request_is_answered_alike_whether_its_head_is_known_or_not(what: str, proxied: bool) -> None:
    raw, direct = CORPUS[what]
    edge = Edge(("127.0.0.1/32",)) if proxied else Edge()

    async def play() -> None:
        limits = Limits(fetch_body_bytes_max=1000)
        async with staged(token=TOKEN, limits=limits, catalog=CATALOG_HERE, edge=edge) as stage:
            stage.worker.record(REPLY)
            await alike(stage, raw, direct=direct)

    uvloop.run(play())


@pytest.mark.parametrize("what", REPLIES)
@pytest.mark.parametrize(
    "raw", [ask(), ask("HEAD"), by_path("POST", body=b"x"), ask(host="shared.localhost", origin=LISTED)]
)
def test_a_response_is_sent_alike_whether_the_requests_head_is_known_or_not(what: str, raw: bytes) -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            status, reply = REPLIES[what]
            stage.worker.record(reply)
            stage.worker.status = status
            await alike(stage, raw, direct=True)

    uvloop.run(play())


def test_a_response_with_the_head_of_another_way_keeps_the_rules_of_its_own() -> None:
    """The same text, by path and by host, shared and not: what is remembered of the one is not sent with the other."""
    headers = [["Clear-Site-Data", "*"], ["Access-Control-Allow-Origin", "*"], ["X-Own", "1"]]
    reply = json.dumps({"status": 200, "headers": headers, "body": "x"}, separators=(",", ":")).encode()
    requests = [ask(), by_path(), ask(host="shared.localhost", origin=LISTED), by_path(target="/fn/shared/")]

    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            stage.worker.answer = reply
            heads = []
            for _ in range(3):
                for raw in requests:
                    answer = (await answer_bytes(stage, raw)).lower()
                    heads.append((b"clear-site-data" in answer, b"access-control-allow-origin: *" in answer))

            assert heads == [(True, True), (False, True), (True, False), (False, False)] * 3
            assert stage.direct_calls == 9  # those by path have one head

    uvloop.run(play())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_response_in_pieces_is_sent_alike_whether_the_requests_head_is_known_or_not(method: str) -> None:
    head = b'{"status":200,"headers":[["X-Own","1"]],"body_follows":true}'

    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage, opened(stage) as (client, end):
            answers = []
            for number in range(3):
                before = stage.direct_calls
                client.send(ask(method))
                await stage.worker.reply(await stage.worker.next_call(), 200 | FOLLOWS, pack_head(number, head))
                for piece in (b"one", b"two", b"") if method == "GET" else ():
                    asked = await stage.worker.next_call()
                    assert unpack_pull(asked.body) == (number, False)
                    await stage.worker.reply(asked, 200, piece)
                answers.append(await read_whole(client, has_body=method == "GET"))
                if method == "HEAD":
                    closing = await stage.worker.next_call()
                    assert unpack_pull(closing.body) == (number, True)
                    await stage.worker.reply(closing, 503, b"{}")
                await until(lambda: not end.engaged and end.waits)
                went = stage.direct_calls - before

            assert (answers[0], went) == (answers[2], 1)
            assert answers[0] == answers[1]
            assert stage.server.open_requests == 0

    uvloop.run(play())


@asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[tuple[Client, KnowingConnection]]:
    """A client, and the front's end of its connection."""
    before = set(stage.server._kept.live)
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    await until(lambda: set(stage.server._kept.live) - before)
    [end] = set(stage.server._kept.live) - before
    assert isinstance(end, KnowingConnection)
    await until(lambda: end.waits)
    try:
        yield Client(reader, writer), end
    finally:
        writer.close()


async def read_whole(client: Client, *, has_body: bool) -> bytes:
    """All of an answer but its date; of one in pieces to its last."""
    head = await client.reader.readuntil(b"\r\n\r\n")
    body = await client.reader.readuntil(b"0\r\n\r\n") if has_body else b""
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Date:")) + body


def test_a_client_that_goes_before_the_answer_and_in_its_middle_leaves_nothing_behind() -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            raw = ask("POST", body=b"x" * 100)
            stage.worker.answer = REPLY
            await stage.exchange(raw)
            stage.worker.answer = None
            async with opened(stage) as (client, _):
                client.send(raw)
                call = await stage.worker.next_call()
            cancelled = await asyncio.wait_for(stage.worker.cancelled.get(), 10)
            await stage.worker.reply(call, 503, b"{}")
            async with opened(stage) as (client, _):
                client.send(raw)
                text = pack_head(7, b'{"status":200,"headers":[],"body_follows":true}')
                await stage.worker.reply(await stage.worker.next_call(), 200 | FOLLOWS, text)
                await stage.worker.reply(await stage.worker.next_call(), 200, b"piece")
                await client.reader.readuntil(b"piece")
                pull = await stage.worker.next_call()
            closing = await stage.worker.next_call()
            for each in (pull, closing):
                await stage.worker.reply(each, 200, b"")
            await until(lambda: not stage.front._links[0].unanswered)

            assert cancelled == call.slot
            assert unpack_pull(closing.body) == (7, True)
            assert (stage.direct_calls, stage.server.open_requests) == (2, 0)
            assert stage.front._known_functions._hosts._held._of_all == 0  # type: ignore[attr-defined]

    uvloop.run(play())


def test_what_is_deployed_is_asked_of_each_request() -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            stage.worker.answer = REPLY
            statuses = [(await stage.exchange(ask())).status for _ in range(2)]
            stage.supervisor.send("catalog", catalog={"number": 3, "deployments": []})
            await until(lambda: stage.front._calls.view.number == 3)
            statuses.append((await stage.exchange(ask())).status)

            assert (statuses, stage.direct_calls) == ([201, 201, 404], 1)

    uvloop.run(play())


def test_what_the_function_of_a_known_head_lacks_is_said_of_it() -> None:
    """By path a head is known for whichever function is named."""

    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            parsed = await stage.exchange(by_path(target="/fn/account/a"))
            stage.worker.answer = REPLY
            await stage.exchange(by_path())
            known = await stage.exchange(by_path(target="/fn/account/a"))

            assert (known.status, known.body, stage.direct_calls) == (404, parsed.body, 1)

    uvloop.run(play())


def test_what_bodies_of_known_heads_hold_is_counted_and_bounded() -> None:
    async def play() -> None:
        raw = ask("POST", body=b"x" * 100)
        async with staged(catalog=CATALOG_HERE, limits=Limits(function_held_bytes_max=150)) as stage:
            stage.worker.answer = REPLY
            await stage.exchange(raw)
            stage.worker.answer = None
            async with opened(stage) as (first, _):
                first.send(raw)
                call = await stage.worker.next_call()
                full = await stage.exchange(raw)
                await stage.worker.reply(call, 200, REPLY)
                served, _ = await first.receive()

            assert (full.status, full.error, served) == (429, "MailboxFullError", 201)
            assert stage.direct_calls == 2

    uvloop.run(play())


def test_a_request_for_an_event_stream_is_parsed_each_time() -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            stage.worker.answer = REPLY
            statuses = [(await stage.exchange(ask(accept="text/event-stream"))).status for _ in range(3)]

            assert (statuses, stage.direct_calls) == ([201] * 3, 0)

    uvloop.run(play())


def test_a_tenants_function_is_its_own_by_host_and_by_path() -> None:
    theirs = replace(WEB, function=key_of("acme", "web"), func_id="fn_9")
    catalog = replace(CATALOG_HERE, deployments=(*CATALOG_HERE.deployments, theirs), tenants=(Tenant("acme"),))

    async def play() -> None:
        async with staged(catalog=catalog) as stage:
            stage.worker.record(REPLY)
            for raw in (ask(host="web.acme.localhost"), by_path(target="/fn/web.acme/a"), ask(), by_path()):
                await alike(stage, raw, direct=True)
            for raw in (ask(host="web.acme.localhost"), by_path(target="/fn/web.acme/a"), ask(), by_path()):
                await stage.exchange(raw)

            assert [call.name for call in stage.worker.recorded()] == [b"web.acme", b"web.acme", b"web", b"web"]

    uvloop.run(play())


@pytest.mark.parametrize(
    ("absolute", "then"),
    [
        (ask(target="http://shared.localhost/a"), ask(target="/a")),
        (ask(target="http://localhost/fn/shared/a"), ask(target="/fn/shared/a")),
    ],
)
def test_a_head_whose_target_named_another_host_is_not_known(absolute: bytes, then: bytes) -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            stage.worker.record(REPLY)
            for raw in (absolute, then, then):
                await stage.exchange(raw)

            assert [call.name for call in stage.worker.recorded()] == [b"shared", b"web", b"web"]

    uvloop.run(play())


def test_heads_are_forgotten_with_the_settings_under_which_they_passed_and_with_a_token() -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            stage.worker.answer = REPLY
            known = stage.front._known_functions
            await stage.exchange(ask())
            after = [len(known._heads)]
            stage.front.on_message(NewEdge(Edge(("127.0.0.1/32",))))
            after.append(len(known._heads))
            await stage.exchange(ask())
            stage.front._tokens.take_used()
            after.append(len(known._heads))

            assert after == [1, 0, 0]

    uvloop.run(play())


def test_few_heads_are_kept_and_the_one_known_longest_goes() -> None:
    async def play() -> None:
        async with staged(catalog=CATALOG_HERE) as stage:
            stage.worker.answer = REPLY
            known = stage.front._known_functions
            known._heads_max = 2
            for number in range(4):
                await stage.exchange(ask(x=str(number)))

            assert [block.split(b"x: ")[1][:1] for _, block in known._heads] == [b"2", b"3"]

    uvloop.run(play())


def test_a_host_that_is_told_to_parse_all_knows_no_head() -> None:
    async def play() -> None:
        async with staged(known_heads=False, catalog=CATALOG_HERE) as stage:
            stage.worker.answer = REPLY
            statuses = [(await stage.exchange(ask())).status for _ in range(3)]

            assert (statuses, stage.direct_calls) == ([201] * 3, 0)

    uvloop.run(play())
