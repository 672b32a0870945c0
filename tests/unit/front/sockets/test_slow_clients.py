"""Clients that take nothing, never end or flood: each is bounded, all of them are, and the others go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.front.sockets.client import ANSWERS_MAX, State
from holdfast_host.front.sockets.event_flow import SOCKET_EVENTS_MAX
from holdfast_host.wire.sockets.frames import (
    ON_ERROR,
    Auto,
    Closed,
    untold_bytes_max,
)
from tests.unit.front.sockets.frames import CONTINUATION, PING, PONG, TEXT, frame
from tests.unit.front.sockets.sockets_stage import ROOM, sent, socket_staged
from tests.unit.front.stage import PATIENCE_S


def test_a_front_says_what_it_has_taken_once_that_is_more_than_it_may_keep_to_itself() -> None:
    """Each TAKEN costs both ends as much as a message does."""

    async def body() -> None:
        async with socket_staged() as stage:
            joined = await stage.join()
            frame = sent(b"x" * 1_000, joined.serial)
            told_from = untold_bytes_max(Limits().front_ahead_bytes) // len(frame) + 1
            for count in range(1, 2 * told_from + 1):
                await stage.worker.send(frame)
                assert len(await joined.client.recv()) == 1_000
                assert stage.worker.taken.qsize() <= count // told_from

            told = [await asyncio.wait_for(stage.worker.taken.get(), PATIENCE_S) for _ in range(2)]
            assert told == [told_from * len(frame), 2 * told_from * len(frame)]

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
