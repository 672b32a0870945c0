"""A worker's link at the courier: when an answer's text is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast_host.courier.links import WorkerLink
from holdfast_host.wire.calls.frames import PROTOCOL
from holdfast_host.wire.calls.outbound import Ask, Read, pack_ask, pack_hello

Deliver = Callable[[Callable[[], bytes]], Awaitable[None]]


class Full(asyncio.Transport):
    """A connection that is full after each write, until it is drained."""

    def __init__(self, link: WorkerLink) -> None:
        self.link = link
        self.writes: list[bytes] = []
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.link.pause_writing()


def test_of_answers_that_wait_for_their_worker_only_one_is_made() -> None:
    """The others are held as they came: text is a third longer, and copied on its way."""
    made: list[int] = []

    async def run() -> None:
        async def serve(ask: Ask, _: asyncio.Queue[Read], deliver: Deliver) -> None:
            await deliver(lambda: made.append(ask.serial) or b"{}")  # type: ignore[func-returns-value]

        link = WorkerLink(serve, lambda _: None)
        transport = Full(link)
        link.connection_made(transport)
        link.resume_writing()  # HELLO is through
        link.data_received(pack_hello())
        for serial in range(3):
            link.data_received(pack_ask(Ask(serial, 1000, "f", b"{}")))
        for _ in range(10):
            await asyncio.sleep(0)
        assert made == [0]
        for count in (2, 3):
            link.resume_writing()
            for _ in range(10):
                await asyncio.sleep(0)
            assert made == list(range(count))
        link.connection_lost(None)

    asyncio.run(run())


def test_a_worker_of_another_protocol_is_refused_by_name(caplog: pytest.LogCaptureFixture) -> None:
    served: list[Ask] = []

    async def serve(ask: Ask, _reads: asyncio.Queue[Read], _deliver: Deliver) -> None:
        served.append(ask)

    async def begin_with(first: bytes) -> bool:
        """Whether the connection lives on after that and an ASK."""
        link = WorkerLink(serve, lambda _job: None)
        transport = Full(link)
        link.connection_made(transport)
        link.data_received(first + pack_ask(Ask(1, 1000, "f", b"{}")))
        await asyncio.sleep(0)
        link.connection_lost(None)
        return not transport.aborted

    other = pack_hello()[:-2] + (PROTOCOL + 1).to_bytes(2, "little")
    assert not asyncio.run(begin_with(other))
    assert f"the other end speaks protocol {PROTOCOL + 1}, we speak {PROTOCOL}" in caplog.text
    assert not asyncio.run(begin_with(b""))
    assert "before a HELLO: the other end is of another release" in caplog.text
    assert not served
    assert asyncio.run(begin_with(pack_hello()))
    assert served
