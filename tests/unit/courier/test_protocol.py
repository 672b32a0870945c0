"""What a server sends that is no answer, or none that ends."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
from threading import Event
from typing import Any

import aiohttp
import pytest

from holdfast_host.core.errors import (
    HoldfastError,
    LimitError,
    OutboundBusyError,
    OutboundTimeoutError,
    OutboundUnreachableError,
)
from holdfast_host.core.limits import KIB, Limits
from holdfast_host.core.outbound import Target
from holdfast_host.courier import connections
from holdfast_host.courier.connections import Pool
from holdfast_host.wire.control.catalog import Outbound
from tests.unit.courier.servers import LOCAL, Asking, RawServer, Seen, answer, asking, raw_server

HEADERS_MAX = 64 * KIB
PADDING = b"a" * 60_000


def _library_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def connector(_: int, **options: Any) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(**options)

    monkeypatch.setattr(connections, "AnswerConnector", connector)


async def _idle_until_read(pool: Pool, server: RawServer) -> None:
    """Until what the server sent on an idle connection has been read: it is closed then, or kept for good."""
    for _ in range(100):
        if not pool.open_sockets:
            return
        await asyncio.sleep(0.005)
    assert server.connections


async def _asked_after_surplus(asks: Asking, server: RawServer, sent: asyncio.Event) -> str:
    assert (await asks.ask(f"{server.url}/first"))["body"] == "first"
    sent.set()
    await _idle_until_read(asks.connections.of("asker"), server)
    body: str = (await asks.ask(f"{server.url}/second"))["body"]
    return body


@pytest.mark.parametrize(("own", "read"), [(True, "second"), (False, "surplus")])
def test_what_comes_on_an_idle_connection_is_not_the_next_answer(
    monkeypatch: pytest.MonkeyPatch, own: bool, read: str
) -> None:
    """And is it with the library alone."""

    async def run() -> None:
        sent = asyncio.Event()

        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(seen.path[1:].encode()))
            if seen.path == "/first":
                await sent.wait()
                writer.write(answer(b"surplus"))

        async with raw_server(handle) as server, asking() as asks:
            assert await _asked_after_surplus(asks, server, sent) == read

    if not own:
        _library_alone(monkeypatch)
    asyncio.run(run())


def test_a_second_answer_right_behind_the_first_is_not_the_next_answer() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(seen.path[1:].encode()) + answer(b"surplus"))

        async with raw_server(handle) as server, asking() as asks:
            assert [(await asks.ask(f"{server.url}/{path}"))["body"] for path in "ab"] == ["a", "b"]
            assert server.connections == 2

    asyncio.run(run())


def test_interim_answers_and_trailers_belong_to_their_answer() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 3)
            await writer.drain()
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
            await writer.drain()
            writer.write(b"X-Sum: 1\r\n\r\n")

        async with raw_server(handle) as server, asking() as asks:
            assert [(await asks.ask(server.url))["body"] for _ in range(2)] == ["a", "a"]
            assert server.connections == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: " + PADDING + b"\r\n"),
        (b"", b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n" * 1_000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"X: " + PADDING + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x=" + PADDING + b";"),
    ],
    ids=["headers", "interim answers", "trailers", "extensions of a chunk"],
)
def test_an_answer_that_goes_on_without_a_body_ends_at_the_limit_of_headers(begin: bytes, again: bytes) -> None:
    async def run() -> None:
        sent = 0

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(begin)
            for _number in range(1_000):
                writer.write(again)
                await writer.drain()
                sent += len(again)

        async with raw_server(handle) as server, asking(limits=Limits(fetch_headers_bytes_max=HEADERS_MAX)) as asks:
            with pytest.raises(HoldfastError) as refused:
                await asks.ask(server.url)

        assert isinstance(refused.value, LimitError)
        assert f"headers exceed the limit of {HEADERS_MAX} bytes" in refused.value.message
        assert sent < 16 * 1024 * KIB  # what the buffers of sockets hold

    asyncio.run(run())


def test_gzip_that_holds_nothing_is_cut() -> None:
    async def run() -> None:
        nothing = gzip.compress(b"") * 10_000

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
            for _number in range(100):
                writer.write(nothing)
                await writer.drain()

        async with raw_server(handle) as server, asking() as asks:
            with pytest.raises(OutboundUnreachableError, match="holds 0 bytes: it is cut there"):
                await asks.ask(server.url)

    asyncio.run(run())


def test_what_is_coded_twice_is_given_as_it_came() -> None:
    async def run() -> None:
        body = gzip.compress(gzip.compress(b"text"))

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(body, headers=["Content-Encoding: gzip", "Content-Encoding: gzip"]))

        async with raw_server(handle) as server, asking() as asks:
            reply = await asks.ask(server.url)

        assert base64.b64decode(reply["body_base64"]) == body
        assert [value for name, value in reply["headers"] if name == "Content-Encoding"] == ["gzip", "gzip"]

    asyncio.run(run())


def test_a_redirect_that_finds_no_room_is_not_told_as_nothing_sent() -> None:
    async def run() -> None:
        async with raw_server() as full:

            async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
                writer.write(answer(status=307, headers=[f"Location: {full.url}/"]))

            limits = Limits(outbound_origin_requests_max=1)
            async with raw_server(handle) as server, asking(limits=limits) as asks:
                with asks.in_flight.admit("other", 0) as other:
                    other.go_to(Target("http", LOCAL, full.port, "/"))
                    with pytest.raises(OutboundUnreachableError, match="the redirect to it was not followed"):
                        await asks.ask(server.url, method="POST", body="x")
                    with pytest.raises(OutboundBusyError):
                        await asks.ask(full.url)

                assert len(server.seen) == 1
                assert not full.seen

    asyncio.run(run())


def test_look_ups_that_nobody_waits_for_any_more_count_against_their_function() -> None:
    async def run() -> None:
        over = Event()

        def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
            if host.startswith("slow"):
                over.wait(30)
            return [(int(socket.AF_INET), LOCAL, 0)]

        functions = {name: Outbound(("http://*",)) for name in ("asker", "other")}
        async with raw_server() as server, asking(functions, look_up=look_up) as asks:
            try:
                for number in range(256):
                    with pytest.raises(OutboundTimeoutError):
                        await asks.ask(f"http://slow{number}.example/", timeout_ms=0.1)
                with pytest.raises(OutboundBusyError, match="the limit is 256"):
                    await asks.ask("http://slow.example/")

                assert (await asks.ask(f"http://a.example:{server.port}/", "other"))["status"] == 200
            finally:
                over.set()

    asyncio.run(run())
