"""Whole responses, written in one piece from prebuilt heads.

An Answer takes the place of the HTTP library's response object: no header map, no serialisation, one write. It never
names this software's version. Streams of lines (a deploy's stages) are `LineStream`.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientConnectionResetError, HttpVersion10, web
from aiohttp.abc import AbstractStreamWriter

from holdfast_host.front.http.request_ids import FAILED

if TYPE_CHECKING:
    from holdfast_host.front.http.server import Exchange

JSON: Final = "application/json"
TYPED_JSON: Final = "application/vnd.holdfast+json"
TEXT: Final = "text/plain; charset=utf-8"
LINES: Final = "application/x-ndjson"
RETRY_AFTER_S: Final = 1
DRAINED_BYTES: Final = 1 << 16  # more than that is taken before the connection's next request is served

_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_PHRASES_OF_HUNDREDS: Final = {2: "Success", 3: "Redirection", 4: "Refused", 5: "Failed"}
_RETRY: Final = f"Retry-After: {RETRY_AFTER_S}\r\n"
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection
_RETRIED: Final = frozenset({429, 503})


def status_line(status: int) -> bytes:
    """The first line of a head; a status without a phrase of its own has that of its hundred."""
    return f"HTTP/1.1 {status} {_PHRASES.get(status) or _PHRASES_OF_HUNDREDS[status // 100]}\r\n".encode()


def _build_head(status: int, content_type: str) -> bytes:
    """All of a head that does not depend on the request; the length's digits come next."""
    retry = _RETRY if status in _RETRIED else ""
    lines = f"Server: holdfast\r\nContent-Type: {content_type}\r\n{retry}Content-Length: "
    return status_line(status) + lines.encode()


_HEADS: Final = {
    (status, content_type): _build_head(status, content_type)
    for status in _PHRASES
    for content_type in (JSON, TYPED_JSON, TEXT)
}


class DateLine:
    """The Date header's line, made once a second. One per server, for its loop."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def header(self) -> bytes:
        """The line by itself."""
        return self.now()[2:]

    def now(self) -> bytes:
        """The line with its end, to follow the digits of a Content-Length."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"\r\nDate: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


def compose_head(
    status: int, content_type: str, body_bytes: int, date_line: bytes, connection_line: bytes, further: bytes = b""
) -> bytes:
    """A whole head; `date_line` is `DateLine.now()`, the others end with their own line's end or are empty."""
    head = _HEADS.get((status, content_type)) or _build_head(status, content_type)
    return b"".join((head, b"%d" % body_bytes, date_line, connection_line, further, b"\r\n"))


class Answer(web.StreamResponse):
    """A whole response: status, body, content type and further header lines. Used once."""

    def __init__(self, status: int, body: bytes, content_type: str = JSON, further: bytes = b"") -> None:
        # The base's constructor is left out by intent: it builds the header map that this class does without.
        self._status = status
        self.payload = body
        self.type_line = content_type
        self.further = further
        self._keep_alive = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything, when the connection is still there; HEAD gets the head alone."""
        exchange: Exchange = request  # type: ignore[assignment] # our server makes no other
        keep_alive, line = exchange.connection_line()
        self._keep_alive = keep_alive
        head, body = self.compose(exchange, line)
        transport = exchange.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client is gone")
        transport.write(head + body)
        if transport.get_write_buffer_size() > DRAINED_BYTES:  # also by many small answers, to one who takes none
            exchange.server.backpressure.watch(transport, len(head) + len(body))
            await exchange.writer.drain()
        return None

    def compose(self, exchange: Exchange, connection_line: bytes) -> tuple[bytes, bytes]:
        """Head and body as they go out."""
        body, date_line, further = self.payload, exchange.dates.now(), self.further
        if self._status >= FAILED:
            line = exchange.server.request_ids.failed(exchange.method, exchange.target, self._status, body)
            exchange.failed_line = line
            further += line
        head = compose_head(self._status, self.type_line, len(body), date_line, connection_line, further)
        return head, b"" if exchange.method == "HEAD" else body

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def cut(exchange: Exchange) -> None:
    """End the connection in a way that no client takes for the end of the body."""
    transport = exchange.transport
    if transport is None:
        return
    if exchange.version == HttpVersion10:  # only a reset says so: there the end of the connection is that of a body
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class ByteStream:
    """Bytes as they come, over a chunked response."""

    def __init__(self, exchange: Exchange, content_type: str) -> None:
        self._exchange = exchange
        self.response = web.StreamResponse(
            headers={"Content-Type": content_type, "Server": "holdfast", "Cache-Control": "no-store"}
        )

    async def open(self) -> None:
        """Send the head."""
        keep_alive, _ = self._exchange.connection_line()
        if not keep_alive:
            self.response.force_close()
        for name, value in self._exchange.sharing:
            self.response.headers.add(name, value)
        self._mark(is_open=True)
        await self.response.prepare(self._exchange)

    async def send(self, data: bytes) -> None:
        """Send some; returns when the client has taken enough of it."""
        transport = self._exchange.transport
        if transport is not None:
            self._exchange.server.backpressure.watch(transport, len(data))
        await self.response.write(data)

    async def aclose(self) -> None:
        """Send the end; the connection closes with it if the front began to stop meanwhile."""
        if not self._exchange.connection_line()[0]:
            self.response.force_close()
        await self.response.write_eof()
        self._mark(is_open=False)

    def _mark(self, *, is_open: bool) -> None:
        """Whether something may come between what is sent."""
        self._exchange.body_open = is_open


class LineStream(ByteStream):
    """JSON lines as they happen; for clients that asked for them."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange, LINES)

    def _mark(self, *, is_open: bool) -> None:
        """An empty line may."""
        self._exchange.lines_open = is_open

    async def write(self, facts: dict[str, Any]) -> None:
        """Send one line."""
        await self.send(json.dumps(facts, separators=(",", ":")).encode() + b"\n")


def json_answer(value: Any, status: int = 200, further: bytes = b"") -> Answer:
    """A value as compact JSON."""
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), JSON, further)


def allow_line(methods: tuple[str, ...]) -> bytes:
    """The Allow header's line for a route's methods; HEAD goes with GET, OPTIONS with all."""
    allowed = [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
    return f"Allow: {', '.join(allowed)}\r\n".encode()
