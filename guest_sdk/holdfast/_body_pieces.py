"""A response whose body comes in pieces: the iterator that a function returned, run on each time the host asks.

Between two pieces the function's code stands still, in its sandbox; whatever ends it (its end, an exception, a client
that is gone) runs its `finally`.
"""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from holdfast._coroutines import Coroutines

PART_BYTES: Final = 192 << 10  # of a piece that is longer; a multiple of 3
_WHAT: Final = "the body of a response"
_END: Final[Any] = object()  # None may be what the author yields by mistake, and no end


class BodyPieces:
    """The body of one response. Lives until its end; belongs to the sandbox."""

    __slots__ = ("_coroutines", "_pieces", "_rest")

    def __init__(self, pieces: Iterator[str | bytes] | AsyncIterator[str | bytes], coroutines: Coroutines) -> None:
        self._pieces = pieces
        self._coroutines = coroutines
        self._rest = memoryview(b"")

    def take(self) -> str:
        """The next piece as base64; empty at the end. Raises what the author's code raises."""
        while not self._rest:
            piece = self._next()
            if piece is _END:
                return ""
            if not isinstance(piece, (str, bytes)):
                raise TypeError(f"{_WHAT} is pieces of str or bytes, not of {type(piece).__name__}")
            self._rest = memoryview(piece.encode() if isinstance(piece, str) else piece)
        part, self._rest = self._rest[:PART_BYTES], self._rest[PART_BYTES:]
        return binascii.b2a_base64(part, newline=False).decode("ascii")

    def close(self) -> None:
        """No more of it is wanted."""
        pieces: Any = self._pieces
        if hasattr(pieces, "aclose"):
            self._coroutines.finish(_close(pieces), _WHAT)
        elif hasattr(pieces, "close"):
            pieces.close()

    def _next(self) -> Any:
        if isinstance(self._pieces, Iterator):
            return next(self._pieces, _END)
        return self._coroutines.finish(_step(self._pieces), _WHAT, keeps_generators=True)


async def _step(pieces: AsyncIterator[str | bytes]) -> Any:
    return await anext(pieces, _END)


async def _close(pieces: Any) -> None:
    await pieces.aclose()
