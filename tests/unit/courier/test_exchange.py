"""A request and its answer: what is sent and given back, in what time, and how much of it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import zlib
from typing import Any

import pytest

from holdfast_host.core.errors import (
    BadRequestError,
    LimitError,
    OutboundBusyError,
    OutboundTimeoutError,
    OutboundUnreachableError,
)
from holdfast_host.core.limits import MIB, Limits
from tests.unit.courier.servers import LOCAL, Seen, answer, asking, raw_server, refused


def test_a_request_is_sent_and_its_answer_comes_back() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b'{"ok":true}', 201, ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Name: \xfc"]))

        async with raw_server(handle) as server, asking() as asks:
            reply = await asks.ask(
                f"{server.url}/a?b=c#d", method="post", body="text", headers=[["X-A", "1"], ["X-A", "2"]]
            )

            assert reply["status"] == 201
            assert reply["body"] == '{"ok":true}'
            assert [value for name, value in reply["headers"] if name == "Set-Cookie"] == ["a=1", "b=2"]
            (seen,) = server.seen
            assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=c", b"text")
            assert seen.header("X-A") == ["1", "2"]
            assert seen.header("Host") == [f"{LOCAL}:{server.port}"]
            assert seen.header("Accept-Encoding") == ["gzip"]
            assert seen.header("User-Agent") == ["holdfast"]
            assert seen.header("Content-Length") == ["4"]
            assert not seen.header("Cookie")

    asyncio.run(run())


def test_headers_of_the_connection_are_the_couriers_own() -> None:
    async def run() -> None:
        async with raw_server() as server, asking() as asks:
            await asks.ask(
                server.url,
                method="POST",
                body="abc",
                headers=[
                    ["Host", "evil.example"], ["Content-Length", "1"], ["Transfer-Encoding", "chunked"],
                    ["Connection", "X-Mine, close"], ["X-Mine", "1"], ["Upgrade", "websocket"], ["TE", "trailers"],
                    ["Proxy-Authorization", "x"], ["Accept-Encoding", "br"], ["Expect", "100-continue"],
                    ["X-Kept", "1"],
                ],
            )  # fmt: skip

            (seen,) = server.seen
            assert seen.header("Host") == [f"{LOCAL}:{server.port}"]
            assert seen.header("Content-Length") == ["3"]
            assert seen.header("X-Kept") == ["1"]
            for name in ("Transfer-Encoding", "X-Mine", "Upgrade", "TE", "Proxy-Authorization", "Expect", "Connection"):
                assert not seen.header(name), name

    asyncio.run(run())


@pytest.mark.parametrize(
    "facts",
    [
        {"method": "GET /x HTTP/1.1\r\nX: y"}, {"method": "CONNECT"}, {"method": "TRACE"}, {"method": ""},
        {"method": 1},
        {"headers": [["X", "a\r\nY: b"]]}, {"headers": [["X\r\nY", "a"]]}, {"headers": [["X", "\ud800"]]},
        {"headers": "no"}, {"body_base64": "not base64!"}, {"body": "\ud800"}, {"timeout_ms": -1}, {"timeout_ms": "1"},
        {"redirects": "no"},
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_nothing_is_sent(facts: dict[str, Any]) -> None:
    async def run() -> None:
        async with raw_server() as server, asking() as asks:
            assert isinstance(await refused(asks, server.url, **facts), BadRequestError)
            assert not server.connections

    asyncio.run(run())


# Bodies.


def test_gzip_is_inflated_and_nothing_else_is() -> None:
    async def run() -> None:
        members = gzip.compress(b"a" * 300_000) + gzip.compress(b"b")

        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            body, coding = {"/gzip": (members, "gzip"), "/br": (b"\x00br", "br"), "/not": (b"plain", "gzip"),
                            "/cut": (members[:-9], "gzip")}[seen.path]  # fmt: skip
            writer.write(answer(body, 200, [f"Content-Encoding: {coding}"]))

        async with raw_server(handle) as server, asking() as asks:
            inflated = await asks.ask(f"{server.url}/gzip")
            other = await asks.ask(f"{server.url}/br")

            assert base64.b64decode(inflated["body_base64"]) == b"a" * 300_000 + b"b"
            assert not any(name.lower() in {"content-encoding", "content-length"} for name, _ in inflated["headers"])
            assert ["Content-Encoding", "br"] in other["headers"]
            assert isinstance(await refused(asks, f"{server.url}/not"), OutboundUnreachableError)
            assert isinstance(await refused(asks, f"{server.url}/cut"), OutboundUnreachableError)

    asyncio.run(run())


@pytest.mark.limit("fetch_body_bytes_max")
def test_a_deflate_bomb_ends_at_the_limit_of_a_body() -> None:
    async def run() -> None:
        squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = squeezed.compress(b"\0" * (200 * MIB)) + squeezed.flush()
        bodies = {"/bomb": (bomb, "gzip"), "/full": (b"x" * MIB, "identity"), "/more": (b"x" * (MIB + 1), "identity")}

        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            body, coding = bodies[seen.path]
            writer.write(answer(body, 200, [f"Content-Encoding: {coding}"]))

        async with raw_server(handle) as server, asking(limits=Limits(fetch_body_bytes_max=MIB)) as asks:
            for path in ("/bomb", "/more"):
                error = await refused(asks, f"{server.url}{path}")
                assert isinstance(error, LimitError)
                assert f"{MIB} bytes" in error.message
            assert len((await asks.ask(f"{server.url}/full"))["body_base64"]) > MIB
            too_long = await refused(
                asks, server.url, method="POST", body_base64=base64.b64encode(b"x" * (MIB + 1)).decode()
            )

            assert isinstance(too_long, LimitError)
            assert asks.in_flight.held_bytes == 0

    asyncio.run(run())


def test_headers_of_an_answer_have_a_limit() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"", 200, [f"X-{number}: {'x' * 1000}" for number in range(int(seen.path[1:]))]))

        async with raw_server(handle) as server, asking(limits=Limits(fetch_headers_bytes_max=8192)) as asks:
            assert (await asks.ask(f"{server.url}/7"))["status"] == 200
            assert isinstance(await refused(asks, f"{server.url}/9"), LimitError)

    asyncio.run(run())


# Time, death, room.


@pytest.mark.limit("outbound_timeout_s")
def test_an_answer_that_is_not_whole_in_time_is_a_timeout() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            if seen.path == "/drips":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")

        cases: list[tuple[str, dict[str, Any]]] = [
            ("/never", {}), ("/drips", {}), ("/never", {"timeout_ms": 50}), ("/", {"timeout_ms": 9e9}),
        ]  # fmt: skip
        async with raw_server(handle) as server, asking(limits=Limits(outbound_timeout_s=0.2)) as asks:
            for path, facts in cases:
                error = await refused(asks, f"{server.url}{path}", **facts)
                assert isinstance(error, OutboundTimeoutError)
                assert f"within {0.05 if facts.get('timeout_ms') == 50 else 0.2:g} s" in error.message

    asyncio.run(run())


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"nonsense\r\n\r\n",
    b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"])  # fmt: skip
def test_an_answer_that_breaks_off_or_is_none_is_unreachable(text: bytes) -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(text)
            await writer.drain()
            writer.close()

        async with raw_server(handle) as server, asking() as asks:
            error = await refused(asks, f"{server.url}/a?token=secret")

            assert isinstance(error, OutboundUnreachableError)
            assert f"GET {server.url}/a" in error.message or "999" in error.message
            assert "secret" not in error.message

    asyncio.run(run())


def test_a_timeout_past_every_number_is_the_limit() -> None:
    async def run() -> None:
        async with raw_server() as server, asking() as asks:
            assert (await asks.ask(server.url, timeout_ms=10**400))["status"] == 200

    asyncio.run(run())


def test_where_nobody_listens_it_is_unreachable() -> None:
    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def run() -> None:
        async with raw_server() as server, asking(look_up=look_up) as asks:
            closed = server.port
        async with asking(look_up=look_up) as asks:
            assert isinstance(await refused(asks, f"http://{LOCAL}:{closed}/"), OutboundUnreachableError)
            assert isinstance(await refused(asks, "http://no.such.example/"), OutboundUnreachableError)

    asyncio.run(run())


@pytest.mark.limit(
    "outbound_function_requests_max",
    "outbound_requests_max",
    "outbound_origin_requests_max",
    "outbound_held_bytes_max",
)
@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"outbound_function_requests_max": 2}, "asker has 2 requests under way"),
        ({"outbound_requests_max": 2}, "2 requests are under way"),
        ({"outbound_origin_requests_max": 2}, "2 requests to 127.0.0.1:"),
        ({"outbound_held_bytes_max": 8}, "more exceed the limit of 8 bytes"),
    ],
)
def test_past_what_may_be_under_way_a_request_is_refused_before_it_is_sent(limits: dict[str, int], what: str) -> None:
    async def run() -> None:
        both = asyncio.Event()

        async def never(_: Seen, __: asyncio.StreamWriter) -> None:
            if len(server.seen) == 2:
                both.set()

        async with raw_server(never) as server, asking(limits=Limits(**limits)) as asks:
            waiting = [asyncio.create_task(asks.ask(server.url, method="POST", body="four")) for _ in range(2)]
            await both.wait()
            error = await refused(asks, server.url, method="POST", body="four")
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

            assert isinstance(error, OutboundBusyError)
            assert error.retryable
            assert what in error.message
            assert len(server.seen) == 2
            assert (asks.in_flight.requests, asks.in_flight.held_bytes) == (0, 0)

    asyncio.run(run())
