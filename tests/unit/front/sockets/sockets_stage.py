"""A front on a stage whose worker is played by the test, with real WebSocket clients before it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from holdfast_host.core.limits import Limits
from holdfast_host.front.sockets.table import SocketTable
from holdfast_host.wire.calls.frames import EVENT_SLOT, Call
from holdfast_host.wire.control.catalog import ActorType, Catalog, Deployment
from holdfast_host.wire.sockets.frames import ON_MESSAGE, Close, Closed, Message, Open, Send, SendKind, serial_of
from tests.unit.front.stage import PATIENCE_S, Response, Stage, request_bytes, staged

ROOM = 7
_ROOM_TYPE = ActorType("Room", ROOM, (), handlers=("fetch", "socket_message", "socket_close"))
CHAT = Deployment("chat", "fn_1", 1, "ab", "/x", (_ROOM_TYPE,), handlers=("fetch",), origins=("https://app.example",))
OTHER = Deployment("plain", "fn_2", 1, "cd", "/y", (), handlers=("fetch",))


def accepted(name: str = "lobby", status: int = 101, headers: Any = ()) -> bytes:
    """The answer of a fetch in which that room has accepted the socket."""
    return json.dumps({"status": status, "headers": list(headers), "socket": {"type": "Room", "name": name}}).encode()


def sent(text: bytes, *serials: int, name: bytes = b"lobby") -> bytes:
    """The frame in which a room sends a text to these sockets."""
    return Send(SendKind.TEXT, serials, text, type_id=ROOM, name=name).pack()


@dataclass
class Joined:
    """One client whose handshake is whole."""

    client: ClientConnection
    socket: int
    name: bytes = b"lobby"

    @property
    def serial(self) -> int:
        return serial_of(self.socket)

    async def closed(self) -> tuple[int, str]:
        """How the connection was closed, once it is."""
        try:
            while True:
                await asyncio.wait_for(self.client.recv(), PATIENCE_S)
        except ConnectionClosed as error:
            return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (1006, "")


class SocketStage:
    """What a test of sockets holds."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.worker = stage.worker
        self._openings: list[asyncio.Task[ClientConnection]] = []

    @property
    def table(self) -> SocketTable:
        return self.stage.front._sockets

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.stage.port}"

    def limit(self, **changes: Any) -> None:
        """Other limits for what is opened from now on."""
        self.table.limits = Limits(**changes)
        self.table.slow._limits = self.table.limits
        self.table.unread._bytes_max = self.table.limits.front_unread_bytes_max

    async def join(self, name: str = "lobby", path: str = "/fn/chat/ws", **options: Any) -> Joined:
        """A client that the room accepts, by the function."""
        opening = self.opening(path, **options)
        call = await self.worker.next_call()
        await self.worker.send(Open(call.offer, False, ROOM, name.encode()).pack())
        await self.worker.reply(call, 200, accepted(name))
        return Joined(await opening, call.offer, name.encode())

    def opening(self, path: str, **options: Any) -> asyncio.Task[ClientConnection]:
        """A client that connects; it is closed with the stage."""
        task = asyncio.create_task(_connect(f"{self.url}{path}", **options))
        self._openings.append(task)
        return task

    async def aclose(self) -> None:
        for each in await asyncio.gather(*self._openings, return_exceptions=True):
            if isinstance(each, ClientConnection):
                if not each.transport.is_closing():
                    each.transport.abort()
                await each.wait_closed()

    async def event(self) -> tuple[Call, Message | Closed]:
        """The next event that reaches the worker."""
        call = await self.worker.next_call()
        assert call.slot >= EVENT_SLOT
        return call, Message.unpack(call.body) if call.method == ON_MESSAGE else Closed.unpack(call.body)

    async def closing(self) -> Closed:
        """The next event, which is a close; its call is answered."""
        call, event = await self.event()
        assert isinstance(event, Closed)
        await self.worker.reply(call)
        return event

    async def send(self, text: str, *joined: Joined) -> int:
        """Have the worker send; how long its frame was."""
        frame = sent(text.encode(), *(each.serial for each in joined), name=joined[0].name)
        await self.worker.send(frame)
        return len(frame)

    async def close(self, joined: Joined, code: int = 1000, reason: str = "") -> None:
        await self.worker.send(Close(code, (joined.serial,), reason, ROOM, joined.name).pack())

    async def close_serial(self, serial: int) -> None:
        await self.worker.send(Close(1000, (serial,), "", ROOM, b"lobby").pack())

    async def until(self, said: Any) -> None:
        """Return when that holds of the front."""
        async with asyncio.timeout(PATIENCE_S):
            while not said():  # noqa: ASYNC110 # what is waited for tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def socket_staged(**options: Any) -> AsyncIterator[SocketStage]:
    async with staged(catalog=Catalog(1, (CHAT, OTHER)), **options) as stage:
        sockets = SocketStage(stage)
        try:
            yield sockets
        finally:
            await sockets.aclose()


async def _connect(url: str, **options: Any) -> ClientConnection:
    return await connect(url, max_size=None, ping_interval=None, **options)


UPGRADE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def upgrade(stage: SocketStage, target: str, **headers: str) -> Response:
    given = {**UPGRADE, **headers}
    return await stage.stage.exchange(request_bytes("GET", target, b"", **given))
