"""The HTTP library's low-level server, with our requests, our error answers, and a drain that loses no answer.

The library's application layer (router, middlewares, signals) is left out: `front.app` dispatches on the raw target,
which is faster and the only way to names like `..` and `a/b`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD

from holdfast_host.core.errors import ForbiddenError, HoldfastError, UnauthorizedError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tenants import DEFAULT_TENANT
from holdfast_host.front.access.callers import NOBODY, Caller
from holdfast_host.front.http.answers import Answer, DateLine, cut
from holdfast_host.front.http.client_timeouts import ClientTimeouts
from holdfast_host.front.http.connection import CLOSE_LINE, Connection
from holdfast_host.front.http.connection_limits import CONNECTIONS_MAX, Closable, ConnectionLimits
from holdfast_host.front.http.errors import RouteError, answer_of
from holdfast_host.front.http.proxies import CameBy, TrustedProxies
from holdfast_host.front.http.request_ids import RequestIds
from holdfast_host.front.http.write_backpressure import DRAIN_S, WriteBackpressure

if TYPE_CHECKING:
    from holdfast_host.front.http.tls import Handshake

KEEP_ALIVE_S: Final = 75.0
LINGER_S: Final = 5.0  # for a client that is still sending when its request was refused

Handler = Callable[["Exchange"], Awaitable[web.StreamResponse]]


class Exchange(web.BaseRequest):
    """One request, with what an Answer needs. Lives as long as its handler."""

    target: str  # as it came, not normalised, not decoded
    dates: DateLine
    server: HttpServer
    caller: Caller = NOBODY  # once it is let in
    tenant: str = DEFAULT_TENANT  # whose names it means
    whole_host = True  # it may see what is of no tenant: its token is the host's, and it names no tenant
    # For the audit log: what a change has made, and its status and body, where it goes on without its client.
    details: JsonObject | None = None
    later: asyncio.Future[tuple[int, JsonObject]] | None = None
    lines_open = False  # a stream of lines has begun as its answer
    body_open = False  # a body in pieces has: nothing may come between
    failed_line = b""  # the header with its id, once it is answered with an error
    sharing: tuple[tuple[str, str], ...] = ()  # headers of any answer, which say what page may read it
    _came_by: CameBy | None = None

    @property
    def half_closed(self) -> bool:
        """Whether its client sends no more: it waits for the answer, or is gone."""
        connection: Connection = self.protocol  # type: ignore[assignment] # our server makes no other
        return connection.half_closed

    @property
    def message(self) -> RawRequestMessage:
        """What the parser made of its head."""
        return self._message

    @property
    def media_type(self) -> str:
        """What its Content-Type says, without parameters. The library's own way there takes seconds for some."""
        return self.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()

    @property
    def came_by(self) -> CameBy:
        """The address of its client, and the scheme and host that it used, as far as proxies in between may say so.

        Raises:
            BadRequestError: they say what cannot be.
        """
        if self._came_by is None:
            self._came_by = self.server.proxies.look(self.remote, self.headers, self.server.scheme)
        return self._came_by

    @property
    def forwarded_host(self) -> str:
        """The host that its client asked a proxy of ours for; empty where none says so. Raises as `came_by`."""
        return self.came_by.host if self.server.proxies else ""

    @property
    def asked_host(self) -> str | None:
        """The host that its client asked for: as a proxy of ours says, else as its own header does."""
        return self.forwarded_host or self.headers.get("Host")

    @property
    def wants_socket(self) -> bool:
        """Whether it asks for a WebSocket."""
        return self._message.upgrade and self.headers.get("Upgrade", "").strip().lower() == "websocket"

    def connection_line(self) -> tuple[bool, bytes]:
        """Whether the connection stays open after this answer, and the header lines that it has for its request."""
        stays, line = self._stays()
        if self.sharing:
            line += "".join(f"{name}: {value}\r\n" for name, value in self.sharing).encode("utf-8", "surrogateescape")
        return stays, line

    def _stays(self) -> tuple[bool, bytes]:
        connection: Connection = self.protocol  # type: ignore[assignment] # our server makes no other
        if self.server.draining or not self.keep_alive or connection.ends_with_answer:
            return False, CLOSE_LINE
        return True, b"Connection: keep-alive\r\n" if self.version == HttpVersion10 else b""

    def learn(self, flags_of: Callable[[Mapping[str, str]], int]) -> None:
        """All checks of its head have passed: they would for the same head again, for a call with the same flags."""
        if self.sharing or self.server.proxies.tell_host(self.headers):
            return  # its answer has more headers; what passes from a proxy might not from a stranger
        connection: Connection = self.protocol  # type: ignore[assignment] # our server makes no other
        connection.learn(self._message, lambda: flags_of(self.headers), self.caller.types_in_paths, self.tenant)

    def learn_function(self, learn: Callable[[bytes, int], None]) -> None:
        """The same for a request that is a function's; `learn` as for Connection."""
        if not self.server.proxies.tell_host(self.headers):
            connection: Connection = self.protocol  # type: ignore[assignment] # our server makes no other
            connection.learn_function(self._message, learn)

    def expect_body(self) -> None:
        """Tell a client that waits for it to send its body (`Expect: 100-continue`)."""
        if (
            self.version == HttpVersion11
            and self.headers.get("Expect", "").lower() == "100-continue"
            and self.transport is not None
            and not self.content.is_eof()
        ):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class HttpServer(web.Server):
    """All connections of one listening socket. Belongs to its event loop."""

    def __init__(
        self,
        handle: Handler,
        timeouts: ClientTimeouts | None = None,
        connections: ConnectionLimits | None = None,
        proxies: TrustedProxies | None = None,
        new_connection: Callable[..., Connection] = Connection,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """With a `context` it speaks TLS; that and `proxies` may be replaced while it serves."""
        self._options: dict[str, Any] = {
            "keepalive_timeout": KEEP_ALIVE_S,
            "lingering_time": LINGER_S,
            "access_log": None,
            "auto_decompress": False,  # it would inflate before a request is let in; `content_encoding` does after
        }
        super().__init__(self._serve, request_factory=self._new_exchange, handler_cancellation=True)  # type: ignore[arg-type]
        self.draining = False
        self._handle = handle
        self._new_connection = new_connection
        self.context = context
        self.dates = DateLine()
        self.request_ids = RequestIds()
        self._running = asyncio.get_running_loop()
        self.timeouts = timeouts or ClientTimeouts()
        self.proxies = proxies or TrustedProxies()
        self.backpressure = WriteBackpressure()
        self._kept = connections or ConnectionLimits(CONNECTIONS_MAX)
        self._busy = self._kept.busy
        self._refused: dict[str, int] = {}  # by the error's name: ours, or that of a bug
        self.on_forbidden: Callable[[Exchange, HoldfastError], None] = lambda exchange, error: None  # for its token
        self._empty = asyncio.Event()

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return self._new_connection(self, loop=self._running, **self._options)

    @property
    def scheme(self) -> str:
        """That of its clients' URLs."""
        return "http" if self.context is None else "https"

    @property
    def open_requests(self) -> int:
        """Requests whose handlers run."""
        return len(self._busy)

    def measures(self) -> dict[str, Any]:
        """What is counted of its connections and requests."""
        return {
            "requests": self.requests_count,
            "refused": self._refused,
            "open_requests": len(self._busy),
            "connections": len(self._kept.live),
            "closed_for_room": self._kept.closed_for_room,
            "coming_bytes": self.timeouts.coming_bytes,
            "cut_unread": self.backpressure.cut,
            "unread_bytes": self.backpressure.unread_bytes,
        }

    async def drain(self) -> None:
        """Close idle connections at once, the others with their answer; returns when the last answer has left."""
        self.draining = True
        self.timeouts.end()
        self.backpressure.end()
        closing = self._kept.live.keys() - self._busy
        for connection in closing:
            connection.force_close()
        while self._kept.live:
            self._empty.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._empty.wait()
            left = self._kept.live.keys() - self._busy
            for connection in left & closing:  # they had that time to take what was left for them
                connection.abort()
            closing = left

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count it in; one that was accepted as the drain began is closed."""
        super().connection_made(handler, transport)
        connection = cast("Connection", handler)
        if connection.handshake is not None:
            connection.handshake.end()
        self._kept.add(connection)
        if self.draining:
            self._running.call_soon(handler.force_close)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Count it out: everything that it was to get has left."""
        super().connection_lost(handler, exc)
        self._discard(cast("Connection", handler))

    def handshake_begins(self, handshake: Handshake) -> None:
        """Count a connection in that is not encrypted yet."""
        self._kept.add(handshake)
        if self.draining:
            self._running.call_soon(handshake.force_close)

    def handshake_ends(self, handshake: Handshake) -> None:
        """It is a connection now, or closed."""
        self._discard(handshake)

    def head_begins(self, connection: Connection) -> None:
        """A part of a head has come."""
        self._kept.expect_head(connection)

    def begin(self, connection: Connection) -> None:
        """A request is served that the library does not know of."""
        self.requests_count += 1
        self._busy.add(connection)

    def end(self, connection: Connection) -> None:
        """Its answer is here, or the client is gone."""
        self._busy.discard(connection)

    def known_exchange(self, message: RawRequestMessage, target: str, connection: Connection) -> Exchange:
        """A request with the head of an earlier one, whose body is somebody else's to read."""
        writer, no_task = StreamWriter(connection, self._running), cast("asyncio.Task[None]", None)
        return self._owned(Exchange(message, EMPTY_PAYLOAD, connection, writer, no_task, self._running), target)

    def refuse(self, error: Exception) -> Answer:
        """The answer for whatever went wrong with a request; it is counted."""
        name = type(error.error if isinstance(error, RouteError) else error).__name__
        self._refused[name] = self._refused.get(name, 0) + 1
        return answer_of(error)

    def _discard(self, connection: Closable) -> None:
        self._kept.discard(connection)
        if not self._kept.live:
            self._empty.set()

    async def _serve(self, exchange: Exchange) -> web.StreamResponse:
        connection = cast("Connection", exchange.protocol)
        self._busy.add(connection)
        connection.parsed(exchange.message)
        try:
            return await self._handle(exchange)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # the last door before the caller
            refusal = self.refuse(error)
            if isinstance(error, UnauthorizedError | ForbiddenError):
                self.on_forbidden(exchange, error)
            if exchange.lines_open or exchange.body_open:  # a second head would be read as a part of what has begun
                cut(exchange)
                raise ConnectionResetError from error
            return refusal
        finally:
            self._busy.discard(connection)
            connection.serving = None

    def _new_exchange(
        self, message: RawRequestMessage, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> Exchange:
        exchange = Exchange(message, payload, protocol, writer, task, self._running)
        protocol.serving = exchange
        return self._owned(exchange, message.path)

    def _owned(self, exchange: Exchange, target: str) -> Exchange:
        exchange.target = target
        exchange.dates = self.dates
        exchange.server = self
        return exchange
