"""Sockets of a front before real clients: handshake, events, sends, closes, and what they may hold."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from holdfast_host.core.errors import ActorMethodError
from holdfast_host.core.limits import MIB
from holdfast_host.front.sockets.client import ANSWERS_MAX, PING_TICKS, State, WebSocketClient
from holdfast_host.front.sockets.deliveries import PIECE_SOCKETS, Sent
from holdfast_host.front.sockets.event_flow import INSTANCE_EVENTS_MAX, SOCKET_EVENTS_MAX, EventFlow
from holdfast_host.front.sockets.offers import EarlyBytes, Offer, Opened
from holdfast_host.front.sockets.rooms import Room
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
    socket_text,
)
from tests.unit.front.sockets.frames import CONTINUATION, PING, PONG, TEXT, frame
from tests.unit.front.sockets.sockets_stage import ROOM, SocketStage, accepted, sent, socket_staged
from tests.unit.front.stage import PATIENCE_S, Response, request_bytes


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


@pytest.mark.parametrize("first", ["open", "answer"])
def test_a_handshake_ends_when_both_halves_are_here_and_what_was_sent_before_waits_for_it(first: str) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            opening = stage.opening("/fn/chat/ws")
            call = await stage.worker.next_call()
            opened = Open(call.offer, False, ROOM, b"lobby").pack()
            early = sent(b"early", call.offer & 0xFFFFFFFF)
            if first == "open":
                await stage.worker.send(opened + early)
                await stage.until(lambda: stage.table._held[1].opened)  # type: ignore[union-attr]
            await stage.worker.reply(call, 200, accepted())
            if first == "answer":
                await asyncio.wait([opening], timeout=0.05)
                assert not opening.done()
                await stage.worker.send(opened + early)

            client = await opening
            assert await client.recv() == "early"

    asyncio.run(body())


def test_what_waits_for_handshakes_is_bounded_over_all_of_them() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.table.early.bytes_max = 1_000
            asked, calls = [], []
            for number in range(2):
                asked.append(asyncio.create_task(_upgrade(stage, f"/fn/chat/{number}")))
                calls.append(await stage.worker.next_call())
                await stage.worker.send(Open(calls[-1].offer, False, ROOM, b"lobby").pack())
                for _ in range(2):
                    await stage.worker.send(sent(b"x" * 300, calls[-1].offer & 0xFFFFFFFF))
            await stage.worker.reply(calls[1], 200, accepted())

            assert (await asked[1]).status == 502
            assert stage.table.early.held == 600
            assert await stage.closing() == Closed(calls[1].offer, 1006, False)
            await stage.worker.reply(calls[0], 200, b'{"status":403,"headers":[]}')
            assert (await asked[0]).status == 403
            assert stage.table.early.held == 0

    asyncio.run(body())


def test_a_socket_that_is_sent_too_much_just_before_it_opens_does_not_open_with_a_gap() -> None:
    async def body() -> None:
        room = Room(EventFlow(), ROOM, b"lobby", "chat", 0)
        offer = Offer(5, 5, "chat", 10.0, EarlyBytes(1_000))
        completing = asyncio.create_task(offer.complete(ROOM, b"lobby", "Room/lobby"))
        await asyncio.sleep(0)
        offer.open(Opened(room, False, ""))
        offer.take(Sent(Send(SendKind.TEXT, (5,), b"x" * 1_001), room, lambda: None))

        with pytest.raises(ActorMethodError, match="before they were open"):
            await completing

    asyncio.run(body())


def test_the_number_that_may_be_accepted_goes_beside_the_request_and_in_it() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            ask = asyncio.create_task(_upgrade(stage, "/fn/chat/a?b=c"))
            call = await stage.worker.next_call()
            facts = json.loads(call.body)

            assert facts["socket"] == socket_text(call.offer)
            assert call.offer >> 32 == stage.table.front
            await stage.worker.reply(call, 200, b'{"status":403,"headers":[],"body":"no"}')
            assert (await ask).status == 403
            assert len(stage.table) == 0

    asyncio.run(body())


def test_a_request_that_wants_no_socket_offers_none() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            ask = asyncio.create_task(stage.stage.ask("GET", "/fn/chat/"))
            call = await stage.worker.next_call()

            assert call.offer == 0
            assert "socket" not in json.loads(call.body)
            await stage.worker.reply(call, 200, accepted())
            assert (await ask).status == 500  # it was not asked for

    asyncio.run(body())


UPGRADE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def _upgrade(stage: SocketStage, target: str, **headers: str) -> Response:
    given = {**UPGRADE, **headers}
    return await stage.stage.exchange(request_bytes("GET", target, b"", **given))


@pytest.mark.limit("socket_handshake_s")
def test_an_answer_without_an_open_is_an_error_for_the_client() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(socket_handshake_s=0.05)
            ask = asyncio.create_task(_upgrade(stage, "/fn/chat/"))
            call = await stage.worker.next_call()
            await stage.worker.reply(call, 200, accepted())
            response = await ask

            assert (response.status, response.error) == (502, "ActorMethodError")
            assert len(stage.table) == 0
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby").pack())  # too late
            assert await stage.closing() == Closed(call.offer, 1006, False)

    asyncio.run(body())


@pytest.mark.parametrize("status", [200, 403])
def test_an_open_whose_answer_accepts_nothing_becomes_a_close(status: int) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            ask = asyncio.create_task(_upgrade(stage, "/fn/chat/"))
            call = await stage.worker.next_call()
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby").pack())
            await stage.worker.reply(call, 200, b'{"status":%d,"headers":[]}' % status)

            assert await stage.closing() == Closed(call.offer, 1006, False)
            assert (await ask).status == {200: 426, 403: 403}[status]

    asyncio.run(body())


def test_of_two_instances_that_accepted_one_handshake_the_one_that_the_answer_names_has_it() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            opening = stage.opening("/fn/chat/ws")
            call = await stage.worker.next_call()
            for name in (b"thief", b"lobby"):
                await stage.worker.send(Open(call.offer, False, ROOM, name).pack())
            await stage.worker.reply(call, 200, accepted())
            client = await opening
            closed, event = await stage.event()
            await client.send("hi")
            message, _ = await stage.event()

            assert (closed.name, event) == (b"thief", Closed(call.offer, 1006, False))
            assert message.name == b"lobby"

    asyncio.run(body())


def test_where_the_answer_did_not_say_who_has_the_handshake_the_first_to_accept_it_would_take_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the mechanism."""

    def take_the_first(offer: Offer) -> None:
        if offer._named and offer.opened and not offer._found.done():
            offer._found.set_result(offer.opened[0])

    async def body() -> None:
        async with socket_staged() as stage:
            monkeypatch.setattr(Offer, "_match", take_the_first)
            opening = stage.opening("/fn/chat/ws")
            call = await stage.worker.next_call()
            for name in (b"thief", b"lobby"):
                await stage.worker.send(Open(call.offer, False, ROOM, name).pack())
            await stage.worker.reply(call, 200, accepted())
            client = await opening
            closed, _ = await stage.event()
            await client.send("for the lobby alone")
            message, event = await stage.event()

            assert closed.name == b"lobby"
            assert (message.name, event) == (b"thief", Message(call.offer, False, b"for the lobby alone"))

    asyncio.run(body())


def test_of_two_instances_that_accepted_one_handshake_only_the_one_that_has_it_reaches_the_client() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            other = await stage.join("thief")
            opening = stage.opening("/fn/chat/ws")
            call = await stage.worker.next_call()
            serial = call.offer & 0xFFFFFFFF
            for name in (b"thief", b"lobby"):
                await stage.worker.send(Open(call.offer, False, ROOM, name).pack())
            await stage.worker.send(sent(b"stolen", serial, name=b"thief") + sent(b"first", serial))
            await stage.worker.reply(call, 200, accepted())
            client = await opening
            await stage.event()
            await stage.worker.send(sent(b"to all", serial, other.serial, name=b"thief") + sent(b"second", serial))

            assert [await client.recv(), await client.recv()] == ["first", "second"]
            assert await other.client.recv() == "to all"

    asyncio.run(body())


def test_a_client_that_leaves_during_its_handshake_is_a_close_for_who_accepted_it() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.stage.port)
            writer.write(request_bytes("GET", "/fn/chat/", b"", **UPGRADE))
            call = await stage.worker.next_call()
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby").pack())
            writer.transport.abort()

            assert await stage.closing() == Closed(call.offer, 1006, False)

    asyncio.run(body())


def test_the_protocol_is_said_only_if_the_client_offered_it() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            for offered, chosen, said in ((["a", "b"], "b", "b"), (["a"], "b", None)):
                opening = stage.opening("/fn/chat/", subprotocols=offered)
                call = await stage.worker.next_call()
                await stage.worker.send(Open(call.offer, False, ROOM, b"lobby", chosen).pack())
                await stage.worker.reply(call, 200, accepted(headers=[["Set-Cookie", "a=b"]]))
                client = await opening

                assert client.subprotocol == said
                assert client.response is not None
                assert client.response.headers["Set-Cookie"] == "a=b"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"sec_websocket_protocol": "a b"}, 400),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://app.example:8443"}, 403),
    ],
)
def test_a_handshake_that_breaks_a_rule_is_refused_before_anybody_is_asked(
    changed: dict[str, str], status: int
) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            response = await _upgrade(stage, "/fn/chat/", **changed)

            assert response.status == status
            assert stage.worker.calls.empty()

    asyncio.run(body())


@pytest.mark.parametrize("origin", ["https://app.example", "HTTPS://APP.example:443", "http://localhost"])
def test_pages_of_the_own_origin_and_of_those_that_the_manifest_lists_may_open_sockets(origin: str) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            ask = asyncio.create_task(_upgrade(stage, "/fn/chat/", origin=origin))
            call = await stage.worker.next_call()
            await stage.worker.reply(call, 200, b'{"status":404,"headers":[]}')

            assert (await ask).status == 404

    asyncio.run(body())


def test_an_instance_is_reached_directly_under_the_token_which_it_does_not_see() -> None:
    async def body() -> None:
        async with socket_staged(token="secret") as stage:
            path = "/v1/actors/Room/big%20hall/a/b%2Fc?q=1"
            with pytest.raises(InvalidStatus) as refused:
                await stage.opening(path)
            assert refused.value.response.status_code == 401
            shown = {"Authorization": "Bearer secret"}
            opening = stage.opening(path, additional_headers=shown)
            call = await stage.worker.next_call()
            facts = json.loads(call.body)
            await stage.worker.send(Open(call.offer, False, ROOM, b"big hall").pack())
            await stage.worker.reply(call, 200, accepted("big hall"))
            client = await opening
            await client.send(b"\x00\x01")
            _, event = await stage.event()

            assert (call.kind, call.type_id, call.name, call.method) == (CallKind.FETCH, ROOM, b"big hall", b"fetch")
            assert facts["url"].endswith("/a/b%2Fc?q=1")
            assert "secret" not in call.body.decode()
            assert event == Message(call.offer, True, b"\x00\x01")

    asyncio.run(body())


def test_a_page_of_another_origin_cannot_come_directly() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            response = await _upgrade(stage, "/v1/actors/Room/lobby/", origin="https://app.example")

            assert (response.status, response.error) == (403, "ForbiddenError")

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
            last = sent(b"c", joined[0].serial)
            await stage.worker.send(b"".join((*frames, last)))

            assert [await joined[0].client.recv() for _ in range(121)] == ["a"] * 60 + ["b"] * 60 + ["c"]
            assert [await joined[4].client.recv() for _ in range(120)] == ["a"] * 60 + ["b"] * 60
            total, taken = sum(map(len, frames)) + len(last), 0
            while taken < total:
                taken = await asyncio.wait_for(stage.worker.taken.get(), PATIENCE_S)
            assert taken == total

    asyncio.run(body())


@pytest.mark.limit("socket_untaken_bytes_max", "socket_untaken_s")
def test_who_takes_nothing_is_cut_and_others_are_not() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(socket_untaken_bytes_max=100_000, socket_untaken_s=0.0)
            slow, quick = await stage.join(max_queue=1), await stage.join()
            slow.client.transport.pause_reading()
            for _ in range(100):
                await stage.send("x" * 100_000, slow, quick)
                assert len(await quick.client.recv()) == 100_000
            call, event = await stage.event()

            assert isinstance(event, Closed)
            assert (call.method, event.socket, event.code, event.clean) == (ON_ERROR, slow.socket, 1013, False)
            assert stage.table.slow.cut == 1
            assert stage.table.slow.unsent_bytes == 0

    asyncio.run(body())


@pytest.mark.limit("socket_unsent_bytes_max")
def test_a_socket_that_is_sent_too_much_is_cut_at_once() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(socket_unsent_bytes_max=1_000_000)
            slow = await stage.join()
            slow.client.transport.pause_reading()
            for _ in range(80):
                await stage.send("x" * 200_000, slow)
            _, event = await stage.event()

            assert isinstance(event, Closed)
            assert event.code == 1013

    asyncio.run(body())


@pytest.mark.parametrize(("cut_at", "arrives"), [(16 * MIB, True), (1 * MIB, False)])
def test_three_mebibytes_at_once_arrive_at_who_reads_them_later_unless_one_would_be_cut_for_a_megabyte(
    cut_at: int, arrives: bool
) -> None:
    """What somebody missed of a topic is sent in one turn; who has a mebibyte to take has ten seconds for it."""

    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(socket_unsent_bytes_max=cut_at)
            late = await stage.join(max_queue=1)
            late.client.transport.pause_reading()
            slow, count = stage.table.slow, 0
            while slow.unsent_bytes <= 3 * MIB and not slow.cut:
                await stage.send(f"{count} {'x' * (64 << 10)}", late)
                count += 1
                await asyncio.sleep(0)
            late.client.transport.resume_reading()
            if arrives:
                texts = [str(await late.client.recv()) for _ in range(count)]
                assert [int(each.partition(" ")[0]) for each in texts] == [*range(count)]
            else:
                assert (await stage.closing()).code == 1013
            assert slow.cut == (not arrives)

    asyncio.run(body())


@pytest.mark.limit("socket_unsent_bytes_max")
@pytest.mark.parametrize("asked", [frame(PING, b"x" * 125), frame(TEXT, b"p")], ids=["pings", "auto responses"])
def test_who_asks_the_front_for_answers_and_takes_none_is_cut_as_others_are(asked: bytes) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(socket_unsent_bytes_max=1_000_000)
            await stage.worker.send(b"")
            slow = await stage.join(max_queue=1)
            await stage.worker.send(Auto(ROOM, b"lobby", "p", "q" * 2_000).pack())
            slow.client.transport.pause_reading()
            for _ in range(40_000_000 // max(len(asked), 2_000)):
                slow.client.transport.write(asked * 10)
                if slow.client.transport.get_write_buffer_size() or stage.table.slow.cut:
                    await asyncio.sleep(0)
                if stage.table.slow.cut:
                    break
            _, event = await stage.event()

            assert isinstance(event, Closed)
            assert event.code == 1013

    asyncio.run(body())


@pytest.mark.parametrize("sent", [frame(PING), frame(PONG), frame(TEXT, b"p"), frame(CONTINUATION, fin=False)])
def test_a_client_that_floods_the_front_with_what_it_answers_itself_leaves_others_their_turns(sent: bytes) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            flooding = await stage.join()
            await stage.worker.send(Auto(ROOM, b"lobby", "p", "q").pack())
            held: Any = stage.table._held[flooding.serial]
            await stage.until(lambda: held.room.auto)
            flood = (frame(TEXT, b"a", fin=False) if sent == frame(CONTINUATION, fin=False) else b"") + sent * 10_000
            held.data_received(flood)
            steps = 0
            while held._reader.has_more:
                steps += 1
                await asyncio.sleep(0)

            assert steps >= len(flood) // len(sent) // ANSWERS_MAX
            assert held._is_reading

    asyncio.run(body())


@pytest.mark.limit("front_unread_bytes_max")
def test_messages_that_never_end_are_bounded_over_all_sockets_and_the_oldest_goes() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(front_unread_bytes_max=250_000)
            joined = [await stage.join() for _ in range(3)]
            for each in joined:
                each.client.transport.write(frame(TEXT, b"x" * 200_000)[:100_000])
                await stage.until(lambda: stage.table.unread.held_bytes)
                await asyncio.sleep(0.05)
            _, event = await stage.event()

            assert isinstance(event, Closed)
            assert (event.socket, event.code) == (joined[0].socket, 1013)
            assert stage.table.unread.held_bytes < 250_000

    asyncio.run(body())


def test_a_client_that_leaves_within_a_message_leaves_nothing_of_it_here() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            joined.client.transport.write(frame(TEXT, b"x" * 200_000)[:100_000])
            await stage.until(lambda: stage.table.unread.held_bytes)
            joined.client.transport.abort()
            await stage.closing()

            assert stage.table.unread.held_bytes == 0
            assert not stage.table.unread._holding

    asyncio.run(body())


@pytest.mark.limit("front_unread_bytes_max")
def test_messages_of_a_client_that_has_left_are_given_up_too_where_all_hold_too_much() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(front_unread_bytes_max=250_000)
            left, other = await stage.join(), await stage.join()
            left.client.transport.write(b"".join(frame(TEXT, b"x" * 10_000) for _ in range(20)))
            for _ in range(SOCKET_EVENTS_MAX):
                await stage.event()
            left.client.transport.abort()
            while stage.table._held[left.serial]._state is State.OPEN:  # type: ignore[union-attr]
                await stage.send("are you there?", left)  # nobody reads: who writes finds out
                await asyncio.sleep(0.01)
            before = stage.table.unread.held_bytes
            assert before > 20_000
            other.client.transport.write(frame(TEXT, b"x" * 300_000)[:249_000])

            await stage.until(lambda: stage.table.unread.cut)
            await stage.until(lambda: 240_000 < stage.table.unread.held_bytes < 250_000)
            assert stage.table._held[other.serial]._state is State.OPEN  # type: ignore[union-attr]

    asyncio.run(body())


@pytest.mark.limit("function_sockets_max", "front_sockets_max")
def test_there_is_a_bound_of_sockets_and_it_is_said_before_the_handshake() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            for bounds in ({"function_sockets_max": 1}, {"front_sockets_max": 1}):
                stage.limit(**bounds)
                joined = await stage.join()
                response = await _upgrade(stage, "/fn/chat/")
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
            response = await _upgrade(stage, "/fn/chat/")

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
