"""One client's connection: the HTTP library's, with our words for its errors, and answers for clients that half-close.

A client that sends no more still gets the answers to what has come as a whole; whether it listens is found out by
sending what means nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import HttpVersion11

from holdfast_host.core.errors import BadRequestError, HoldfastError, InternalError
from holdfast_host.core.tenants import DEFAULT_TENANT
from holdfast_host.front.http.aiohttp_internals import LibraryConnection, is_known
from holdfast_host.front.http.errors import answer_of

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.http import RawRequestMessage

    from holdfast_host.front.http.server import Exchange, HttpServer
    from holdfast_host.front.http.tls import Handshake

_log = logging.getLogger(__name__)

PARTING_S: Final = 0.25  # from one look after a client that sends no more to the next; most answers take less
LOOKS_PER_PROBE: Final = 40  # ten seconds: some clients take but a few of what means nothing
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
EMPTY_LINE: Final = b"1\r\n\n\r\n"  # of a stream of lines
_TCP_CLOSE: Final = 7  # the state of a connection that the other side has reset
CLOSE_LINE: Final = b"Connection: close\r\n"


def is_gone(transport: asyncio.Transport) -> bool:
    """Whether the other side has reset the connection, which a transport that reads no more does not notice."""
    connection = transport.get_extra_info("socket")
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE)


class Connection(LibraryConnection):
    """One of an HttpServer's; words the errors that never reach a handler."""

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self.serving: Exchange | None = None  # by the library
        self.handshake: Handshake | None = None  # that it comes of, where TLS is spoken
        self.half_closed = False  # the client sends no more
        self._parting: asyncio.TimerHandle | None = None
        self._looks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open; the library forgets its transport when it closes it, before all is sent."""
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed."""
        super().connection_lost(exc)
        if self._parting is not None:
            self._parting.cancel()

    def force_close(self) -> None:
        """Close it when what was written is sent.

        Over TLS that waits for what the client says to it, as long as half a minute; to one that has asked for nothing,
        nothing was written.
        """
        super().force_close()
        if self.handshake is not None and not self.heads:
            self.abort()

    def abort(self) -> None:
        """Close it now, whatever is still to be sent."""
        self._wire.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came; where the next request is still waited for after it, it is a part of a head."""
        super().data_received(data)
        if self.waits:
            self._server.head_begins(self)

    def eof_received(self) -> bool:  # type: ignore[override] # the library says None, as it always hangs up
        """The client sends no more: it still gets the answers to what has come as a whole, and then the end.

        One that is gone altogether looks the same, until something is sent to it. Where a body in pieces is under way
        that may be a long time, and nothing can be sent to find out: there it counts as gone. So it does over TLS,
        where whoever says that he sends no more takes no more either.
        """
        streaming = self.serving is not None and self.serving.body_open
        if streaming or self.handshake is not None or not is_known() or not self._owes_answers():
            return False
        self.half_closed = True
        self._parting = asyncio.get_running_loop().call_later(PARTING_S, self._look_after)
        return True

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Give the connection to another protocol for good, while its last request is served.

        The library is told that its client is gone, which ends the task that serves the request.

        Returns:
            What the client sent behind that request's head.
        """
        wire, early = self._wire, self.take_tail()
        self.transport = None  # or it would be closed
        wire.set_protocol(protocol)
        wire.resume_reading()
        self.connection_lost(None)
        return early

    @property
    def ends_with_answer(self) -> bool:
        """Whether nothing is left for the client to get after the answer that is about to be sent."""
        return self.half_closed and not any(each.is_eof() for each in self.queued_bodies)

    def parsed(self, message: RawRequestMessage) -> None:
        """The library begins to serve a request."""

    def learn(
        self,
        message: RawRequestMessage,
        flags_of: Callable[[], int],
        types: frozenset[bytes] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """The head of the request that the library serves has passed all checks, for a call with these flags.

        `types` are those that may be called with it, None for all; `tenant` is whose they are.
        """

    def learn_function(self, message: RawRequestMessage, learn: Callable[[bytes, int], None]) -> None:
        """The same for a request that is a function's.

        `learn` is told the lines of its head after the first, and how many bytes of body they announce, where that can
        be known.
        """

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A request that is not HTTP, or a bug: a JSON error, then the connection closes."""
        error: HoldfastError
        if status == 500:
            _log.error("the HTTP server failed", exc_info=exc)
            error = InternalError("the host failed to handle this request: its log says why")
        else:
            reason = (message or "").strip().partition("\n")[0][:200]
            error = BadRequestError(f"the request is not HTTP as this host reads it: {reason}")
        answer = answer_of(error)
        self.keep_alive(False)
        self.close()
        return answer

    def _owes_answers(self) -> bool:
        """Whether a request is here as a whole that is unanswered; the last one may be cut short, and never be."""
        if self.engaged:
            return True
        bodies = [self.serving.content] if self.serving is not None else self.queued_bodies
        return bool(bodies) and bodies[0].is_eof()

    def _look_after(self) -> None:
        """Find out whether a client that sends no more still listens: one that is gone resets what is sent to it."""
        if self._wire.is_closing():
            return
        if self._looks and is_gone(self._wire):
            self.abort()
            return
        probe = self._probe() if self._looks % LOOKS_PER_PROBE == 0 else b""
        if probe:
            self._wire.write(probe)
        self._looks += 1
        self._parting = asyncio.get_running_loop().call_later(PARTING_S, self._look_after)

    def _probe(self) -> bytes:
        """What may be sent before the answer, and means nothing; empty where there is nothing of that kind."""
        serving = self.serving
        if serving is not None and serving.body_open:
            return b""
        if serving is not None and serving.lines_open:
            return EMPTY_LINE
        return CONTINUE if self.engaged or (serving is not None and serving.version == HttpVersion11) else b""
