"""A connection with a way past the HTTP library, for calls that are recognised as they come.

Between two requests, what comes is either a call that `front.known.direct` recognises as a whole, or the library's.
While such a call is under way, until its answer is written and the client takes it, the connection is *engaged*: what
else comes is held, and is looked at in its turn. So requests are answered in order, whichever way they go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from aiohttp import web

from holdfast_host.core.limits import KIB
from holdfast_host.core.tenants import DEFAULT_TENANT
from holdfast_host.front.http.answers import DRAINED_BYTES, Answer, compose_head, cut
from holdfast_host.front.http.connection import CLOSE_LINE, Connection
from holdfast_host.front.http.request_ids import FAILED
from holdfast_host.front.known.boundary import Boundary, is_plain

if TYPE_CHECKING:
    from aiohttp.http import RawRequestMessage

    from holdfast_host.front.calls.actor_calls import WholeRequest
    from holdfast_host.front.http.server import Exchange, HttpServer
    from holdfast_host.front.known.direct import DirectCalls

_log = logging.getLogger(__name__)

HELD_BYTES_MAX: Final = 64 * KIB  # behind a call under way; with more, no more is read
CALLS: Final = "/v1/actors/..."  # for the log: what is recognised is not taken apart
PIECE_BYTES: Final = 64  # what holding a piece takes beside its bytes


class UnderWay(Protocol):
    """What is unanswered, and may be given up."""

    def abandon(self) -> None:
        """Nobody waits any more."""


class KnownRequest(Protocol):
    """A request that was recognised, and is no call."""

    @property
    def message(self) -> RawRequestMessage:
        """Of a request with the same head."""

    @property
    def target(self) -> bytes:
        """Its own, which is ASCII."""


_Known = TypeVar("_Known", bound=KnownRequest)


class KnownRequests(Protocol[_Known]):
    """Heads of requests that are no calls: those of functions."""

    def recognise(self, data: bytes) -> _Known | None:
        """The request that these bytes are; None where that is for the parser to say."""

    def begin(self, request: _Known, exchange: Exchange, client: Any) -> UnderWay:
        """Have it answered later, by `finish`, `fail` or `stream` of the client; raises what it is to be answered."""


class Streaming:
    """An answer that a task writes as it comes."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def abandon(self) -> None:
        """The client is gone."""
        self._task.cancel()


class KnowingConnection(Connection):
    """One of a server that knows heads."""

    def __init__(self, direct: DirectCalls, functions: KnownRequests[Any], server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._direct = direct
        self._functions = functions
        self._boundary = Boundary()
        self._call: UnderWay | None = None  # unanswered
        self._untaken = False  # its answer is written, and fills what the client has no room for
        self._held: list[bytes] = []  # as it came: of one piece, the parser drops what is good beside what is not
        self._held_bytes = 0

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed; nobody waits for a call under way."""
        super().connection_lost(exc)
        self._held.clear()
        call, self._call = self._call, None
        if call is not None:
            self._server.end(self)
            call.abandon()

    def data_received(self, data: bytes) -> None:
        """Take what came: hold it, recognise it, or leave it to the library."""
        if self.engaged:
            self._hold(data)
            return
        if self._boundary.reached and self.waits:
            request = self._direct.recognise(data)
            if request is not None:
                self._begin(request)
                return
            asked = self._functions.recognise(data)
            if asked is not None:
                self._begin_other(asked)
                return
        self._boundary.feed(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """The client has taken most of what was written."""
        super().resume_writing()
        if self._untaken:
            self._untaken = False
            self._disengage()

    def parsed(self, message: RawRequestMessage) -> None:
        """The library begins to serve a request."""
        self._boundary.parsed(message)

    def learn(
        self,
        message: RawRequestMessage,
        flags_of: Callable[[], int],
        types: frozenset[bytes] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """Know that head the next time, where it can be known and is not yet."""
        found = self._boundary.known_as
        if found is not None and not self._direct.knows(found[0]) and is_plain(message):
            self._direct.learn(*found, flags_of(), types, tenant)

    def learn_function(self, message: RawRequestMessage, learn: Callable[[bytes, int], None]) -> None:
        """The same for a request that is a function's."""
        found = self._boundary.known_as
        if found is not None and is_plain(message):
            learn(*found)

    @property
    def ends_with_answer(self) -> bool:
        """Whether nothing is left for the client to get after the answer that is about to be sent."""
        return self.half_closed and not self._held if self.engaged else super().ends_with_answer

    def finish(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer to a request under way that is no call."""
        self._call = None
        self._server.end(self)
        transport = self.transport
        if transport is None or transport.is_closing():
            return  # the client is gone, and `connection_lost` comes
        try:
            stays, line = exchange.connection_line()
            head, body = answer.compose(exchange, line)
            self._write(transport, head, body, not stays)
        except Exception:  # as in `answer`
            _log.exception("an answer could not be sent")
            self.force_close()

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """The same with an error, which is counted."""
        self.finish(exchange, self._server.refuse(error))

    def stream(self, exchange: Exchange, run: Callable[[], Awaitable[web.StreamResponse]]) -> None:
        """Have the answer written by `run`, as it comes."""
        self.serving = exchange
        self._call = Streaming(asyncio.get_running_loop().create_task(self._stream(exchange, run)))

    async def _stream(self, exchange: Exchange, run: Callable[[], Awaitable[web.StreamResponse]]) -> None:
        try:
            response = await run()
        except ConnectionError:  # the client is gone
            self.force_close()
            return
        except Exception as error:  # the last door before the caller, as HttpServer's own
            response = self._server.refuse(error)
            if exchange.body_open:
                cut(exchange)
                return
        finally:
            self.serving = None
        if isinstance(response, Answer):
            self.finish(exchange, response)
            return
        self._call = None
        self._server.end(self)
        if not response.keep_alive:
            self.force_close()
        elif not self._wire.is_closing():
            self._disengage()

    def answer(self, status: int, body: bytes, content_type: str, further: bytes = b"") -> None:
        """Send the answer to the call under way, and close if the front began to stop meanwhile."""
        self._call = None
        server, transport = self._server, self.transport
        server.end(self)
        if transport is None or transport.is_closing():
            return  # the client is gone, and `connection_lost` comes
        try:
            closing = server.draining or (self.half_closed and not self._held)
            line = CLOSE_LINE if closing else b""
            if status >= FAILED:
                further += server.request_ids.failed("POST", CALLS, status, body)
            head = compose_head(status, content_type, len(body), server.dates.now(), line, further)
            self._write(transport, head, body, closing)
        except Exception:  # of this connection alone: the link goes on with the others' answers
            _log.exception("an answer could not be sent")
            self.force_close()

    def refuse(self, error: Exception) -> None:
        """The same with an error, which is counted."""
        answer = self._server.refuse(error)
        self.answer(answer.status, answer.payload, answer.type_line, answer.further)

    def _begin(self, request: WholeRequest) -> None:
        self.engaged = True
        self.count_head()
        self._server.begin(self)
        try:
            self._call = self._direct.begin(request, self)
        except Exception as error:  # the last door before the caller, as HttpServer's own
            self.refuse(error)

    def _begin_other(self, asked: KnownRequest) -> None:
        self.engaged = True
        self.count_head()
        self._server.begin(self)
        exchange = self._server.known_exchange(asked.message, asked.target.decode(), self)
        try:
            self._call = self._functions.begin(asked, exchange, self)
        except Exception as error:  # the last door before the caller, as HttpServer's own
            self.fail(exchange, error)

    def _write(self, transport: asyncio.Transport, head: bytes, body: bytes, closing: bool) -> None:
        transport.write(head + body)
        if transport.get_write_buffer_size() > DRAINED_BYTES:
            self._server.backpressure.watch(transport, len(head) + len(body))
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
