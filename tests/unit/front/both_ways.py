"""A front's connections without sockets: the pieces of a stream, played to one that parses all requests or not all."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any, cast

from holdfast_host.front.http.server import HttpServer
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.calls.frames import Call
from holdfast_host.wire.calls.window import PendingCall, Receiver
from tests.unit.front.stage import Stage

SETTLED_LOOPS = 40  # more iterations than any answer of these tests takes
END = b""  # in the place of a piece: the client sends no more


class EchoLink:
    """A worker that answers, some iterations of the loop later, what it was asked."""

    def __init__(self, late: random.Random) -> None:
        self._late = late
        self.calls: list[tuple[bytes, bytes, int]] = []

    def send(self, call: Call, partition: int, answer: Receiver) -> PendingCall:
        self.calls.append((call.name, call.body, call.flags))
        self._answer(answer, (200, call.name + b" " + call.body), self._late.randrange(4))
        return PendingCall(0, answer, b"", partition, len(call.body), sent=True)

    async def call(self, call: Call, partition: int) -> tuple[int, bytes]:
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.send(call, partition, answer)
        return await answer

    def cancel(self, pending: PendingCall) -> None:
        pass

    def _answer(self, answer: Receiver, reply: tuple[int, bytes], loops: int) -> None:
        if loops:
            asyncio.get_running_loop().call_soon(self._answer, answer, reply, loops - 1)
        elif not answer.done():
            answer.set_result(reply)


class Pipe(asyncio.Transport):
    """A client that takes everything at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._closing = False
        self.written = b""
        self.reading = asyncio.Event()
        self.reading.set()

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.reading.set()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close


async def settle(loops: int = SETTLED_LOOPS) -> None:
    for _ in range(loops):
        await asyncio.sleep(0)


async def play_pieces(
    stage: Stage, server: HttpServer, pieces: list[tuple[bytes, int]]
) -> tuple[bytes, list[tuple[bytes, bytes, int]]]:
    """What is answered to these pieces, each followed by so many iterations of the loop, and which calls they made."""
    link = EchoLink(random.Random(1))
    stage.front._calls._links = [cast(WorkerLink, link)]
    connection = server()
    pipe = Pipe(connection)
    connection.connection_made(pipe)
    await settle()
    for piece, loops in pieces:
        for _ in range(20 * SETTLED_LOOPS):
            if pipe.reading.is_set():
                break
            await asyncio.sleep(0)
        if pipe.is_closing() or not pipe.reading.is_set():
            break  # or the front waits for its patience to end, with a body that is none
        if piece == END:
            if not connection.eof_received():
                pipe.close()
            break
        connection.data_received(piece)
        await settle(loops)
    await settle(20 * SETTLED_LOOPS)
    pipe.close()
    await settle()
    return re.sub(rb"(Date|Holdfast-Request-Id): [^\r]*", b"", pipe.written), link.calls
