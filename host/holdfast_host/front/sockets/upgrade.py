"""Requests that want to become sockets: what they ask for, and the head that says that they have become one.

A WebSocket's request is RFC 6455's section 4.2; one for an event stream says so in its Accept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import HttpVersion11

from holdfast_host.core.errors import BadRequestError, ForbiddenError
from holdfast_host.core.origins import OriginError, read_origin
from holdfast_host.front.http.errors import RouteError
from holdfast_host.front.http.origin_checks import is_same_host
from holdfast_host.front.sockets.event_stream import pack_retry

if TYPE_CHECKING:
    from holdfast_host.front.http.server import Exchange

EVENT_STREAM: Final = "text/event-stream"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
_VERSION: Final = "13"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = ("content-type", "cache-control", "x-accel-buffering")


class Wanted(NamedTuple):
    """What a request asks for."""

    events: bool  # an event stream, else a WebSocket
    key: bytes = b""
    protocols: tuple[str, ...] = ()

    def head(self, protocol: str, headers: Iterable[tuple[str, str]], date_line: bytes) -> bytes:
        """The head that ends the handshake, and what comes at once behind it.

        Args:
            protocol: the one that the instance chose; it is said only if the client offered it.
            headers: what function and instance add.
            date_line: a whole Date header.
        """
        own = [(name, value) for name, value in headers if not self._says(name)]
        lines = [f"{name}: {value}\r\n".encode() for name, value in own]
        if self.events:
            return b"".join((_STREAM, *lines, date_line, b"\r\n", pack_retry()))
        accept = base64.b64encode(hashlib.sha1(self.key + _GUID, usedforsecurity=False).digest())
        chosen = b"Sec-WebSocket-Protocol: %b\r\n" % protocol.encode() if protocol in self.protocols else b""
        return b"".join((_UPGRADE, b"Sec-WebSocket-Accept: ", accept, b"\r\n", chosen, *lines, date_line, b"\r\n"))

    def _says(self, name: str) -> bool:
        """Whether the head has such a line of its own."""
        low = name.lower()
        return low in {"server", "date"} or (low in _OURS if self.events else low.startswith("sec-websocket-"))


_UPGRADE: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nServer: holdfast\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
)
# Its end is that of the connection. The last line keeps proxies from gathering events before they pass them on.
_STREAM: Final = (
    b"HTTP/1.1 200 OK\r\nServer: holdfast\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\nX-Accel-Buffering: no\r\n"
)


def read_wanted(exchange: Exchange) -> Wanted | None:
    """What the request asks for; None where it wants no socket.

    Raises:
        BadRequestError: a WebSocket's handshake that breaks its rules.
        RouteError: 426, one of another version.
    """
    if exchange.wants_socket:
        return _read_upgrade(exchange)
    if exchange.method == "GET" and EVENT_STREAM in exchange.headers.get("Accept", "").lower():
        return Wanted(events=True)
    return None


def check_origin(exchange: Exchange, origins: tuple[str, ...]) -> None:
    """Return when no page of a foreign origin is behind a WebSocket's request: browsers leave that to the server.

    Raises:
        ForbiddenError: there is one, and `origins` does not name it.
    """
    origin = exchange.headers.get("Origin")
    if origin is None or is_same_host(origin, exchange.asked_host or ""):
        return
    try:
        allowed = read_origin(origin) in origins
    except OriginError:
        allowed = False
    if not allowed:
        raise ForbiddenError(
            f"a page of the origin {origin[:100]} asks for a WebSocket: list it in [sockets] origins of the function's "
            "holdfast.toml if it may"
        )


def _read_upgrade(exchange: Exchange) -> Wanted:
    headers = exchange.headers
    if exchange.method != "GET" or exchange.version != HttpVersion11:
        raise BadRequestError("a WebSocket is asked for with GET and HTTP/1.1")
    version = headers.get("Sec-WebSocket-Version", "")
    if version.strip() != _VERSION:
        raise RouteError(
            BadRequestError(f"this host speaks version {_VERSION} of the WebSocket protocol", status=426),
            b"Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        )
    keys = headers.getall("Sec-WebSocket-Key", [])
    key = keys[0].strip() if len(keys) == 1 else ""
    try:
        is_key = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise BadRequestError("Sec-WebSocket-Key must be there once, and be 16 bytes in base64")
    offered = [each.strip() for value in headers.getall("Sec-WebSocket-Protocol", []) for each in value.split(",")]
    if not all(_TOKEN.fullmatch(each) for each in offered):
        raise BadRequestError("Sec-WebSocket-Protocol must be names, with commas between them")
    return Wanted(events=False, key=key.encode(), protocols=tuple(offered))
