"""A function's response whose body comes in pieces, on its way to the client: pulled from the worker as it is taken.

One piece at a time: the next is asked for when the one before has left for the client, or lies in what the connection
may hold. A client that is gone or takes nothing ends the body, and so does a function that fails: then the connection
is cut, so that half of a body never looks like the whole.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from aiohttp import ClientConnectionResetError, web

from holdfast_host.core.errors import HoldfastError
from holdfast_host.front.http.answers import cut
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.calls.function_bodies import pack_pull

if TYPE_CHECKING:
    from aiohttp.http import StreamWriter

    from holdfast_host.front.http.server import Exchange
    from holdfast_host.front.worker_link import WorkerLink

_log = logging.getLogger(__name__)

_OK: Final = 200


class PulledBody:
    """The body of one response, where its sandbox stands. Lives as long as its exchange."""

    def __init__(self, link: WorkerLink, partition: int, function: str, number: int) -> None:
        self._link = link
        self._partition = partition
        self._name = function.encode()
        self._number = number
        self._ended = False

    async def pull(self) -> bytes:
        """The next piece; empty at its end.

        Raises:
            HoldfastError: the function failed, or its worker is gone.
        """
        status, reply = await self._link.call(self._call(closes=False), self._partition)
        if status != _OK:
            raise HoldfastError(f"the body of a response of {self._name.decode()} was cut off: {reply[:300]!r}")
        self._ended = not reply
        return reply

    def close(self) -> None:
        """No more of it is wanted; where it has not ended, its function is told so."""
        if not self._ended:
            self._ended = True
            answer = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda future: future.exception())  # a worker that is gone has nothing to close
            try:
                self._link.send(self._call(closes=True), self._partition, answer)
            except HoldfastError as error:
                _log.warning("a body of the function %s is left to its worker: %s", self._name.decode(), error)

    def _call(self, *, closes: bool) -> Call:
        text = pack_pull(self._number, closes=closes)
        return Call(0, 0, 0, CallKind.BODY, 0, self._name, b"body", b"", text)


async def relay_body(
    exchange: Exchange, status: int, headers: list[tuple[str, str]], body: PulledBody, take_s: float
) -> web.StreamResponse:
    """Answer with this head and the body, piece by piece; returns when the client has all of it, or was cut."""
    response = web.StreamResponse(status=status)
    for name, value in (*headers, *exchange.sharing):
        response.headers.add(name, value)
    response.headers.setdefault("Server", "holdfast")
    if not exchange.connection_line()[0]:
        response.force_close()
    exchange.body_open = True
    try:
        await response.prepare(exchange)
        writer = cast("StreamWriter", exchange.writer)
        while piece := await body.pull():
            await writer.write(piece, drain=False)
            await _let_take(exchange, len(piece), take_s)
    except HoldfastError as error:
        _log.info("%s", error)
        cut(exchange)
        return response  # the library finds its end cannot be written
    except ConnectionError:
        return response  # the client is gone, or was cut
    if not exchange.connection_line()[0]:
        response.force_close()
    await response.write_eof()
    exchange.body_open = False
    return response


async def _let_take(exchange: Exchange, size: int, take_s: float) -> None:
    """Return when the connection takes more; ConnectionError where it was cut, for its client takes nothing."""
    transport = exchange.transport
    if transport is None or not transport.get_write_buffer_size():
        return
    exchange.server.backpressure.watch(transport, size)
    left = transport.get_write_buffer_size()
    while True:
        try:
            async with asyncio.timeout(take_s):
                await exchange.writer.drain()
            return
        except TimeoutError:
            now = transport.get_write_buffer_size()
            if now >= left:
                cut(exchange)
                raise ClientConnectionResetError(f"the client has taken nothing for {take_s:g} s") from None
            left = now
