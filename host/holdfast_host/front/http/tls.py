"""Connections over TLS: from the accepting of one until HTTP is spoken on it.

The event loop's own servers show nobody the connections that are still in their handshake; clients that open one and
say nothing would take descriptors that nobody counts. So each is accepted here, and counted among those that may be
closed for room.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from typing import TYPE_CHECKING, Final, cast

from holdfast_host.core.limits import KIB
from holdfast_host.front.http.connection_limits import HEAD_S

if TYPE_CHECKING:
    from holdfast_host.front.http.connection import Connection
    from holdfast_host.front.http.server import HttpServer

_log = logging.getLogger(__name__)

_ACCEPTED_AT_ONCE: Final = 128
GOODBYE_S: Final = 1.0
_TAKEN_S: Final = 30.0  # for the end of an answer, after which the connection closes
_PAUSE_S: Final = 1.0  # where the process can open no more


class CountedTls(SSLProtocol):
    """TLS of the standard library, on a connection of the event loop's; for its loop.

    The event loop's own counts as taken what it has handed to the connection below, which nothing here could see: an
    answer that nobody takes would be neither counted nor cut.
    """

    max_size = 16 * KIB  # a record; the buffer of each connection has this size
    _closing_since: float | None = None

    def _check_shutdown_timeout(self) -> None:
        """Wait no longer for a client's goodbye once nothing is left for it to take.

        The standard library would keep each connection for half a minute, whose client says nothing more.
        """
        loop = asyncio.get_running_loop()
        if self._closing_since is None:
            self._closing_since = loop.time() - GOODBYE_S
        if self._get_write_buffer_size() and loop.time() - self._closing_since < _TAKEN_S:
            loop.call_later(GOODBYE_S, self._check_shutdown_timeout)
        else:
            super()._check_shutdown_timeout()  # type: ignore[misc] # its stub leaves it out

    def _get_write_buffer_size(self) -> int:
        above: int = super()._get_write_buffer_size()  # type: ignore[misc] # its stub leaves it out
        below = cast("asyncio.WriteTransport | None", self._transport)
        return above if below is None else above + below.get_write_buffer_size()


class TlsListener:
    """A listening socket whose clients speak TLS, with the context that its server has then. For its loop."""

    def __init__(self, listening: socket.socket, server: HttpServer) -> None:
        self._listening = listening
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more; a second time it does nothing."""
        if self._listening.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                raw, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # another front was faster, or the client is gone
            except OSError as error:
                _log.error("no connection can be accepted: %s", error.strerror)
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(_PAUSE_S, self._loop.add_reader, self._listening, self._accept)
                return
            raw.setblocking(False)
            assert self._server.context is not None  # noqa: S101 it may be replaced, never taken away
            Handshake(raw, self._server, self._server.context)


class Handshake:
    """One connection until TLS is agreed on. Ends with that, with a failure, or when it takes too long."""

    heads = 0  # none has come: it waits, and may be closed for room

    def __init__(self, raw: socket.socket, server: HttpServer, context: ssl.SSLContext) -> None:
        self._raw = raw
        self._server = server
        self._ended = False
        server.handshake_begins(self)
        self._shaking = asyncio.get_running_loop().create_task(self._shake(context))
        self._shaking.add_done_callback(self._is_over)

    def end(self) -> None:
        """It is an ordinary connection from now on."""
        if not self._ended:
            self._ended = True
            self._server.handshake_ends(self)

    def force_close(self) -> None:
        """Close it: nothing was promised."""
        self.abort()

    def abort(self) -> None:
        """Close it now."""
        if not self._ended:
            self._shaking.cancel()

    async def _shake(self, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        agreed: asyncio.Future[None] = loop.create_future()
        tls = CountedTls(
            loop,
            self._new_connection(),
            context,
            agreed,
            server_side=True,
            ssl_handshake_timeout=int(HEAD_S),
            ssl_shutdown_timeout=GOODBYE_S,
        )
        below, _ = await loop.connect_accepted_socket(lambda: tls, self._raw)
        try:
            await agreed
        except BaseException:
            below.abort()
            raise

    def _new_connection(self) -> Connection:
        connection = self._server()
        connection.handshake = self
        return connection

    def _is_over(self, shaking: asyncio.Task[None]) -> None:
        if shaking.cancelled() or (failure := shaking.exception()) is not None:
            self._raw.close()
            if not shaking.cancelled() and not isinstance(failure, OSError):  # of which TLS's own are: the client's
                _log.error("a connection could not be served", exc_info=failure)
        self.end()
