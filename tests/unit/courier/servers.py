"""A server of the tests' own, which answers byte by byte what a test wants, and a courier's insides that ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.courier.addresses import PrivateAccess
from holdfast_host.courier.connections import Connections
from holdfast_host.courier.exchange import Exchanges
from holdfast_host.courier.grants import Grants
from holdfast_host.courier.in_flight import InFlight
from holdfast_host.courier.lookups import LookUp, Lookups
from holdfast_host.wire.control.catalog import Outbound

FUNCTION = "asker"
LOCAL = "127.0.0.1"


@dataclass
class Seen:
    """One request as the server got it; `connection` counts its connections from 1."""

    connection: int
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name.lower()]


Handler = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Serves on loopback; `seen` has every request in order."""

    handle: Handler
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{LOCAL}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")[:-2]
                headers = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in lines]
                length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
                method, path, _ = first.split(" ")
                seen = Seen(number, method, path, headers, await reader.readexactly(length))
                self.seen.append(seen)
                await self.handle(seen, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def answer(body: bytes = b"", status: int = 200, headers: Iterable[str] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def raw_server(handle: Handler | None = None) -> AsyncIterator[RawServer]:
    """A server that answers `hello` where no handler says otherwise."""

    async def hello(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"hello"))

    server = RawServer(handle or hello)
    listening = await asyncio.start_server(server.serve, LOCAL, 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.close()
        listening.close()


class Asking:
    """What of a courier sends requests, over a table of functions."""

    def __init__(
        self,
        functions: dict[str, Outbound] | None = None,
        *,
        operator: Iterable[str] = ("http://*", "https://*"),
        private: Iterable[tuple[str, int | None]] = ((LOCAL, None),),
        limits: Limits | None = None,
        look_up: LookUp | None = None,
        secrets: dict[str, str] | None = None,
        sealed: dict[str, str] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.grants = Grants(operator)
        self.grants.set_functions(functions or {FUNCTION: Outbound(("http://*", "https://*"))})
        self.grants.set_secrets(secrets or {}, sealed or {})
        self.connections = Connections(PrivateAccess.of(private), Lookups(look_up), self.limits.fetch_headers_bytes_max)
        self.in_flight = InFlight(self.limits)
        self.exchanges = Exchanges(self.grants, self.connections, self.in_flight, self.limits)

    async def ask(self, url: str, function: str = FUNCTION, **facts: Any) -> dict[str, Any]:
        """Send a request; the answer as the guest reads it."""
        found: list[bytes] = []

        async def deliver(make: Callable[[], bytes]) -> None:
            found.append(make())

        text = json.dumps({"method": "GET", "url": url, **facts}, separators=(",", ":")).encode()
        await self.exchanges.request(function, text, 30.0, deliver)
        reply: dict[str, Any] = json.loads(found[0])
        return reply

    async def aclose(self) -> None:
        await self.connections.aclose()


@asynccontextmanager
async def asking(*arguments: Any, **options: Any) -> AsyncIterator[Asking]:
    """Made inside a loop, closed at the end."""
    made = Asking(*arguments, **options)
    try:
        yield made
    finally:
        await made.aclose()


async def refused(asks: Asking, url: str, function: str = FUNCTION, **facts: Any) -> HoldfastError:
    """The error of a request that has no answer."""
    with pytest.raises(HoldfastError) as error:
        await asks.ask(url, function, **facts)
    return error.value
