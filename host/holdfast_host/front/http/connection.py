"""One client's connection: the HTTP library's, with a way past it for calls that are recognised as they come.

Between two requests, what comes is either a call that `front.known.direct` recognises as a whole, or the library's.
While such a call is under way, until its answer is written and the client takes it, the connection is *engaged*: what
else comes is held, and is looked at in its turn. So requests are answered in order, whichever way they go.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import HttpVersion11

from holdfast_host.core.errors import BadRequestError, HoldfastError, InternalError
from holdfast_host.core.limits import KIB
from holdfast_host.front.http.answers import DRAINED_BYTES, compose_head
from holdfast_host.front.http.errors import answer_of
from holdfast_host.front.known.boundary import Boundary, is_plain
from holdfast_host.front.known.library import LibraryConnection, is_known

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.http import RawRequestMessage

    from holdfast_host.front.http.server import Exchange, HttpServer
    from holdfast_host.front.known.direct import DirectCall, DirectCalls, DirectRequest

_log = logging.getLogger(__name__)

HELD_BYTES_MAX: Final = 64 * KIB  # behind a call under way; with more, no more is read
PIECE_BYTES: Final = 64  # what holding a piece takes beside its bytes
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
        self._direct = server.direct if is_known() else None
        self._boundary = Boundary()
        self._call: DirectCall | None = None  # under way, unanswered
        self._untaken = False  # its answer is written, and fills what the client has no room for
        self._held: list[bytes] = []  # as it came: of one piece, the parser drops what is good beside what is not
        self._held_bytes = 0
        self.serving: Exchange | None = None  # by the library
        self.half_closed = False  # the client sends no more
        self._parting: asyncio.TimerHandle | None = None
        self._looks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open; the library forgets its transport when it closes it, before all is sent."""
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed; nobody waits for a call under way."""
        super().connection_lost(exc)
        self._held.clear()
        if self._parting is not None:
            self._parting.cancel()
        call, self._call = self._call, None
        if call is not None:
            self._server.end(self)
            call.abandon()

    def abort(self) -> None:
        """Close it now, whatever is still to be sent."""
        self._wire.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came; where the next request is still waited for after it, it is a part of a head."""
        if self.engaged:
            self._hold(data)
            return
        direct = self._direct
        if direct is not None and self._boundary.reached and self.waits:
            request = direct.recognise(data)
            if request is not None:
                self._begin(direct, request)
                return
        if direct is not None:
            self._boundary.feed(data)
        super().data_received(data)
        if self.waits:
            self._server.head_begins(self)

    def eof_received(self) -> bool:  # type: ignore[override] # the library says None, as it always hangs up
        """The client sends no more: it still gets the answers to what has come as a whole, and then the end.

        One that is gone altogether looks the same, until something is sent to it.
        """
        if not is_known() or not self._owes_answers():
            return False
        self.half_closed = True
        self._parting = asyncio.get_running_loop().call_later(PARTING_S, self._look_after)
        return True

    @property
    def ends_with_answer(self) -> bool:
        """Whether nothing is left for the client to get after the answer that is about to be sent."""
        return self.half_closed and not any(each.is_eof() for each in self.queued_bodies)

    def resume_writing(self) -> None:
        """The client has taken most of what was written."""
        super().resume_writing()
        if self._untaken:
            self._untaken = False
            self._disengage()

    def parsed(self, message: RawRequestMessage) -> None:
        """The library begins to serve a request."""
        if self._direct is not None:
            self._boundary.parsed(message)

    @property
    def head_is_new(self) -> bool:
        """Whether the head of the request that the library serves could be known the next time, and is not yet."""
        found = self._boundary.known_as
        return self._direct is not None and found is not None and not self._direct.knows(found[0])

    def learn(self, message: RawRequestMessage, flags: int) -> None:
        """That head has passed all checks, for a call with these flags."""
        if self._direct is not None and self._boundary.known_as is not None and is_plain(message):
            self._direct.learn(*self._boundary.known_as, flags)

    def answer(self, status: int, body: bytes, content_type: str, further: bytes = b"") -> None:
        """Send the answer to the call under way, and close if the front began to stop meanwhile."""
        self._call = None
        self._server.end(self)
        try:
            self._write(status, body, content_type, further)
        except Exception:  # of this connection alone: the link goes on with the others' answers
            _log.exception("an answer could not be sent")
            self.force_close()

    def refuse(self, error: Exception) -> None:
        """The same with an error, which is counted."""
        answer = self._server.refuse(error)
        self.answer(answer.status, answer.payload, answer.type_line, answer.further)

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

    def _begin(self, direct: DirectCalls, request: DirectRequest) -> None:
        self.engaged = True
        self.count_head()
        self._server.begin(self)
        try:
            self._call = direct.begin(request, self)
        except Exception as error:  # the last door before the caller, as HttpServer's own
            self.refuse(error)

    def _write(self, status: int, body: bytes, content_type: str, further: bytes) -> None:
        server, transport = self._server, self.transport
        if transport is None or transport.is_closing():
            return  # the client is gone, and `connection_lost` comes
        closing = server.draining or (self.half_closed and not self._held)
        line = CLOSE_LINE if closing else b""
        head = compose_head(status, content_type, len(body), server.dates.now(), line, further)
        transport.write(head + body)
        if transport.get_write_buffer_size() > DRAINED_BYTES:
            server.unread.watch(transport, len(head) + len(body))
            self._untaken = self.writing_paused
        if closing:
            self.force_close()
        elif not self._untaken:
            self._disengage()

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data) + PIECE_BYTES
        if self._held_bytes > HELD_BYTES_MAX:
            self._wire.pause_reading()

    def _disengage(self) -> None:
        """Be ready for the next request; what was held is looked at once the link has done its work."""
        self.renew_keep_alive()
        if self.half_closed and not self._held:
            self.force_close()
        elif self._held:
            asyncio.get_running_loop().call_soon(self._look_at_held)
        else:
            self.engaged = False

    def _look_at_held(self) -> None:
        self.engaged = False
        if not self._wire.is_closing() and not self.half_closed:
            self._wire.resume_reading()
        while self._held and not self.engaged and not self._wire.is_closing():
            piece = self._held.pop(0)
            self._held_bytes -= len(piece) + PIECE_BYTES
            self.data_received(piece)
        if not self._wire.is_closing() and self.half_closed and not self._owes_answers():
            self.force_close()

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
        if serving is not None and serving.lines_open:
            return EMPTY_LINE
        return CONTINUE if self.engaged or (serving is not None and serving.version == HttpVersion11) else b""
