"""Sockets of a front before real clients: events, sends, closes, and how many there may be."""

from __future__ import annotations

import asyncio

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.front.sockets.client import PING_TICKS, WebSocketClient
from holdfast_host.front.sockets.deliveries import PIECE_SOCKETS
from holdfast_host.front.sockets.event_flow import INSTANCE_EVENTS_MAX, SOCKET_EVENTS_MAX
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.wire.sockets.frames import (
    ON_CLOSE,
    ON_ERROR,
    Auto,
    Closed,
    Message,
    Open,
    Send,
    SendKind,
    untold_bytes_max,
)
from tests.unit.front.sockets.frames import TEXT, frame
from tests.unit.front.sockets.sockets_stage import ROOM, accepted, sent, socket_staged, upgrade
from tests.unit.front.stage import PATIENCE_S, request_bytes


def test_a_message_reaches_the_instance_and_what_it_sends_reaches_the_client() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("hello")
            call, event = await stage.event()

            assert event == Message(joined.socket, False, b"hello")
            assert (call.kind, call.type_id, call.name) == (CallKind.SOCKET, ROOM, b"lobby")
            await stage.worker.reply(call)
            await stage.send("welcome", joined)
            assert await joined.client.recv() == "welcome"

    asyncio.run(body())


def test_a_close_of_the_client_is_answered_and_comes_after_its_messages() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("last words")
            await joined.client.close(4001, "bye")
            (_, message), (call, closed) = await stage.event(), await stage.event()

            assert message == Message(joined.socket, False, b"last words")
            assert (call.method, closed) == (ON_CLOSE, Closed(joined.socket, 4001, True, "bye"))
            assert joined.client.close_code == 4001
            assert len(stage.table) == 0

    asyncio.run(body())


def test_a_close_of_the_instance_goes_out_after_what_it_sent_and_comes_back_with_what_the_client_said() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await stage.send("one", joined)
            await stage.close(joined, 4002, "enough")

            assert await joined.client.recv() == "one"
            assert await joined.closed() == (4002, "enough")
            assert await stage.closing() == Closed(joined.socket, 4002, True, "enough")

    asyncio.run(body())


def test_a_client_that_is_gone_without_a_word_is_a_close_that_is_not_clean() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("last words")
            joined.client.transport.abort()
            _, message = await stage.event()

            assert message == Message(joined.socket, False, b"last words")
            assert await stage.closing() == Closed(joined.socket, 1006, False)

    asyncio.run(body())


def test_a_client_that_breaks_a_rule_is_told_and_its_instance_hears_of_an_error() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            joined.client.transport.write(frame(TEXT, b"\xff"))
            call, event = await stage.event()

            assert (call.method, event) == (ON_ERROR, Closed(joined.socket, 1007, False, "a text is not UTF-8"))
            assert await joined.closed() == (1007, "a text is not UTF-8")

    asyncio.run(body())


def test_a_message_that_is_too_long_is_refused_though_its_client_goes_on_sending() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            sending = asyncio.create_task(joined.client.send("x" * (4 << 20)))
            call, event = await stage.event()

            assert isinstance(event, Closed)
            assert (call.method, event.code) == (ON_ERROR, 1009)
            assert (await joined.closed())[0] == 1009
            await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(body())


def test_a_front_that_stops_closes_its_sockets_and_waits_for_none() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            stage.stage.supervisor.send("drain")
            await stage.stage.supervisor.next("drained")

            assert (await joined.closed())[0] == 1012

    asyncio.run(body())


def test_a_socket_has_few_messages_under_way_and_then_is_not_read_from() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            for number in range(30):
                await joined.client.send(str(number))
            calls = [await stage.event() for _ in range(SOCKET_EVENTS_MAX)]
            other = await stage.join("other")
            await other.client.send("me too")
            _, theirs = await stage.event()
            assert theirs == Message(other.socket, False, b"me too")
            assert stage.worker.calls.empty()
            got: list[int] = []
            while len(got) < 30:
                call, event = calls.pop(0) if calls else await stage.event()
                assert isinstance(event, Message)
                got.append(int(event.data))
                await stage.worker.reply(call)

            assert got == list(range(30))
            assert stage.table.unread.held_bytes == 0

    asyncio.run(body())


def test_an_instance_has_a_bound_of_its_own_and_its_sockets_go_on_in_turn() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = [await stage.join() for _ in range(20)]
            for each in joined:
                for number in range(10):
                    await each.client.send(str(number))
            calls = [await stage.event() for _ in range(INSTANCE_EVENTS_MAX)]
            await stage.until(lambda: all(each.is_waiting or each.is_stalled for each in stage.table._held.values()))  # type: ignore[union-attr]
            assert stage.worker.calls.empty()
            seen: dict[int, list[int]] = {}
            for _ in range(200):
                call, event = calls.pop(0) if calls else await stage.event()
                assert isinstance(event, Message)
                seen.setdefault(event.socket, []).append(int(event.data))
                await stage.worker.reply(call)

            assert seen == {each.socket: list(range(10)) for each in joined}

    asyncio.run(body())


def test_messages_that_came_before_a_client_left_are_given_before_its_close() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            for number in range(20):
                await joined.client.send(str(number))
            leaving = asyncio.create_task(joined.client.close())
            got: list[int] = []
            while True:
                call, event = await stage.event()
                await stage.worker.reply(call)
                if isinstance(event, Closed):
                    break
                got.append(int(event.data))

            await leaving
            assert got == list(range(20))
            assert event == Closed(joined.socket, 1000, True)

    asyncio.run(body())


def test_a_text_that_the_front_answers_wakes_nobody() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await stage.worker.send(Auto(ROOM, b"lobby", "ping", "pong").pack())
            await stage.send("set", joined)
            assert await joined.client.recv() == "set"
            await joined.client.send("ping")
            assert await joined.client.recv() == "pong"
            await stage.worker.send(Auto(ROOM, b"lobby", None).pack())
            await stage.send("unset", joined)
            assert await joined.client.recv() == "unset"
            await joined.client.send("ping")
            _, event = await stage.event()

            assert event == Message(joined.socket, False, b"ping")

    asyncio.run(body())


def test_a_broadcast_goes_out_in_pieces_in_order_and_is_counted_as_taken_once() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = [await stage.join() for _ in range(5)]
            gone = await stage.join()
            await gone.client.close()
            await stage.closing()
            given = tuple(each.serial for each in (*joined, gone)) * 60
            frames = [sent(text, *given) for text in (b"a", b"b")]
            large = "c" * untold_bytes_max(Limits().front_ahead_bytes)  # a front keeps less to itself
            last = sent(large.encode(), joined[0].serial)
            await stage.worker.send(b"".join((*frames, last)))

            assert [await joined[0].client.recv() for _ in range(121)] == ["a"] * 60 + ["b"] * 60 + [large]
            assert [await joined[4].client.recv() for _ in range(120)] == ["a"] * 60 + ["b"] * 60
            total, taken = sum(map(len, frames)) + len(last), 0
            while taken < total:
                taken = await asyncio.wait_for(stage.worker.taken.get(), PATIENCE_S)
            assert taken == total

    asyncio.run(body())


@pytest.mark.limit("function_sockets_max", "front_sockets_max")
def test_there_is_a_bound_of_sockets_and_it_is_said_before_the_handshake() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            for bounds in ({"function_sockets_max": 1}, {"front_sockets_max": 1}):
                stage.limit(**bounds)
                joined = await stage.join()
                response = await upgrade(stage, "/fn/chat/")
                assert (response.status, response.error) == (503, "SocketRefusedError")
                assert response.headers["retry-after"] == "1"
                await joined.client.close()
                await stage.closing()
            joined = await stage.join()
            await joined.client.close()
            await stage.closing()
            await stage.join()

    asyncio.run(body())


def test_a_front_gives_no_number_that_would_be_another_fronts() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.table._next_serial = 0xFFFFFFFF
            joined = await stage.join()
            response = await upgrade(stage, "/fn/chat/")

            assert joined.socket >> 32 == stage.table.front
            assert (response.status, response.error) == (503, "HostUnavailableError")

    asyncio.run(body())


def test_many_that_came_at_one_time_are_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined, table = await stage.join(), stage.table
            looked: list[int] = []
            for serial in range(1_000, 2_000):
                table._held[serial] = table._held[joined.serial]
            monkeypatch.setattr(WebSocketClient, "look", lambda _, tick: looked.append(tick))
            table._looks[table.tick + 1] = list(range(1_000, 2_000))
            table._pass_tick()
            first = len(looked)
            await stage.until(lambda: len(looked) == 1_000)
            for serial in range(1_000, 2_000):
                del table._held[serial]

            assert first == PIECE_SOCKETS

    asyncio.run(body())


def test_who_is_silent_is_pinged_and_who_does_not_answer_is_closed() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            alive, dead = await stage.join(), await stage.join()
            dead.client.transport.pause_reading()
            table = stage.table
            for _ in range(PING_TICKS):
                table._pass_tick()
            await (await alive.client.ping())  # it has answered ours before
            for _ in range(PING_TICKS):
                table._pass_tick()

            assert await stage.closing() == Closed(dead.socket, 1006, False, "no answer to a ping")
            assert len(table) == 1

    asyncio.run(body())


def test_a_ping_of_the_client_is_answered_by_the_front() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await asyncio.wait_for(await joined.client.ping(), PATIENCE_S)

            assert stage.worker.calls.empty()

    asyncio.run(body())


def test_an_event_stream_gets_events_comments_and_an_end() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.stage.port)
            writer.write(request_bytes("GET", "/fn/chat/feed", accept="text/event-stream"))
            call = await stage.worker.next_call()
            serial = call.offer & 0xFFFFFFFF
            await stage.worker.send(Open(call.offer, True, ROOM, b"lobby").pack())
            await stage.worker.reply(
                call, 200, accepted(status=200, headers=[["X-A", "b"], ["Content-Type", "text/x"]])
            )
            await stage.worker.send(
                Send(SendKind.EVENT, (serial,), b"two\nlines", b"news", b"7", ROOM, b"lobby").pack()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            retry = await reader.readuntil(b"\n\n")
            event = await reader.readuntil(b"\n\n")
            for _ in range(2):
                stage.table._pass_tick()
            comment = await reader.readuntil(b"\n\n")
            await stage.close_serial(serial)

            assert head.startswith("HTTP/1.1 200 OK\r\n")
            assert "Content-Type: text/event-stream; charset=utf-8\r\n" in head
            assert "text/x" not in head
            assert "X-A: b\r\n" in head
            assert retry.startswith(b"retry: ")
            assert event == b"id: 7\nevent: news\ndata: two\ndata: lines\n\n"
            assert comment == b":\n\n"
            assert await reader.read() == b""
            assert await stage.closing() == Closed(call.offer, 1000, True)
            writer.close()

    asyncio.run(body())


def test_an_event_stream_that_its_client_leaves_is_closed() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.stage.port)
            writer.write(request_bytes("GET", "/v1/actors/Room/lobby/feed", accept="text/event-stream"))
            call = await stage.worker.next_call()
            await stage.worker.send(Open(call.offer, True, ROOM, b"lobby").pack())
            await stage.worker.reply(call, 200, accepted(status=200))
            await stage.until(lambda: stage.table.measures()["streams"])
            writer.close()

            assert await stage.closing() == Closed(call.offer, 1006, False)

    asyncio.run(body())


def test_the_library_forgets_a_connection_that_is_a_socket_now() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()

            assert stage.stage.server.measures()["connections"] == 0
            assert stage.stage.server.open_requests == 0
            await stage.send("and yet it lives", joined)
            assert await joined.client.recv() == "and yet it lives"

    asyncio.run(body())


def test_frames_for_another_front_end_the_link(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await stage.worker.send(Open(99 << 32 | 1, False, ROOM, b"lobby").pack())
            await stage.worker.accept()

            assert (await joined.closed())[0] == 1012
            assert "an OPEN for the front 99" in caplog.text

    asyncio.run(body())
