"""Answers that stream to a topic: cut into pieces, kept until the next one is asked for, cut when nobody asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from holdfast_host.core.errors import LimitError, OutboundTimeoutError, OutboundUnreachableError
from holdfast_host.core.limits import KIB, Limits
from holdfast_host.courier.event_boundaries import EventCutter
from holdfast_host.courier.streamed_answers import GATHER_S, FollowedAnswers
from holdfast_host.wire.calls.outbound import PIECE, Ask
from tests.unit.courier.servers import FUNCTION, Asking, RawServer, Seen, answer, asking, raw_server
from tests.unit.courier.test_streams import CHUNKED, chunk

EVENTS = CHUNKED % b"Content-Type: text/event-stream\r\n"
JOB = bytes(range(16))


class Feed:
    """A server whose test says when the next of its answer comes."""

    def __init__(self, head: bytes = EVENTS) -> None:
        self.head = head
        self.parts: asyncio.Queue[bytes] = asyncio.Queue()
        self.asked = asyncio.Event()

    async def handle(self, _: Seen, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        writer.write(self.head)
        while part := await self.parts.get():
            writer.write(chunk(part))
            await writer.drain()
        writer.write(chunk(b""))


class Follower:
    """Asks as a worker does."""

    def __init__(self, asks: Asking, server: RawServer) -> None:
        self.asks = asks
        self.answers = FollowedAnswers(asks.exchanges, asks.limits)
        self._request = json.dumps({"method": "GET", "url": server.url}).encode()

    async def take(self, after: int, job: bytes = JOB) -> dict[str, Any]:
        """The piece after so many, or the whole answer."""
        found: list[bytes] = []

        async def deliver(make: Callable[[], bytes]) -> None:
            found.append(make())

        request = b"" if after else self._request
        await self.answers.serve(Ask(1, 30_000, FUNCTION, request, job=job, after=after), deliver)
        facts: dict[str, Any] = json.loads(found[0])
        assert found[0].startswith(PIECE) == ("form" in facts)
        return facts

    async def text(self, after: int) -> str:
        """The text of that piece."""
        return str((await self.take(after))["text"])


@asynccontextmanager
async def following(feed: Feed, limits: Limits | None = None) -> AsyncIterator[tuple[Follower, RawServer]]:
    async with raw_server(feed.handle) as server, asking(limits=limits) as asks:
        follower = Follower(asks, server)
        try:
            yield follower, server
        finally:
            feed.parts.put_nowait(b"")
            await follower.answers.aclose()


def test_a_piece_is_there_again_until_the_next_one_is_asked_for() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed) as (follower, server):
            feed.parts.put_nowait(b"data: one\n\n")
            assert await follower.text(0) == await follower.text(0) == "data: one\n\n"
            feed.parts.put_nowait(b"data: two\n\n")
            assert await follower.text(1) == await follower.text(1) == "data: two\n\n"
            with pytest.raises(OutboundUnreachableError, match="broke off"):
                await follower.take(0)
            assert len(server.seen) == 1

    asyncio.run(test())


def test_who_asks_may_go_and_another_one_gets_what_it_would_have_got() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed) as (follower, server):
            gone = asyncio.ensure_future(follower.take(0))
            await feed.asked.wait()
            gone.cancel()
            successor = asyncio.ensure_future(follower.text(0))
            feed.parts.put_nowait(b"data: one\n\n")
            assert await successor == "data: one\n\n"
            assert (len(server.seen), len(follower.answers)) == (1, 1)

    asyncio.run(test())


def test_who_waits_for_an_answer_that_is_forgotten_is_told() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed) as (follower, _):
            waiting = asyncio.ensure_future(follower.take(0))
            await feed.asked.wait()
            follower.answers.forget(JOB)
            with pytest.raises(OutboundUnreachableError, match="its job is over"):
                await asyncio.wait_for(waiting, 10)
            assert len(follower.answers) == 0

    asyncio.run(test())


def test_the_last_answer_is_the_whole_and_stays_until_it_is_forgotten() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed) as (follower, _):
            for part in (b"data: one\n\n", b": nothing\n\ndata: cut", b""):
                feed.parts.put_nowait(part)
            assert await follower.text(0) == "data: one\n\n"
            whole = await follower.take(1)
            assert (whole["status"], whole["body"]) == (200, "data: one\n\n: nothing\n\ndata: cut")
            assert await follower.take(1) == whole
            follower.answers.forget(JOB)
            with pytest.raises(OutboundUnreachableError, match="nobody holds the rest"):
                await follower.take(1)
            await follower.answers.aclose()
            assert follower.asks.in_flight.requests == follower.asks.in_flight.held_bytes == 0

    asyncio.run(test())


def test_a_first_event_leaves_at_once_and_those_that_come_together_are_one_piece() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed) as (follower, _):
            await asyncio.sleep(GATHER_S)
            feed.parts.put_nowait(b"data: 0\n\n")
            assert await follower.text(0) == "data: 0\n\n"
            for number in range(1, 6):
                feed.parts.put_nowait(b"data: %d\n\n" % number)
            assert await follower.text(1) == "".join(f"data: {number}\n\n" for number in range(1, 6))

    asyncio.run(test())


def test_a_server_that_runs_ahead_is_not_read() -> None:
    """A piece has 16 KiB, one read is ahead of it, and the rest waits at the server."""

    async def test() -> None:
        feed, written = Feed(), 0
        event = b"data: " + b"x" * (8 * KIB) + b"\n\n"

        async def flood(_: Seen, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(EVENTS)
            while True:
                writer.write(chunk(event))
                await writer.drain()
                written += len(event)

        feed.handle = flood  # type: ignore[method-assign]
        async with following(feed) as (follower, _):
            text = await follower.text(0)
            assert text == event.decode()  # two would be longer than a piece
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.1)
            assert follower.asks.in_flight.held_bytes < 2 * 512 * KIB
            assert await follower.text(1) == event.decode()

    asyncio.run(test())


@pytest.mark.limit("outbound_unread_s")
def test_an_answer_whose_next_piece_nobody_asks_for_is_cut() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed, Limits(outbound_unread_s=0.05)) as (follower, _):
            feed.parts.put_nowait(b"data: one\n\n")
            await follower.take(0)
            for _ in range(500):
                if not len(follower.answers):
                    break
                await asyncio.sleep(0.01)
            with pytest.raises(OutboundUnreachableError, match="nobody holds the rest"):
                await follower.take(1)

    asyncio.run(test())


@pytest.mark.limit("outbound_event_bytes_max")
def test_an_event_has_so_many_bytes_and_not_one_more() -> None:
    cutter = EventCutter("text/event-stream", 100)
    cutter.feed(b"data: " + b"x" * 94)
    cutter.feed(b"\n\n")
    assert cutter.take() == "data: " + "x" * 94 + "\n\n"
    for end in (b"", b"\n\n"):  # one whose end has come with it is as long
        with pytest.raises(LimitError, match="longer than the limit of 100 bytes"):
            EventCutter("text/event-stream", 100).feed(b"data: " + b"x" * 95 + end)


def test_an_event_is_no_longer_than_what_a_topic_can_keep() -> None:
    limits = Limits()
    cutter = EventCutter("text/event-stream", limits.outbound_event_bytes_max)
    for kept in ("x" * (255 * KIB), "\u20ac" * (85 * KIB), "\x01" * (169 * KIB)):
        cutter.feed(f"data: {kept}\n\n".encode())
        assert len(json.dumps(kept, ensure_ascii=False).encode()) < limits.value_bytes_max
    with pytest.raises(LimitError, match="has 1075212 bytes as JSON, which is how a topic keeps it"):
        cutter.feed(b"data: " + b"\x01" * (175 * KIB) + b"\n\n")


@pytest.mark.parametrize(
    ("kind", "event"),
    [("text/event-stream", b"data\n\n"), ("application/jsonl", b"1\n"), ("application/jsonl", b"{}\n")],
)
def test_a_piece_has_no_more_events_than_a_turn_can_publish(kind: str, event: bytes) -> None:
    limits = Limits()
    cutter = EventCutter(kind, limits.outbound_event_bytes_max)
    cutter.feed(event * 4_000)
    found = [cutter.take().encode() for _ in range(4)]

    assert found == [event * 1_000] * 4
    assert (cutter.take(), cutter.size) == ("", 0)
    # For each a key comes and one is dropped, and both kinds of sockets are told.
    assert min(limits.turn_write_keys_max, limits.turn_sends_max) > 2 * 1_000 + 1


@pytest.mark.limit("stream_timeout_s")
def test_an_answer_goes_on_for_so_long() -> None:
    async def test() -> None:
        feed = Feed()
        async with following(feed, Limits(stream_timeout_s=0.05)) as (follower, _):
            feed.parts.put_nowait(b"data: one\n\n")
            await follower.take(0)
            await asyncio.sleep(0.06)
            feed.parts.put_nowait(b"data: two\n\n")
            with pytest.raises(OutboundTimeoutError, match=r"more than 0\.05 s"):
                await follower.take(1)

    asyncio.run(test())


def test_an_answer_that_breaks_off_says_so_and_is_forgotten() -> None:
    async def test() -> None:
        async def broken(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(EVENTS + chunk(b"data: one\n\n"))
            await writer.drain()
            writer.close()

        feed = Feed()
        feed.handle = broken  # type: ignore[method-assign]
        async with following(feed) as (follower, _):
            after = 0
            with suppress(OutboundUnreachableError):
                for after in range(3):
                    await follower.take(after)
            assert after < 2
            assert len(follower.answers) == 0

    asyncio.run(test())


@pytest.mark.parametrize("status", [302, 404, 503])
def test_what_is_no_success_is_handed_on_whole(status: int) -> None:
    async def test() -> None:
        async def no(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"data: no\n\n", status, ["Content-Type: text/event-stream"]))

        feed = Feed()
        feed.handle = no  # type: ignore[method-assign]
        async with following(feed) as (follower, _):
            whole = await follower.take(0)
            assert (whole["status"], whole["body"]) == (status, "data: no\n\n")

    asyncio.run(test())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_are_cut_at_their_ends_wherever_the_pieces_are(size: int, end: str) -> None:
    events = [f"data: {number}ä{end}id: {number}{end}{end}" for number in range(5)]
    text = (f": hello{end}{end}" + "".join(events) + "data: cut").encode()
    cutter = EventCutter("Text/Event-Stream; charset=utf-8", 100)
    found = []
    for at in range(0, len(text), size):
        cutter.feed(text[at : at + size])
        while taken := cutter.take():
            found.append(taken)
    cutter.finish()

    assert cutter.take() == ""
    # An end that is cut in two may be found at its first half: the second is an empty line before the next event.
    lines = "".join(found).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert [line for line in lines if line] == [line for event in events for line in event.split(end) if line]
