"""Clients that do not take their answers: they are cut, and hold neither memory nor a stop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from holdfast_host.front.http.server import HttpServer
from holdfast_host.front.http.write_backpressure import DRAIN_S, WriteBackpressure
from holdfast_host.wire.control.protocol import Drain
from tests.unit.front.stage import Stage, request_bytes, staged, until

pytestmark = pytest.mark.usefixtures("either_way")

CALL = request_bytes("POST", "/v1/actors/Account/alice/deposit")
LARGE = b'"' + b"x" * 12_000_000 + b'"'  # the kernel takes up to four of it


def server_of(stage: Stage) -> HttpServer:
    return stage.front._servers[0][1]


async def never_reading(stage: Stage, *requests: bytes, room_bytes: int = 4_096) -> socket.socket:
    """A client with hardly any room of its own, which sends and does not read."""
    if stage.taught:
        await stage.teach(requests[0])
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", stage.port))
    await loop.sock_sendall(client, b"".join(requests))
    return client


def test_a_client_that_takes_nothing_of_its_answer_is_cut() -> None:
    async def play() -> None:
        async with staged() as stage:
            server = server_of(stage)
            server.backpressure = WriteBackpressure(take_s=0.3)
            client = await never_reading(stage, CALL)
            await stage.worker.reply(await stage.worker.next_call(), 200, LARGE)

            await until(lambda: server.backpressure.cut == 1)
            await until(lambda: not server._kept.live)
            assert server.measures()["cut_unread"] == 1
            client.close()

    uvloop.run(play())


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it() -> None:
    async def play() -> None:
        async with staged() as stage:
            server = server_of(stage)
            server.backpressure = WriteBackpressure(take_s=0.5)
            client = await never_reading(stage, CALL, room_bytes=65_536)
            await stage.worker.reply(await stage.worker.next_call(), 200, LARGE)
            received = bytearray()
            while not received.endswith(b'x"'):
                received += await asyncio.get_running_loop().sock_recv(client, 200_000)
                await asyncio.sleep(0.01)

            assert bytes(received).partition(b"\r\n\r\n")[2] == LARGE
            assert server.backpressure.cut == 0
            client.close()

    uvloop.run(play())


def test_answers_that_wait_may_not_fill_the_memory_and_who_waits_longest_goes() -> None:
    async def play() -> None:
        async with staged() as stage:
            server = server_of(stage)
            server.backpressure = WriteBackpressure(unread_bytes_max=30_000_000)
            clients = []
            for _ in range(6):
                clients.append(await never_reading(stage, CALL))
                await stage.worker.reply(await stage.worker.next_call(), 200, LARGE)
            await until(lambda: server.backpressure.cut >= 2)

            assert server.backpressure.unread_bytes <= 30_000_000
            await until(lambda: len(server._kept.live) < 5)
            assert (await stage.ask("GET", "/health/readiness")).status == 200
            for each in clients:
                each.close()

    uvloop.run(play())


async def standstill(count: Callable[[], int]) -> int:
    """The count, once it has stayed the same for half a second."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < 0.5:
        await asyncio.sleep(0.01)
        if count() != last:
            last, since = count(), time.monotonic()
        assert last < 2_000, "it never stands still"
    return last


def test_small_answers_to_many_requests_of_one_that_takes_none_are_not_made() -> None:
    async def play() -> None:
        async with staged() as stage:
            server = server_of(stage)
            describe = request_bytes("GET", "/v1/openapi.json")
            client = await never_reading(stage, describe * 2_000)
            made = await standstill(lambda: server.requests_count)

            assert 0 < made < 500
            assert server.backpressure.unread_bytes < 1_000_000
            client.close()

    uvloop.run(play())


def test_a_client_that_takes_nothing_holds_no_stop() -> None:
    async def play() -> None:
        async with staged() as stage:
            clients = [await never_reading(stage, CALL) for _ in range(2)]
            for _ in clients:
                await stage.worker.reply(await stage.worker.next_call(), 200, LARGE)
            await until(lambda: server_of(stage).backpressure.unread_bytes > len(LARGE))
            stage.front.on_message(Drain())

            async with asyncio.timeout(3 * DRAIN_S + 1):
                while (await stage.supervisor.messages.get())["kind"] != "drained":
                    pass
            for each in clients:
                each.close()

    uvloop.run(play())
