"""A connection that says of each request what became of it: one JSON object a line.

The way past the parser (front.known) knows neither token nor user agent of a request, so a front that writes this log
goes without it. Secrets stay out: of a query only the names of its parameters are written, of a token its id.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import hdrs, web

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.tokens import without_secrets
from holdfast_host.front.http.answers import Answer
from holdfast_host.front.http.connection import Connection
from holdfast_host.front.http.paths import split_target
from holdfast_host.front.http.request_ids import HEADER

if TYPE_CHECKING:
    from aiohttp.http import RawRequestMessage

    from holdfast_host.front.access_log.file import AccessFile
    from holdfast_host.front.http.server import Exchange, HttpServer

_TARGET_CHARS_MAX: Final = 500
_WORD_CHARS_MAX: Final = 200
_VALUE: Final = re.compile(r"=[^&]*|(?<![^&])[^=&]+(?![^&])")  # or a parameter that is nothing else
_SWITCHING: Final = 101
_OK: Final = 200


class LoggedConnection(Connection):
    """One of a front that writes the log."""

    def __init__(self, file: AccessFile, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._file = file
        self._begun: tuple[Exchange, float] | None = None  # that is served and not written yet, since when
        self._is_handed_over = False
        self._is_closed = False

    def parsed(self, message: RawRequestMessage) -> None:
        """The library begins to serve a request."""
        if self.serving is not None:
            self._begun = self.serving, asyncio.get_running_loop().time()

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """The library has sent an answer, or found that its client is gone."""
        exchange = cast("Exchange", request)  # our server makes no other
        if not self._is_closed:  # else its line is written
            self._write(exchange, response.status, _body_bytes(exchange, response))

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed, or another protocol's."""
        self._is_closed = True
        if self._begun is not None:
            exchange, _ = self._begun
            if self._is_handed_over:
                self._write(exchange, _SWITCHING if exchange.wants_socket else _OK, 0)
            else:
                self._write(exchange, None, 0)
        super().connection_lost(exc)

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Give the connection to another protocol for good: the request has become a socket."""
        self._is_handed_over = True
        return super().hand_over(protocol)

    def _write(self, exchange: Exchange, status: int | None, sent: int) -> None:
        begun, self._begun = self._begun, None
        now = asyncio.get_running_loop().time()
        line = describe(exchange, status, sent, 0.0 if begun is None else now - begun[1])
        self._file.write(line)


def describe(exchange: Exchange, status: int | None, sent: int, took_s: float) -> bytes:
    """The line of one request; a status of None is that of a client that went before its answer."""
    failed = exchange.failed_line.decode().strip()
    facts = {
        "time": round(time.time(), 3),
        "client": _client(exchange),
        "method": exchange.method[:_WORD_CHARS_MAX],
        "target": shown_target(exchange.target),
        "status": status,
        "bytes": sent,
        "ms": round(took_s * 1e3, 3),
        "request": failed.removeprefix(f"{HEADER}: ") or None,
        "agent": exchange.headers.get(hdrs.USER_AGENT, "")[:_WORD_CHARS_MAX] or None,
        "token": exchange.caller.id,
    }
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


def shown_target(target: str) -> str:
    """A request's path and the names of its parameters; values, fragments, tokens and credentials are left out."""
    path, query = split_target(target)
    hidden = f"?{_VALUE.sub(_hide, query)}" if query else ""
    return without_secrets(path + hidden)[:_TARGET_CHARS_MAX]


def _hide(found: re.Match[str]) -> str:
    return "=*" if found[0].startswith("=") else "*"


def _client(exchange: Exchange) -> str:
    try:
        return exchange.came_by.client
    except BadRequestError:  # which it was answered
        return exchange.remote or ""


def _body_bytes(exchange: Exchange, response: web.StreamResponse) -> int:
    """Of the answer's body; one in pieces is counted as it was sent, its head and the pieces' lengths included."""
    if isinstance(response, Answer):
        return 0 if exchange.method == "HEAD" else len(response.payload)
    return int(getattr(exchange.writer, "output_size", 0))
