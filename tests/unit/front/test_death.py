"""What happens to a call when its worker dies: each line of the table, over real sockets and a real page."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import Call, pack_reply
from holdfast_host.wire.pages.evidence import Opened, judge
from holdfast_host.wire.pages.state_page import LEFT
from tests.unit.front.stage import Response, Stage, staged

pytestmark = pytest.mark.usefixtures("either_way")

REACHED = 5


async def _killed_with(stage: Stage, word: int) -> tuple[asyncio.Task[Response], Call]:
    """A call whose worker dies with this word on the page."""
    asking = asyncio.create_task(stage.deposit())
    call = await stage.worker.next_call()
    stage.worker.word(call, word)
    await stage.worker.die()
    return asking, call


@pytest.mark.parametrize(
    ("word", "status", "error", "words"),
    [
        (1, 503, "HostUnavailableError", "committed nothing"),
        (REACHED + 1, 503, "HostUnavailableError", "committed nothing"),
        (REACHED, 500, "ActorOutputGateError", "result is lost"),
        (2, 500, "ActorOutputGateError", "result is lost"),
        (LEFT | 1, 500, "ActorOutputGateError", "unknown"),
        (LEFT | (REACHED + 1), 500, "ActorOutputGateError", "unknown"),
    ],
)
def test_a_call_that_had_begun_is_answered_by_the_evidence(word: int, status: int, error: str, words: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            asking, _ = await _killed_with(stage, word)
            await stage.worker.accept(pid=101, epoch=2, group=REACHED)
            response = await asking

            assert (response.status, response.error) == (status, error)
            assert words in response.json["error"]["message"]
            assert response.json["error"]["retryable"] == (status == 503)
            assert stage.worker.calls.empty()
            _, after = await stage.answered("POST", "/v1/actors/Account/alice/deposit")
            assert after.status == 200

    uvloop.run(play())


def test_calls_that_had_not_begun_are_sent_again_in_their_order_and_the_callers_see_nothing() -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = []
            for number in range(5):
                asking.append(asyncio.create_task(stage.deposit(body=b"[%d]" % number)))
                await stage.worker.next_call()
            await stage.worker.die()
            await stage.worker.accept(pid=101, epoch=2)
            again = [await stage.worker.next_call() for _ in asking]
            for call in again:
                await stage.worker.reply(call, 200, call.body)
            responses = await asyncio.gather(*asking)

            assert [call.body for call in again] == [b"[0]", b"[1]", b"[2]", b"[3]", b"[4]"]
            assert [each.json for each in responses] == [[0], [1], [2], [3], [4]]

    uvloop.run(play())


def test_a_call_made_while_the_worker_is_gone_waits_for_the_successor() -> None:
    async def play() -> None:
        async with staged() as stage:
            await stage.worker.die()
            while (await stage.ask("GET", "/health/readiness")).status == 200:
                pass
            asking = asyncio.create_task(stage.deposit())
            await stage.worker.accept(pid=101, epoch=2)
            await stage.worker.reply(await stage.worker.next_call(), 200, b"1")

            assert (await asking).json == 1

    uvloop.run(play())


@pytest.mark.parametrize(
    ("word", "status", "error"),
    [
        (0, 503, "HostUnavailableError"),
        (1, 503, "HostUnavailableError"),
        (7, 500, "ActorOutputGateError"),
        (LEFT | 1, 500, "ActorOutputGateError"),
    ],
)
@pytest.mark.limit("resend_timeout_s")
def test_without_a_successor_in_time_all_are_answered_from_what_is_known(word: int, status: int, error: str) -> None:
    async def play() -> None:
        async with staged(limits=Limits(resend_timeout_s=0.1)) as stage:
            asking, _ = await _killed_with(stage, word)
            response = await asking
            late = await stage.deposit()
            await stage.worker.accept(pid=101, epoch=2)
            while (await stage.ask("GET", "/health/readiness")).status != 200:
                pass
            _, after = await stage.answered("POST", "/v1/actors/Account/alice/deposit")

            assert (response.status, response.error) == (status, error)
            assert (late.status, late.error, late.headers["retry-after"]) == (503, "HostUnavailableError", "1")
            assert after.status == 200

    uvloop.run(play())


def test_a_second_death_before_its_hello_changes_no_evidence() -> None:
    async def play() -> None:
        async with staged() as stage:
            asking, _ = await _killed_with(stage, REACHED + 1)
            connection, _ = await asyncio.get_running_loop().sock_accept(stage.worker._listener)
            connection.close()
            await stage.worker.accept(pid=102, epoch=3, group=REACHED + 4)
            response = await asking

            assert (response.status, response.error) == (500, "ActorOutputGateError")
            assert "unknown" in response.json["error"]["message"]  # the one between may have reached that number itself

    uvloop.run(play())


@pytest.mark.parametrize("word", [0, 1, 9])
def test_a_broken_link_to_a_worker_that_lives_is_never_taken_for_its_death(word: int) -> None:
    async def play() -> None:
        async with staged() as stage:
            asking, _ = await _killed_with(stage, word)
            await stage.worker.accept(pid=100, epoch=1)
            response = await asking

            assert (response.status, response.error) == (500, "ActorOutputGateError")
            assert stage.worker.calls.empty()

    uvloop.run(play())


def test_a_call_whose_client_is_gone_is_not_sent_again() -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(stage.deposit())
            await stage.worker.next_call()
            asking.cancel()
            await asyncio.wait_for(stage.worker.cancelled.get(), 10)
            await stage.worker.die()
            await stage.worker.accept(pid=101, epoch=2)
            call, _ = await stage.answered("POST", "/v1/actors/Account/bob/deposit")

            assert call.name == b"bob"
            assert stage.front._links[0].unanswered == 0

    uvloop.run(play())


@pytest.mark.parametrize("frames", [pack_reply(77, 200, b"1"), b"\xff\xff\xff\xff\x01", b"\x01\x00\x00\x00\x03"])
def test_a_worker_that_breaks_the_protocol_loses_its_link(frames: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            await stage.worker.send(frames)
            await stage.worker.accept(pid=101, epoch=2)
            _, response = await stage.answered("POST", "/v1/actors/Account/alice/deposit")

            assert response.status == 200

    uvloop.run(play())


def test_a_partition_that_the_successor_does_not_have_is_judged_without_it() -> None:
    before = Opened(1, {0: 1}, {0: 5})
    after = Opened(2, {1: 1}, {1: 5})

    assert [type(judge(word, 0, before, after)).__name__ for word in (0, 1, 5)] == [
        "HostUnavailableError",
        "HostUnavailableError",
        "ActorOutputGateError",
    ]
