"""Reading request bodies within a limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from holdfast_host.core.errors import BadRequestError, PayloadTooLargeError
from holdfast_host.front.http.content_encoding import Inflater, coding_of
from holdfast_host.front.http.server import Exchange


async def read_body(exchange: Exchange, bytes_max: int) -> bytes:
    """The whole body, whatever its Content-Type.

    Raises:
        PayloadTooLargeError: as soon as the announced or the received length passes the limit.
    """
    if _is_here(exchange):
        body = exchange.content.read_nowait()
        if len(body) > bytes_max:
            raise too_large(len(body), bytes_max)
        return body
    return b"".join([piece async for piece in read_pieces(exchange, bytes_max)])


async def read_held(exchange: Exchange, bytes_max: int, count: Callable[[int], None]) -> bytes:
    """The same, and `count` is told what is kept as for `read_pieces`: at once, where it is here as a whole."""
    if _is_here(exchange):
        body = exchange.content.read_nowait()
        if len(body) > bytes_max:
            raise too_large(len(body), bytes_max)
        if body:
            count(len(body))
        return body
    return b"".join([piece async for piece in read_pieces(exchange, bytes_max, count)])


def _is_here(exchange: Exchange) -> bool:
    """Whether the body came in one piece, as that of the usual small request does."""
    headers = exchange.headers
    return exchange.content.is_eof() and "Content-Encoding" not in headers and "Transfer-Encoding" not in headers


async def read_pieces(
    exchange: Exchange, bytes_max: int, count: Callable[[int], None] | None = None
) -> AsyncIterator[bytes]:
    """The body as it comes.

    Args:
        exchange: the request, which has been let in.
        bytes_max: of the whole body, as it is without its coding.
        count: told the size of each piece before it is kept; what it raises ends the reading.

    Raises:
        PayloadTooLargeError: as soon as the announced or the received length passes the limit.
        RouteError: 415, a content coding that is unknown, or more than one.
        BadRequestError: 501, a transfer coding besides `chunked`.
    """
    coding = coding_of(exchange.headers)
    inflater = Inflater(coding) if coding else None
    announced = exchange.content_length
    if announced is not None and announced > bytes_max:
        raise too_large(announced, bytes_max)
    if not exchange.content.is_eof():
        exchange.expect_body()
    received = 0
    with exchange.server.timeouts.receive() as coming:
        while came := await coming.next(exchange.content.readany()):
            coming.count(len(came))
            for piece in (came,) if inflater is None else inflater.feed(came):
                received += len(piece)
                if received > bytes_max:
                    raise too_large(received, bytes_max)
                coming.keep(len(piece))
                if count is not None:
                    count(len(piece))
                yield piece
                if inflater is not None:
                    await asyncio.sleep(0)  # others have their turn between two pieces
        if inflater is not None:
            inflater.finish()


async def read_object(exchange: Exchange, bytes_max: int) -> dict[str, Any]:
    """A small JSON object; empty where there is no body."""
    body = await read_body(exchange, bytes_max)
    if not body:
        return {}
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequestError("the body must be a JSON object")
    return value


def too_large(length: int, bytes_max: int) -> PayloadTooLargeError:
    """The refusal, with value and limit."""
    return PayloadTooLargeError(f"a body of at least {length} bytes exceeds the limit of {bytes_max} bytes")
