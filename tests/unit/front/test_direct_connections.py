"""Connections with a call under way that the HTTP library does not know of: they live and end as the others do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from holdfast_host.core.limits import SLOTS
from holdfast_host.front.http.connection_limits import ConnectionLimits
from holdfast_host.front.http.server import KEEP_ALIVE_S
from holdfast_host.front.known import connection as connection_module
from holdfast_host.front.known.connection import HELD_BYTES_MAX, KnowingConnection
from tests.unit.front.stage import PATIENCE_S, Stage, read_response, request_bytes, staged, until

TARGET = "/v1/actors/Account/alice/deposit"
CALL = request_bytes("POST", TARGET, b"[1]")


class Client:
    """One kept connection of a test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        response = await read_response(self.reader)
        return response.status, response.body

    async def rest(self) -> bytes:
        """All that comes until the front closes the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S)


@asynccontextmanager
async def connected(stage: Stage, *, known: bytes = CALL) -> AsyncIterator[tuple[Client, KnowingConnection]]:
    """A client whose head is known, and the front's end of its connection."""
    await stage.teach(known)
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


def test_a_type_that_a_deploy_takes_away_is_gone_for_known_heads_too() -> None:
    async def play() -> None:
        async with staged() as stage:
            async with connected(stage) as (client, _):
                client.send(CALL)
                await stage.worker.reply(await stage.worker.next_call())
                served = await client.receive()
                stage.supervisor.send("catalog", catalog={"number": 2, "deployments": []})
                await until(lambda: stage.front._calls.view.number == 2)
                client.send(CALL)
                status, body = await client.receive()

            assert (served, status, stage.direct_calls) == ((200, b"null"), 404, 2)
            assert b"UnknownActorTypeError" in body

    uvloop.run(play())


def test_what_is_counted_of_a_call_is_counted_of_a_direct_one() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            before = stage.front._measures()
            client.send(CALL)
            call = await stage.worker.next_call()
            during = stage.front._measures()
            await stage.worker.reply(call)
            await client.receive()
            after = stage.front._measures()

            assert (during["requests"], end.heads) == (before["requests"] + 1, 1)
            assert [each["open_requests"] for each in (before, during, after)] == [0, 1, 0]
            assert [each["unanswered"] for each in (before, during, after)] == [[0], [1], [0]]

    uvloop.run(play())


def test_requests_behind_a_call_under_way_are_served_in_their_order() -> None:
    async def play() -> None:
        async with staged() as stage:
            async with connected(stage) as (client, end):
                client.send(CALL)
                first = await stage.worker.next_call()
                client.send(CALL.replace(b"alice", b"bob"))
                await until(lambda: end._held)
                client.send(request_bytes("GET", "/health/liveness") + CALL.replace(b"alice", b"carol"))
                await until(lambda: b"carol" in b"".join(end._held))
                early = stage.worker.calls.qsize()
                await stage.worker.reply(first, 200, b"1")
                for answer in (b"2", b"4"):
                    await stage.worker.reply(await stage.worker.next_call(), 200, answer)
                answers = [await client.receive() for _ in range(4)]

            assert (early, [body for _, body in answers]) == (0, [b"1", b"2", b"ok", b"4"])

    uvloop.run(play())


def test_good_requests_behind_a_call_under_way_are_answered_before_one_that_is_no_http() -> None:
    async def play() -> None:
        async with staged() as stage:
            async with connected(stage) as (client, end):
                client.send(CALL)
                first = await stage.worker.next_call()
                client.send(CALL.replace(b"alice", b"bob"))
                await until(lambda: end._held)
                client.send(b"POST nowhere\r\n\r\n")
                await until(lambda: len(end._held) == 2)
                await stage.worker.reply(first, 200, b"1")
                await stage.worker.reply(await stage.worker.next_call(), 200, b"2")
                answers = [await client.receive() for _ in range(3)]

            assert [status for status, _ in answers] == [200, 200, 400]

    uvloop.run(play())


@pytest.mark.slow
def test_what_waits_behind_a_call_under_way_is_bounded_and_served_afterwards() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = None
            async with connected(stage) as (client, end):
                client.send(CALL)
                first = await stage.worker.next_call()
                count = 40_000
                client.send(request_bytes("GET", "/health/liveness") * count)
                await until(lambda: end._held_bytes > HELD_BYTES_MAX)
                for _ in range(50):
                    await asyncio.sleep(0)

                assert end._held_bytes < HELD_BYTES_MAX + (1 << 18)
                await stage.worker.reply(first)
                assert await client.receive() == (200, b"null")
                for _ in range(count):
                    assert await client.receive() == (200, b"ok")

    uvloop.run(play())


def test_a_head_that_begins_behind_a_call_under_way_is_to_come_in_time_once_the_call_is_answered() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            client.send(CALL)
            call = await stage.worker.next_call()
            client.send(b"GET / HT")
            await until(lambda: end._held)
            before = stage.server._kept._heads.get(end)
            await stage.worker.reply(call)
            await client.receive()
            await until(lambda: not end.engaged)

            assert before is None or before[0] < end.heads  # that of the call itself
            assert stage.server._kept._heads[end][0] == end.heads == 1

    uvloop.run(play())


@pytest.mark.parametrize(
    ("first_bytes", "head_lines", "body_bytes"), [(70_000, 0, 100_000), (900_000, 0, 900_000), (70_000, 100, 10)]
)
def test_a_large_request_behind_a_call_under_way_is_read_to_its_end(
    first_bytes: int, head_lines: int, body_bytes: int
) -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            client.send(CALL)
            first = await stage.worker.next_call()
            large = b'["' + b"x" * body_bytes + b'"]'
            further = {f"x-{number}": "x" * 1_000 for number in range(head_lines)}
            request = request_bytes("POST", TARGET, large, **further)
            client.send(request[:first_bytes])
            await until(lambda: end._held_bytes > HELD_BYTES_MAX)
            await stage.worker.reply(first)
            client.send(request[first_bytes:])
            second = await stage.worker.next_call()
            await stage.worker.reply(second, 200, b"2")

            assert second.body == large
            assert [await client.receive() for _ in range(2)] == [(200, b"null"), (200, b"2")]

    uvloop.run(play())


def test_a_request_behind_a_call_whose_worker_died_goes_to_the_successor() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            client.send(CALL)
            call = await stage.worker.next_call()
            client.send(CALL.replace(b"alice", b"bob"))
            await until(lambda: end._held)
            stage.worker.word(call, 1)
            await stage.worker.die()
            await stage.worker.accept(pid=101, epoch=2)
            await stage.worker.reply(await stage.worker.next_call(), 200, b"2")
            answers = [await client.receive() for _ in range(2)]

            assert [status for status, _ in answers] == [503, 200]
            assert (answers[1][1], stage.direct_calls) == (b"2", 2)

    uvloop.run(play())


@pytest.mark.parametrize("behind", [b"", CALL, b"GET / HT"])
def test_a_client_that_hangs_up_cancels_its_direct_call_and_the_slot_is_free_with_the_reply(behind: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            link = stage.front._links[0]
            async with connected(stage) as (client, _):
                client.send(CALL)
                call = await stage.worker.next_call()
                client.send(behind)
            cancelled = await asyncio.wait_for(stage.worker.cancelled.get(), 10)
            taken, busy = link.unanswered, stage.server.open_requests
            await stage.worker.reply(call, 503, b"{}")
            await until(lambda: link.unanswered == 0)

            assert (cancelled, taken, busy, len(link._window._free)) == (call.slot, 1, 0, SLOTS)
            assert (stage.worker.calls.empty(), stage.worker.cancelled.empty()) == (True, True)

    uvloop.run(play())


def test_a_client_that_hangs_up_when_its_answer_is_there_cancels_nothing() -> None:
    async def play() -> None:
        async with staged() as stage:
            async with connected(stage) as (client, _):
                client.send(CALL)
                await stage.worker.reply(await stage.worker.next_call())
                await client.receive()
            await until(lambda: not stage.server._kept.live)
            await stage.answered("POST", TARGET)

            assert stage.worker.cancelled.empty()

    uvloop.run(play())


def test_a_drain_finishes_a_direct_call_and_closes_its_connection_with_the_answer() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            client.send(CALL)
            call = await stage.worker.next_call()
            client.send(CALL)
            await until(lambda: end._held)
            stage.supervisor.send("drain")
            await until(lambda: stage.server.draining)
            undrained = stage.supervisor.messages.empty()
            await stage.worker.reply(call, 200, b"70")
            response = await read_response(client.reader)
            closed_with_it = end._wire.is_closing()
            rest = await client.rest()
            await stage.supervisor.next("drained")

            assert closed_with_it
            assert (undrained, response.body, response.headers["connection"], rest) == (True, b"70", "close", b"")
            assert stage.worker.calls.empty()

    uvloop.run(play())


def test_an_idle_connection_is_closed_after_its_keep_alive_time_and_one_with_a_call_under_way_is_not() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            client.send(CALL)
            call = await stage.worker.next_call()
            end._next_keepalive_close_time = 0.0  # it is over
            end._process_keepalive()
            open_while_under_way = not end._wire.is_closing()
            end._next_keepalive_close_time = 0.0
            await stage.worker.reply(call)
            answer = await client.receive()
            left_s = end._next_keepalive_close_time - asyncio.get_running_loop().time()
            end._process_keepalive()
            open_right_after = not end._wire.is_closing()
            end._next_keepalive_close_time = 0.0
            end._process_keepalive()
            rest = await client.rest()

            assert (open_while_under_way, open_right_after, answer, rest) == (True, True, (200, b"null"), b"")
            assert KEEP_ALIVE_S - 5 < left_s <= KEEP_ALIVE_S

    uvloop.run(play())


def test_where_there_is_no_room_a_connection_with_a_direct_call_stays() -> None:
    async def play() -> None:
        async with staged() as stage:
            await stage.teach(CALL)
            await until(lambda: not stage.server._kept.live)
            stage.server._kept = ConnectionLimits(1)
            stage.server._busy = stage.server._kept.busy
            async with connected(stage) as (client, _):
                client.send(CALL)
                call = await stage.worker.next_call()
                reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
                gone = await asyncio.wait_for(reader.read(), PATIENCE_S)
                writer.close()
                await stage.worker.reply(call)

                assert (gone, await client.receive()) == (b"", (200, b"null"))

    uvloop.run(play())


def test_without_a_free_slot_or_a_worker_a_direct_call_is_refused_at_once() -> None:
    async def play() -> None:
        async with staged() as stage:
            link = stage.front._links[0]
            async with connected(stage) as (client, _):
                taken, link._window._free = link._window._free, []
                client.send(CALL)
                full = await read_response(client.reader)
                link._window._free, link._window._refusing = taken, True
                client.send(CALL)
                gone = await read_response(client.reader)
                link._window._refusing = False
                client.send(CALL)
                await stage.worker.reply(await stage.worker.next_call())

                assert (full.status, full.error, full.headers["retry-after"]) == (429, "MailboxFullError", "1")
                assert (gone.status, gone.error, gone.headers["retry-after"]) == (503, "HostUnavailableError", "1")
                assert (await client.receive(), stage.direct_calls) == ((200, b"null"), 3)
                assert stage.server._refused == {
                    "UnknownActorTypeError": 1, "MailboxFullError": 1, "HostUnavailableError": 1
                }  # fmt: skip

    uvloop.run(play())


def test_a_bug_in_a_direct_call_is_an_internal_error_whose_trace_stays_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, _):
            view, stage.front._calls.view = stage.front._calls.view, None  # type: ignore[assignment]
            client.send(CALL)
            response = await read_response(client.reader)
            stage.front._calls.view = view
            client.send(CALL)
            await stage.worker.reply(await stage.worker.next_call())

            assert (response.status, response.error) == (500, "InternalError")
            assert b"NoneType" not in response.body
            assert "NoneType" in caplog.text
            assert await client.receive() == (200, b"null")

    uvloop.run(play())


def test_an_answer_that_cannot_be_written_costs_its_connection_and_not_the_link(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with staged() as stage:
            async with connected(stage) as (client, _):
                client.send(CALL)
                call = await stage.worker.next_call()
                with monkeypatch.context() as broken:
                    broken.setattr(connection_module, "compose_head", None)
                    await stage.worker.reply(call)
                    rest = await client.rest()
            _, after = await stage.answered("POST", TARGET)

            assert (rest, after.status, stage.front._links[0].up) == (b"", 200, True)
            assert "an answer could not be sent" in caplog.text

    uvloop.run(play())


def test_the_next_request_is_served_when_a_large_answer_was_taken() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (client, end):
            large = b'"' + b"x" * 12_000_000 + b'"'
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            client.send(CALL)
            await stage.worker.reply(await stage.worker.next_call(), 200, large)
            await until(lambda: stage.server.backpressure.unread_bytes)
            client.send(CALL)
            await until(lambda: end._held)
            waiting = (end.engaged, stage.server.open_requests, stage.worker.calls.qsize())
            client.reader._transport.resume_reading()  # type: ignore[attr-defined]
            first = await client.receive()
            await stage.worker.reply(await stage.worker.next_call(), 200, b"2")

            assert waiting == (True, 0, 0)
            assert (first == (200, large), await client.receive()) == (True, (200, b"2"))

    uvloop.run(play())
