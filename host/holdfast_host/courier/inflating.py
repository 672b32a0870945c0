"""The body of an answer, piece by piece, inflated where it is gzip: never more of it in memory than its limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

from holdfast_host.core.errors import OutboundUnreachableError
from holdfast_host.core.limits import KIB

_PIECE_BYTES: Final = 256 * KIB  # inflated at once, so that no answer holds up the others
# Gzip is that much longer than what it holds, at most: a server that sends next to nothing holds up the others in vain.
_EXCESS_BYTES: Final = 1 << 20
_EXCESS_RATIO: Final = 16
_GZIP: Final = 16 + zlib.MAX_WBITS


async def inflate(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What gzip pieces hold, in pieces of their own; several members one after another are one body.

    Raises:
        OutboundUnreachableError: it is no gzip, ends too soon, or goes on and holds nothing.
    """
    inflater, begun = zlib.decompressobj(_GZIP), False
    taken = given = 0
    async for piece in pieces:
        rest, more = piece, False
        taken += len(piece)
        if taken > given * _EXCESS_RATIO + _EXCESS_BYTES:
            raise OutboundUnreachableError(f"the answer's gzip of {taken} bytes holds {given} bytes: it is cut there")
        while rest or more:
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP)
            begun = True
            try:
                found = inflater.decompress(rest, _PIECE_BYTES)
            except zlib.error as error:
                raise OutboundUnreachableError(f"the answer says that it is gzip, and is not: {error}") from None
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            more = len(found) == _PIECE_BYTES and not inflater.eof  # there may be more of what was taken in
            given += len(found)
            if found:
                yield found
                await asyncio.sleep(0)
    if begun and not inflater.eof:
        raise OutboundUnreachableError("the answer's gzip ends too soon")
