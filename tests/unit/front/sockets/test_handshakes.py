"""How a socket comes to be: who may open one, and the two halves that have to meet."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import InvalidStatus

from holdfast_host.core.errors import ActorMethodError
from holdfast_host.front.sockets.deliveries import Sent
from holdfast_host.front.sockets.event_flow import EventFlow
from holdfast_host.front.sockets.offers import EarlyBytes, Offer, Opened
from holdfast_host.front.sockets.rooms import Room
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.wire.sockets.frames import (
    Closed,
    Message,
    Open,
    Send,
    SendKind,
    socket_text,
)
from tests.unit.front.sockets.sockets_stage import ROOM, UPGRADE, accepted, sent, socket_staged, upgrade
from tests.unit.front.stage import request_bytes


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
                asked.append(asyncio.create_task(upgrade(stage, f"/fn/chat/{number}")))
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
            ask = asyncio.create_task(upgrade(stage, "/fn/chat/a?b=c"))
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


@pytest.mark.limit("socket_handshake_s")
def test_an_answer_without_an_open_is_an_error_for_the_client() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            stage.limit(socket_handshake_s=0.05)
            ask = asyncio.create_task(upgrade(stage, "/fn/chat/"))
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
            ask = asyncio.create_task(upgrade(stage, "/fn/chat/"))
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
            response = await upgrade(stage, "/fn/chat/", **changed)

            assert response.status == status
            assert stage.worker.calls.empty()

    asyncio.run(body())


@pytest.mark.parametrize("origin", ["https://app.example", "HTTPS://APP.example:443", "http://localhost"])
def test_pages_of_the_own_origin_and_of_those_that_the_manifest_lists_may_open_sockets(origin: str) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            ask = asyncio.create_task(upgrade(stage, "/fn/chat/", origin=origin))
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
            response = await upgrade(stage, "/v1/actors/Room/lobby/", origin="https://app.example")

            assert (response.status, response.error) == (403, "ForbiddenError")

    asyncio.run(body())
