"""Requests for functions over real sockets; the test plays the worker."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.control.catalog import Catalog, Deployment
from holdfast_host.wire.control.protocol import NewCatalog
from tests.unit.front.stage import CATALOG, Response, Stage, read_response, staged

HOST = "web.localhost:8787"
OK = b'{"status":200,"headers":[],"body":"fine"}'
WEB = Deployment("web", "fn_2", 1, "cd", "/y.cwasm", (), handlers=("fetch",))


def deploy(stage: Stage) -> None:
    catalog = Catalog(CATALOG.number + 1, (*CATALOG.deployments, WEB))
    stage.front.on_message(NewCatalog(catalog))


async def asked(
    stage: Stage, method: str, target: str, body: bytes = b"", reply: bytes = OK, status: int = 200, **headers: str
) -> tuple[Call, dict[str, Any], Response]:
    """One request to the function: the call, the request as the guest reads it, the response."""
    headers.setdefault("host", HOST)
    task = asyncio.create_task(stage.ask(method, target, body, **headers))
    getter = asyncio.create_task(stage.worker.next_call())
    await asyncio.wait([task, getter], return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), task.result()
    call = await getter
    await stage.worker.reply(call, status, reply)
    return call, json.loads(call.body), await task


@pytest.mark.parametrize(
    ("host", "target", "url"),
    [
        (HOST, "/", f"http://{HOST}/"),
        (HOST, "/v1/actors/Account/alice/deposit", f"http://{HOST}/v1/actors/Account/alice/deposit"),
        (HOST, "/health/liveness", f"http://{HOST}/health/liveness"),
        (HOST, "/fn/account/x", f"http://{HOST}/fn/account/x"),
        (HOST, "/a%2Fb/../c?x=1&y=%20#z", f"http://{HOST}/a%2Fb/../c?x=1&y=%20"),
        ("WEB.LocalHost", "/a", "http://WEB.LocalHost/a"),
        ("web.localhost.:1", "/a", "http://web.localhost.:1/a"),
        ("127.0.0.1", f"http://{HOST}/a?b", f"http://{HOST}/a?b"),
        ("127.0.0.1", "/fn/web/a/b?c", "http://web.localhost:PORT/a/b?c"),
        ("127.0.0.1", "/fn/web", "http://web.localhost:PORT/"),
        ("127.0.0.1", "/fn/web?c", "http://web.localhost:PORT/?c"),
        ("127.0.0.1", "/fn/web//a/../v1", "http://web.localhost:PORT//a/../v1"),
    ],
)
def test_a_function_sees_its_own_url(host: str, target: str, url: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            call, request, response = await asked(stage, "GET", target, host=host)

            assert (call.kind, call.name, call.type_id, call.origin) == (CallKind.FUNCTION, b"web", 0, b"")
            assert request["url"] == url.replace("PORT", str(stage.port))
            assert (response.status, response.body) == (200, b"fine")

    uvloop.run(play())


@pytest.mark.parametrize(
    ("host", "target", "status", "error"),
    [
        ("nosuch.localhost", "/v1/actors", 404, "UnknownFunctionError"),
        ("a.web.localhost", "/", 404, "UnknownFunctionError"),
        ("account.localhost", "/", 404, "ActorUnknownMethodError"),  # ships no fetch handler
        ("localhost", "/fn/nosuch/x", 404, "UnknownFunctionError"),
        ("localhost", "/fn/", 404, "UnknownRouteError"),
        ("localhost", "/fn", 404, "UnknownRouteError"),
    ],
)
def test_what_is_no_function_is_404_and_reaches_no_worker(host: str, target: str, status: int, error: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            response = await stage.ask("GET", target, host=host)

            assert (response.status, response.error) == (status, error)
            assert stage.worker.calls.empty()

    uvloop.run(play())


def test_two_host_headers_are_refused() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: web.localhost\r\n\r\n")
            response = await read_response(reader)
            writer.close()

            assert (response.status, response.error) == (400, "BadRequestError")

    uvloop.run(play())


def test_headers_keep_order_case_and_repetition_and_lose_what_is_the_connections_own() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            lines = [
                f"Host: {HOST}", "X-B: 2", "x-a: 1", "X-B: 3", "Connection: close, X-Private", "X-Private: 1",
                "Keep-Alive: 5", "TE: trailers", "Upgrade: h2c", "Expect: 100-continue", "Transfer-Encoding: chunked",
                "Cookie: a=1", "X-Latin: \xe4",
            ]  # fmt: skip
            writer.write(("POST / HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode("latin-1"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"3\r\nabc\r\n0\r\n\r\n")
            call = await stage.worker.next_call()
            await stage.worker.reply(call, 200, OK)
            response = await read_response(reader)
            writer.close()

            request = json.loads(call.body)
            assert request["headers"] == [
                ["Host", HOST], ["X-B", "2"], ["x-a", "1"], ["X-B", "3"], ["Cookie", "a=1"], ["X-Latin", "ä"],
                ["Content-Length", "3"],
            ]  # fmt: skip
            assert request["body"] == "abc"
            assert response.headers["connection"] == "close"

    uvloop.run(play())


@pytest.mark.parametrize(
    "body", [b"text \xc3\xa4", b"\xff\x00", b"x" * 100_000, bytes(range(256)) * 2_000, b"\0" * 70_000]
)
def test_a_body_of_any_bytes_arrives_and_leaves_as_it_is(body: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            encoded = base64.b64encode(body)
            reply = b'{"status":201,"headers":[["Content-Type","x/y"]],"body_base64":"%b"}' % encoded
            _, request, response = await asked(stage, "PUT", "/", body, reply)

            given = request.get("body")
            found = base64.b64decode(request["body_base64"]) if given is None else given.encode()
            assert found == body
            assert (response.status, response.body, response.headers["content-type"]) == (201, body, "x/y")

    uvloop.run(play())


def test_a_body_that_the_server_decodes_loses_the_header_that_says_so() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            _, request, _ = await asked(stage, "POST", "/", gzip.compress(b"plain"), content_encoding="gzip")

            names = {name.lower(): value for name, value in request["headers"]}
            assert request["body"] == "plain"
            assert names["content-length"] == "5"
            assert "content-encoding" not in names

    uvloop.run(play())


def test_only_the_hosts_own_token_is_kept_from_functions_which_are_public() -> None:
    async def play() -> None:
        async with staged(token="the-token") as stage:
            deploy(stage)
            _, shown, response = await asked(stage, "GET", "/", authorization="Bearer the-token")
            _, other, _ = await asked(stage, "GET", "/", authorization="Bearer of-a-user")

            assert response.status == 200
            assert "Authorization" not in dict(shown["headers"])
            assert dict(other["headers"])["authorization"] == "Bearer of-a-user"

    uvloop.run(play())


def test_the_cookie_of_the_inspector_is_kept_from_functions_and_their_own_are_not() -> None:
    async def play() -> None:
        async with staged(token="the-token") as stage:
            deploy(stage)
            _, shown, _ = await asked(stage, "GET", "/", cookie="seen=1; holdfast_token=dGhlLXRva2Vu; theme=dark")
            _, alone, _ = await asked(stage, "GET", "/", cookie="holdfast_token=dGhlLXRva2Vu")

            assert dict(shown["headers"])["cookie"] == "seen=1; theme=dark"
            assert "cookie" not in dict(alone["headers"])

    uvloop.run(play())


@pytest.mark.limit("fetch_body_bytes_max")
def test_a_body_of_the_largest_size_passes() -> None:
    async def play() -> None:
        async with staged(limits=Limits().replace(fetch_body_bytes_max=1_000)) as stage:
            deploy(stage)
            _, _, response = await asked(stage, "POST", "/", b"x" * 1_000)
            assert response.status == 200

    uvloop.run(play())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_past_the_limit_is_413(chunked: bool) -> None:
    async def play() -> None:
        async with staged(limits=Limits().replace(fetch_body_bytes_max=1_000)) as stage:
            deploy(stage)
            if chunked:
                body = b"3e9\r\n" + b"x" * 1_001 + b"\r\n0\r\n\r\n"
                response = await stage.ask("POST", "/", body, host=HOST, transfer_encoding="chunked")
            else:
                response = await stage.ask("POST", "/", b"x" * 1_001, host=HOST)

            assert (response.status, response.error) == (413, "PayloadTooLargeError")
            assert stage.worker.calls.empty()

    uvloop.run(play())


@pytest.mark.limit("function_held_bytes_max", "functions_held_bytes_max")
def test_bodies_that_wait_for_one_function_are_bounded_and_leave_room_for_others() -> None:
    limits = Limits().replace(function_held_bytes_max=10_000, functions_held_bytes_max=15_000)

    async def play() -> None:
        async with staged(limits=limits) as stage:
            other = replace(WEB, function="other", func_id="fn_3")
            catalog = Catalog(CATALOG.number + 1, (*CATALOG.deployments, WEB, other))
            stage.front.on_message(NewCatalog(catalog))
            held = asyncio.create_task(stage.ask("POST", "/", b"x" * 9_000, host=HOST))
            call = await stage.worker.next_call()
            refused = await stage.ask("POST", "/", b"x" * 2_000, host=HOST)
            _, _, beside = await asked(stage, "POST", "/", b"x" * 2_000, host="other.localhost")
            _, actor = await stage.answered("POST", "/v1/actors/Account/alice/deposit", b'{"amount":5}')
            await stage.worker.reply(call, 200, OK)
            _, _, again = await asked(stage, "POST", "/", b"x" * 9_000)

            assert (refused.status, refused.error) == (429, "MailboxFullError")
            assert (beside.status, actor.status, again.status, (await held).status) == (200, 200, 200, 200)

    uvloop.run(play())


def test_requests_are_spread_over_the_workers_by_what_they_have_to_do() -> None:
    async def play() -> None:
        async with staged(workers=2) as stage:
            deploy(stage)
            tasks = [asyncio.create_task(stage.ask("GET", "/", host=HOST)) for _ in range(6)]
            calls = [[await worker.next_call() for _ in range(3)] for worker in stage.workers]
            for worker, waiting in zip(stage.workers, calls, strict=True):
                for call in waiting:
                    await worker.reply(call, 200, OK)

            assert {(await task).status for task in tasks} == {200}

    uvloop.run(play())


def test_a_client_that_leaves_cancels_its_request() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            task = asyncio.create_task(stage.ask("GET", "/", host=HOST))
            call = await stage.worker.next_call()
            task.cancel()

            assert await asyncio.wait_for(stage.worker.cancelled.get(), 10) == call.slot

    uvloop.run(play())
