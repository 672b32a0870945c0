"""Answers that are read piece by piece: what of one is held, how long each piece may take, and what ends one."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError, OutboundBusyError, OutboundTimeoutError, OutboundUnreachableError
from holdfast_host.core.limits import KIB, MIB, Limits
from holdfast_host.courier import connections
from holdfast_host.courier.bodies import AHEAD_BYTES
from holdfast_host.wire.calls.outbound import Ask, Read
from tests.unit.courier.servers import FUNCTION, Asking, Seen, answer, asking, raw_server

CHUNKED = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n%b\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream:
    """An answer as a worker reads it."""

    def __init__(self, asks: Asking, url: str, **facts: Any) -> None:
        text = json.dumps({"method": "GET", "url": url, **facts}).encode()
        self._reads: asyncio.Queue[Read] = asyncio.Queue()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        ask = Ask(7, 30_000, FUNCTION, text, streams=True)
        self.task = asyncio.ensure_future(asks.exchanges.stream(ask, self._reads, self._deliver))

    async def head(self) -> dict[str, Any]:
        """The head; the error of the request where there is none."""
        found: dict[str, Any] = json.loads(await self._next())
        return found

    async def read(self, bytes_max: int = 64 * KIB, budget_ms: int = 30_000) -> bytes:
        """The next piece."""
        self._reads.put_nowait(Read(7, bytes_max, budget_ms))
        return base64.b64decode(await self._next())

    async def rest(self) -> bytes:
        """All that is left."""
        found = bytearray()
        while piece := await self.read():
            found += piece
        await self.task
        return bytes(found)

    async def aclose(self) -> None:
        """Nobody reads it any more."""
        self.task.cancel()
        with suppress(asyncio.CancelledError, HoldfastError):
            await self.task

    async def _next(self) -> bytes:
        getting = asyncio.ensure_future(self._answers.get())
        await asyncio.wait([getting, self.task], return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if not getting.done() and not self._answers.empty():
            return await getting
        if not getting.done():
            getting.cancel()
            await self.task
            raise AssertionError("the stream has ended without an answer")
        return getting.result()

    async def _deliver(self, make: Callable[[], bytes]) -> None:
        self._answers.put_nowait(make())


@asynccontextmanager
async def streaming(asks: Asking, url: str, **facts: Any) -> AsyncIterator[Stream]:
    stream = Stream(asks, url, **facts)
    try:
        yield stream
    finally:
        await stream.aclose()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


def test_the_head_comes_first_and_each_piece_before_the_next_is_sent() -> None:
    async def test() -> None:
        seen_by_reader = asyncio.Event()

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED % b"Content-Type: text/event-stream\r\nX-More: 1\r\n")
            for word in (b"one", b"two", b"three"):
                await seen_by_reader.wait()
                seen_by_reader.clear()
                writer.write(chunk(word))
            await seen_by_reader.wait()
            writer.write(chunk(b""))

        async with raw_server(handle) as server, asking() as asks, streaming(asks, server.url) as stream:
            head = await stream.head()
            assert (head["stream"], head["status"]) == ("7", 200)
            assert head["headers"] == [["Content-Type", "text/event-stream"], ["X-More", "1"]]
            assert asks.in_flight.requests == 1
            for word in (b"one", b"two", b"three", b""):
                seen_by_reader.set()
                assert await stream.read() == word
            await stream.task
            assert asks.in_flight.requests == asks.in_flight.held_bytes == 0

    run(test)


def test_a_read_gives_what_is_there_and_no_more_than_was_asked_for() -> None:
    async def test() -> None:
        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"0123456789"))

        async with raw_server(handle) as server, asking() as asks, streaming(asks, server.url) as stream:
            await stream.head()
            assert [await stream.read(4) for _ in range(4)] == [b"0123", b"4567", b"89", b""]
            await stream.task
            assert asks.connections.open_sockets == 1  # it has ended: the connection is kept

    run(test)


async def _taken_by_the_courier(asks: Asking) -> int:
    """How much of an endless answer leaves a server while one piece of it is read."""
    sent = 0

    async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED % b"")
        while sent < 64 * MIB:
            writer.write(chunk(bytes(256 * KIB)))
            sent += 256 * KIB
            await writer.drain()

    async with raw_server(handle) as server, streaming(asks, server.url) as stream:
        await stream.head()
        assert len(await stream.read()) == 64 * KIB
        before = -1
        while sent != before:  # it stands still
            before = sent
            await asyncio.sleep(0.3)
        assert asks.in_flight.held_bytes == AHEAD_BYTES
    return sent


def test_what_is_not_read_waits_at_the_server() -> None:
    """All but what the kernel holds of it, and the courier's own 512 KiB."""

    async def test() -> None:
        async with asking() as asks:
            assert await _taken_by_the_courier(asks) < 32 * MIB

    run(test)


def test_without_back_pressure_all_of_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_READ_BYTES", 1 << 30)

    async def test() -> None:
        async with asking() as asks:
            assert await _taken_by_the_courier(asks) == 64 * MIB

    run(test)


def test_gzip_is_inflated_as_it_comes_and_a_bomb_waits_for_its_reader() -> None:
    async def test() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED % b"Content-Encoding: gzip\r\n")
            packer = zlib.compressobj(wbits=31)
            if seen.path == "/bomb":
                writer.write(chunk(gzip.compress(bytes(100 * MIB))) + chunk(b""))
                return
            for word in (b"one", b"two"):
                writer.write(chunk(packer.compress(word) + packer.flush(zlib.Z_SYNC_FLUSH)))
                await writer.drain()
                await gone_on.wait()
            writer.write(chunk(packer.flush()) + chunk(b""))

        gone_on = asyncio.Event()
        async with raw_server(handle) as server, asking() as asks:
            async with streaming(asks, server.url) as stream:
                head = await stream.head()
                assert "content-encoding" not in {name.lower() for name, _ in head["headers"]}
                assert await stream.read() == b"one"
                gone_on.set()
                assert await stream.rest() == b"two"
            async with streaming(asks, f"{server.url}/bomb") as stream:
                await stream.head()
                assert await stream.read() == bytes(64 * KIB)
                assert asks.in_flight.held_bytes == AHEAD_BYTES

    run(test)


@pytest.mark.parametrize(("timeout_ms", "budget_ms"), [(200, 30_000), (30_000, 200)])
def test_each_piece_has_the_requests_time_and_what_is_left_of_the_turn(timeout_ms: int, budget_ms: int) -> None:
    async def test() -> None:
        over = asyncio.Event()

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED % b"")
            for _tick in range(3):
                await asyncio.sleep(0.1)
                writer.write(chunk(b"x"))
            await over.wait()

        async with raw_server(handle) as server, asking() as asks:
            async with streaming(asks, server.url, timeout_ms=timeout_ms) as stream:
                await stream.head()
                assert [await stream.read(budget_ms=budget_ms) for _ in range(3)] == [b"x"] * 3  # longer than 0.2 s
                with pytest.raises(OutboundTimeoutError, match=r"gave no more of its answer within 0\.2 s"):
                    await stream.read(budget_ms=budget_ms)
            assert asks.in_flight.requests == 0
            over.set()

    run(test)


def test_an_answer_that_breaks_off_says_so() -> None:
    """Else half of it would look like the whole."""

    async def test() -> None:
        read = asyncio.Event()

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED % b"" + chunk(b"half"))
            await read.wait()
            writer.close()

        async with raw_server(handle) as server, asking() as asks, streaming(asks, server.url) as stream:
            await stream.head()
            assert await stream.read() == b"half"
            read.set()
            with pytest.raises(OutboundUnreachableError):
                await stream.read()

    run(test)


def test_one_that_is_closed_closes_its_connection_and_frees_its_place() -> None:
    async def test() -> None:
        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED % b"")
            while True:
                writer.write(chunk(bytes(KIB)))
                await writer.drain()

        async with raw_server(handle) as server, asking() as asks:
            async with streaming(asks, server.url) as stream:
                await stream.head()
                await stream.read()
            assert asks.in_flight.requests == asks.in_flight.held_bytes == 0
            assert asks.connections.open_sockets == 0

    run(test)


def test_redirects_are_judged_and_followed_to_the_answer_that_streams() -> None:
    async def test() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            there = seen.path == "/there"
            writer.write(answer(b"there") if there else answer(b"", 302, ["Location: /there"]))

        async with raw_server(handle) as server, asking() as asks, streaming(asks, server.url) as stream:
            assert (await stream.head())["status"] == 200
            assert await stream.rest() == b"there"

    run(test)


def test_what_may_be_held_of_it_counts_before_it_is_sent() -> None:
    async def test() -> None:
        limits = Limits().replace(outbound_held_bytes_max=AHEAD_BYTES + KIB)

        async def handle(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED % b"")

        async with raw_server(handle) as server, asking(limits=limits) as asks:
            async with streaming(asks, server.url) as first, streaming(asks, server.url) as second:
                await first.head()
                with pytest.raises(OutboundBusyError, match="bytes of bodies are under way"):
                    await second.head()
            assert len(server.seen) == 1

    run(test)
