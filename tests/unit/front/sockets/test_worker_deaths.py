"""Sockets whose worker dies: what stays, what goes to the successor, and who is told to come again."""

from __future__ import annotations

import asyncio

import pytest

from holdfast_host.front.sockets.event_flow import SOCKET_EVENTS_MAX
from holdfast_host.wire.calls.frames import Kind
from holdfast_host.wire.calls.window import REPEATS_MAX
from holdfast_host.wire.pages.send_page import NO_GROUP, owner_mark
from holdfast_host.wire.pages.state_page import BEGUN, ENDED, LEFT
from holdfast_host.wire.sockets.frames import Auto, Closed, Message, Open, Send, SendKind
from holdfast_host.wire.sockets.standing import Closing
from tests.unit.front.sockets.sockets_stage import ROOM, Joined, SocketStage, accepted, sent, socket_staged
from tests.unit.front.stage import PATIENCE_S

REACHED = 5
LOBBY = owner_mark(ROOM, b"lobby")


async def succeed(stage: SocketStage, number: int = 1, *, group: int = REACHED) -> None:
    """The successor is there; the first one had the epoch 1."""
    await stage.worker.die()
    await stage.worker.accept(pid=100 + number, epoch=1 + number, group=group)


async def says(stage: SocketStage, joined: Joined, text: str) -> None:
    await stage.send(text, joined)
    assert await joined.client.recv() == text


def test_a_socket_outlives_its_worker_and_the_successor_is_told_which_ones_stand() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = [await stage.join() for _ in range(3)]
            await joined[1].client.close(4000, "bye")
            call, _ = await stage.event()
            first = await stage.worker.standing.get()
            await succeed(stage)
            standing = await stage.worker.standing.get()

            assert (first.next_serial, first.open, list(first.offers)) == (1, {}, [])
            assert (standing.next_serial, list(standing.offers)) == (4, [])
            assert standing.open == {joined[0].serial: LOBBY, joined[2].serial: LOBBY}
            assert standing.closing == [Closing(joined[1].serial, LOBBY, 4000, clean=True, broke=False, reason="bye")]
            again, closed = await stage.event()
            assert again == call
            assert closed == Closed(joined[1].socket, 4000, True, "bye")
            await says(stage, joined[2], "here again")
            await joined[0].client.send("still here")
            assert (await stage.event())[1] == Message(joined[0].socket, False, b"still here")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("word", "goes_again"),
    [
        (0, True),
        (BEGUN, True),
        (REACHED + 1, True),
        (REACHED, False),
        (ENDED, False),
        (LEFT | REACHED, False),
        (LEFT | ENDED, False),
    ],
)
def test_an_event_goes_to_the_successor_unless_it_has_taken_effect(word: int, goes_again: bool) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("one")
            await joined.client.send("two")
            call, _ = await stage.event()
            await stage.event()
            stage.worker.word(call, word)
            await succeed(stage)

            texts = [(await stage.event())[1] for _ in range(1 + goes_again)]
            expected = [b"one", b"two"] if goes_again else [b"two"]
            assert texts == [Message(joined.socket, False, each) for each in expected]
            await says(stage, joined, "open")

    asyncio.run(body())


@pytest.mark.parametrize("word", [LEFT | BEGUN, LEFT | (REACHED + 1)])
def test_a_socket_whose_event_let_something_out_and_is_not_seen_as_committed_is_closed(word: int) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined, other = await stage.join(), await stage.join()
            await joined.client.send("one")
            await joined.client.send("two")
            stage.worker.word((await stage.event())[0], word)
            await stage.event()
            await succeed(stage)

            assert (await joined.closed())[0] == 1012
            assert (await stage.closing()).code == 1012
            await says(stage, other, "open")

    asyncio.run(body())


def test_an_event_that_worker_after_worker_dies_of_ends_its_socket() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined, other = await stage.join(), await stage.join()
            await joined.client.send("deadly")
            for number in range(1, REPEATS_MAX + 2):
                stage.worker.word((await stage.event())[0], BEGUN)
                await succeed(stage, number)

            assert (await joined.closed())[0] == 1011
            await says(stage, other, "open")

    asyncio.run(body())


@pytest.mark.parametrize(("group", "is_lost"), [(NO_GROUP, True), (REACHED, True), (REACHED + 1, False)])
def test_whose_frames_were_lost_is_closed_and_nobody_else(group: int, is_lost: bool) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined, other = await stage.join(), await stage.join("other")
            assert stage.worker.pages is not None
            stage.worker.pages.sends.take(LOBBY, group)
            await succeed(stage)

            if is_lost:
                assert (await joined.closed())[0] == 1012
            else:
                await says(stage, joined, "open")
            await says(stage, other, "open")

    asyncio.run(body())


def test_what_the_dead_worker_had_written_to_its_link_is_read_to_the_end_before_it_counts_as_lost() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            assert stage.worker.pages is not None
            slot = stage.worker.pages.sends.take(LOBBY, NO_GROUP)
            last = Send(SendKind.TEXT, (joined.serial,), b"last words", type_id=ROOM, name=b"lobby", slot=slot).pack()
            await stage.worker.send(last)
            stage.stage.front._links[0].send_frame(b"\x01\x00\x00\x00\xff" * 10)  # it breaks as it is written to
            await succeed(stage)

            assert await joined.client.recv() == "last words"
            await says(stage, joined, "open")

    asyncio.run(body())


def test_a_mark_for_everybody_closes_all_that_go_through_the_worker() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = [await stage.join(name) for name in ("a", "b")]
            assert stage.worker.pages is not None
            stage.worker.pages.sends.lose_everything()
            await succeed(stage)

            assert [(await each.closed())[0] for each in joined] == [1012, 1012]
            standing = [await stage.worker.standing.get() for _ in range(2)][-1]
            assert standing.open == {}
            assert {each.code for each in standing.closing} == {1012}

    asyncio.run(body())


@pytest.mark.parametrize(("pid", "epoch"), [(100, 1), (102, 3)], ids=["the link alone", "another one in between"])
def test_where_nobody_can_know_what_was_sent_all_are_closed(pid: int, epoch: int) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("hi")
            await stage.event()
            await stage.worker.die()
            await stage.worker.accept(pid=pid, epoch=epoch)

            assert (await joined.closed())[0] == 1012
            assert (await stage.closing()).code == 1012
            await says(stage, await stage.join(), "open")

    asyncio.run(body())


def test_a_client_that_leaves_behind_its_last_words_stands_at_the_successor_until_these_are_heard() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("last words")
            await joined.client.close(4000, "bye")
            said = [await stage.event() for _ in range(2)]
            await stage.worker.standing.get()
            await succeed(stage)
            standing = await stage.worker.standing.get()

            assert (standing.open, standing.closing) == ({joined.serial: LOBBY}, [])
            assert [await stage.event() for _ in range(2)] == said
            await stage.worker.reply(said[0][0])
            await succeed(stage, 2)
            standing = await stage.worker.standing.get()
            assert (standing.open, [each.serial for each in standing.closing]) == ({}, [joined.serial])

    asyncio.run(body())


def test_while_there_is_no_worker_nothing_more_is_read_and_nothing_is_lost() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await stage.worker.die()
            await stage.until(lambda: not stage.stage.front._links[0].up)
            texts = [b"%d" % number for number in range(100)]
            for each in texts:
                await joined.client.send(each.decode())
            await stage.until(lambda: not stage.table._held[joined.serial]._is_reading)  # type: ignore[union-attr]
            await stage.worker.accept(pid=101, epoch=2)
            came: list[bytes] = []
            while len(came) < len(texts):
                calls = [await stage.event() for _ in range(min(SOCKET_EVENTS_MAX, len(texts) - len(came)))]
                came += [event.data for _, event in calls if isinstance(event, Message)]
                for call, _ in calls:
                    await stage.worker.reply(call)

            assert came == texts

    asyncio.run(body())


def test_an_open_that_comes_again_opens_what_is_still_offered_and_changes_nothing_else() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            opening = stage.opening("/fn/chat/ws")
            offered = await stage.worker.next_call()
            await stage.worker.standing.get()
            await succeed(stage)
            standing = await stage.worker.standing.get()
            again = await stage.worker.next_call()  # the request had not begun
            for socket in (joined.socket, offered.offer, offered.offer):
                await stage.worker.send(Open(socket, False, ROOM, b"lobby", again=True).pack())
            await stage.worker.reply(again, 200, accepted())
            second = Joined(await opening, offered.offer)

            assert (list(standing.offers), standing.open) == ([2], {joined.serial: LOBBY})
            await says(stage, second, "open")
            await says(stage, joined, "open")
            assert stage.worker.calls.empty()

    asyncio.run(body())


def test_an_open_that_is_said_more_than_once_in_whichever_order_opens_one_socket() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            opening = stage.opening("/fn/chat/ws")
            call = await stage.worker.next_call()
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby", again=True).pack())
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby").pack())
            await stage.worker.reply(call, 200, accepted())
            joined = Joined(await opening, call.offer)
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby").pack())
            await says(stage, joined, "open")

            assert stage.worker.calls.empty()
            [room] = stage.table._rooms.values()
            assert room.sockets == 1

    asyncio.run(body())


@pytest.mark.parametrize("is_closed", [False, True])
def test_what_is_sent_to_an_offered_socket_before_its_open_is_said_again_waits_for_it(is_closed: bool) -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            opening = stage.opening("/fn/chat/ws")
            call = await stage.worker.next_call()
            serial = call.offer & 0xFFFFFFFF
            await stage.worker.send(sent(b"early", serial))
            if is_closed:
                await stage.close_serial(serial)
            await stage.worker.send(Open(call.offer, False, ROOM, b"lobby", again=True).pack())
            await stage.worker.reply(call, 200, accepted())
            joined = Joined(await opening, call.offer)

            assert await asyncio.wait_for(joined.client.recv(), PATIENCE_S) == "early"
            if is_closed:
                assert (await joined.closed())[0] == 1000
                await stage.closing()
                assert stage.table._rooms == {}
            else:
                [room] = stage.table._rooms.values()
                assert room.sockets == 1

    asyncio.run(body())


def test_an_auto_response_whose_end_may_be_lost_answers_nobody_who_comes_again() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await stage.worker.send(Auto(ROOM, b"lobby", "ping", "pong").pack())
            await stage.worker.send(sent(b"set", joined.serial))
            assert await joined.client.recv() == "set"
            assert stage.worker.pages is not None
            stage.worker.pages.sends.take(LOBBY, REACHED)  # of AUTO, that it ends
            [room] = stage.table._rooms.values()
            room.sockets += 1  # one stays until its client has taken its close
            await succeed(stage)
            await stage.closing()
            again = await stage.join()
            await again.client.send("ping")

            assert (await stage.event())[1] == Message(again.socket, False, b"ping")

    asyncio.run(body())


def test_where_the_worker_lives_nothing_goes_to_it_again_also_of_sockets_that_have_gone() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            await joined.client.send("once")
            stage.worker.word((await stage.event())[0], BEGUN)
            await joined.client.close(1000)
            await stage.event()
            await stage.worker.die()
            await stage.worker.accept(pid=100, epoch=1)

            assert await stage.closing() == Closed(joined.socket, 1000, True, "")
            await says(stage, await stage.join(), "open")
            assert stage.worker.calls.empty()

    asyncio.run(body())


def test_an_offer_whose_first_words_were_lost_does_not_open_with_a_gap() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            opening = stage.opening("/fn/chat/ws")
            offered = await stage.worker.next_call()
            assert stage.worker.pages is not None
            stage.worker.pages.sends.take(LOBBY, REACHED)
            await succeed(stage)
            await stage.worker.send(Open(offered.offer, False, ROOM, b"lobby", again=True).pack())

            await stage.worker.next_call()  # the request had not begun
            assert (await stage.event())[1] == Closed(offered.offer, 1006, False, "")
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    asyncio.run(body())


def test_a_slot_is_cleared_by_the_last_frame_that_carries_it_whatever_it_is() -> None:
    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            assert stage.worker.pages is not None
            sends = stage.worker.pages.sends
            slots = [sends.take(LOBBY, NO_GROUP) for _ in range(2)]
            await stage.worker.send(Auto(ROOM, b"lobby", "ping", "pong", slots[0]).pack())
            unknown = Send(SendKind.TEXT, (99,), b"?", type_id=ROOM, name=b"nobody", slot=slots[1]).pack()
            assert unknown[4] == Kind.SEND
            await stage.worker.send(unknown)
            await stage.until(lambda: not sends.in_flight())

            await joined.client.send("ping")
            assert await joined.client.recv() == "pong"

    asyncio.run(body())
