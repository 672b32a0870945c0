"""Calls that a worker has not begun, on their way to who owns the instance by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, MailboxFullError
from holdfast_host.core.limits import SHARDS, Limits
from holdfast_host.front.calls.moved_calls import MovedCalls
from holdfast_host.wire.calls.window import PendingCall, Reply
from holdfast_host.wire.control.routing import RouteBook, Routing

SHARD = 6
TABLE = Routing.over(SHARDS, ["w0", "w1"])


class Link:
    """A link that notes what it is given, or refuses it."""

    def __init__(self) -> None:
        self.on_moved: Callable[[PendingCall], None] | None = None
        self.given: asyncio.Queue[PendingCall] = asyncio.Queue()
        self.waiting: list[PendingCall] = []
        self.refusal: HoldfastError | None = None

    def send_again(self, call: PendingCall) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.given.put_nowait(call)

    def take_back_unbegun(self, is_elsewhere: Callable[[int], bool]) -> list[PendingCall]:
        found = [each for each in self.waiting if is_elsewhere(each.partition)]
        self.waiting = [each for each in self.waiting if each not in found]
        return found


def made(limits: Limits | None = None) -> tuple[MovedCalls, list[Link]]:
    links = [Link(), Link()]
    return MovedCalls(RouteBook(TABLE), cast("Any", links), limits or Limits()), links


def new_call() -> tuple[PendingCall, asyncio.Future[Reply]]:
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    return PendingCall(3, answer, b"frame", SHARD, 0, sent=True), answer


def test_it_goes_to_who_owns_the_shard_by_the_table_that_has_come_since() -> None:
    async def play() -> None:
        moved, links = made()
        call, _ = new_call()
        moved.add(call)
        moved.take(TABLE.given({SHARD: 1}))

        assert links[1].given.get_nowait() is call, "at once"
        assert links[0].given.empty()

    asyncio.run(play())


def test_it_is_sent_again_without_a_table_for_that_may_have_come_before() -> None:
    async def play() -> None:
        moved, links = made()
        call, _ = new_call()
        moved.add(call)

        assert await links[0].given.get() is call

    asyncio.run(play())


def test_what_waits_for_a_dead_worker_goes_to_who_has_its_shard_now() -> None:
    async def play() -> None:
        moved, links = made()
        call, _ = new_call()
        stays, _ = new_call()
        stays.partition = SHARD + 2
        links[0].waiting = [call, stays]
        moved.take(TABLE.given({SHARD: 1}))

        assert await links[1].given.get() is call
        assert links[0].waiting == [stays]

    asyncio.run(play())


def test_after_a_while_without_an_owner_it_has_not_begun() -> None:
    async def play() -> None:
        moved, links = made(Limits(resend_timeout_s=0.01))
        call, answer = new_call()
        while not answer.done():  # as its worker does that is not its owner, and each one after it
            moved.add(call)
            await asyncio.wait(
                (asyncio.ensure_future(links[0].given.get()), answer), return_when=asyncio.FIRST_COMPLETED
            )

        assert isinstance(answer.exception(), HostUnavailableError)

    asyncio.run(play())


def test_a_refusal_of_its_owner_is_told() -> None:
    async def play() -> None:
        moved, links = made()
        call, answer = new_call()
        links[0].refusal = MailboxFullError("full")
        moved.add(call)
        await asyncio.wait((answer,))

        assert isinstance(answer.exception(), MailboxFullError)

    asyncio.run(play())


def test_whoever_waits_no_more_has_nothing_sent_and_at_the_end_of_the_front_all_are_told() -> None:
    async def play() -> None:
        moved, links = made()
        (gone, ended), (left, answer) = new_call(), new_call()
        ended.cancel()
        moved.add(gone)
        moved.take(TABLE.given({SHARD: 1}))
        moved.add(left)
        moved.close()

        assert links[1].given.empty()
        assert isinstance(answer.exception(), HostUnavailableError)

    asyncio.run(play())
