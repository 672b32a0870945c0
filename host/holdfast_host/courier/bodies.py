"""The body of an answer, inflated where it is gzip: as a whole within its limit, or piece by piece as its reader asks.

Nothing is read ahead of a reader but what the connection has taken in (`connections`) and one inflated piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import LimitError
from holdfast_host.core.limits import KIB
from holdfast_host.courier.inflating import inflate

if TYPE_CHECKING:
    import aiohttp

    from holdfast_host.courier.in_flight import Admitted

PIECE_BYTES: Final = 64 * KIB  # that are read at once
# What one answer that is read piece by piece may hold: what its connection takes in, and a piece, inflated and as text.
AHEAD_BYTES: Final = 512 * KIB


class AnswerBody:
    """The body of one answer. Lives as long as its response is open; read by one reader."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        codings = ",".join(response.headers.getall("Content-Encoding", ())).split(",")
        self.inflated = [each.strip().lower() for each in codings] in (["gzip"], ["x-gzip"])
        pieces: AsyncIterator[bytes] = response.content.iter_chunked(PIECE_BYTES)
        self._pieces = inflate(pieces) if self.inflated else pieces
        self._rest = memoryview(b"")

    async def read_whole(self, bytes_max: int, admitted: Admitted) -> bytearray:
        """All of it; LimitError where it is longer."""
        body = bytearray()
        async for piece in self._pieces:
            if len(body) + len(piece) > bytes_max:
                raise LimitError(f"the answer's body is longer than the limit of {bytes_max} bytes")
            admitted.hold(len(piece))
            body += piece
        return body

    async def read(self, bytes_max: int) -> memoryview:
        """The next of it as soon as there is any, at most so many bytes; empty at the end."""
        if not self._rest:
            self._rest = memoryview(await anext(self._pieces, b""))
        piece, self._rest = self._rest[:bytes_max], self._rest[bytes_max:]
        return piece
