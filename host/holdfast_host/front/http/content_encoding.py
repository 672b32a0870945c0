"""Content codings of request bodies: taken off by whoever reads a body, never before a request is let in.

The HTTP library would inflate while it parses. Here a body lies as it came until its handler asks for it, and is then
inflated in pieces, so far as a limit of the body and a bound on its growth allow: how much work a byte can make.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError, PayloadTooLargeError
from holdfast_host.core.limits import KIB
from holdfast_host.front.http.errors import RouteError

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

PIECE_BYTES: Final = 64 * KIB  # inflated at once
GROWTH_MAX: Final = 100  # past the first piece; text shrinks to a tenth, zeros to a thousandth
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_KNOWN: Final = _GZIP | {"deflate"}


def coding_of(headers: CIMultiDictProxy[str], *, known: frozenset[str] = _KNOWN) -> str:
    """The one coding of a request's body; empty where it comes as it is.

    Args:
        headers: the request's.
        known: what the reader of the body can take off.

    Raises:
        BadRequestError: 501, it has a transfer coding besides `chunked`.
        RouteError: 415, with the codings that may be used.
    """
    if "Transfer-Encoding" in headers and (transfer := headers["Transfer-Encoding"].strip().lower()) != "chunked":
        raise BadRequestError(
            f"the body's Transfer-Encoding is {transfer[:80]!r}: this takes chunked alone", status=501
        )
    if "Content-Encoding" not in headers:
        return ""
    named = [each.strip().lower() for each in ",".join(headers.getall("Content-Encoding")).split(",")]
    codings = [each for each in named if each and each != "identity"]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in known:
        takes = "gzip, deflate" if known else "identity"
        raise RouteError(
            BadRequestError(
                f"the body's Content-Encoding is {', '.join(codings)[:80]!r}: this takes {takes}, once", status=415
            ),
            f"Accept-Encoding: {takes}\r\n".encode(),
        )
    return codings[0]


class Inflater:
    """Takes one coding off one body."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._came_bytes = 0
        self._inflated_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes of the body become, in pieces of at most `PIECE_BYTES`.

        Raises:
            BadRequestError: it is not of that coding.
            PayloadTooLargeError: it grows beyond all measure.
        """
        self._came_bytes += len(data)
        stream = self._stream = self._stream or self._begin(data)
        piece = b""
        while data or len(piece) == PIECE_BYTES:  # a full one may have left something behind that needs no more input
            try:
                piece = stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise self._broken(str(error)) from None
            self._inflated_bytes += len(piece)
            if self._inflated_bytes > PIECE_BYTES + GROWTH_MAX * self._came_bytes:
                raise PayloadTooLargeError(
                    f"{self._came_bytes} bytes of {self._coding} become {self._inflated_bytes} bytes and more, the "
                    f"limit is {GROWTH_MAX} times as many: send the body as it is"
                )
            if stream.unused_data:
                raise self._broken("bytes come after its end")
            data = stream.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """The body is whole; BadRequestError where it is cut short. One without a byte is empty."""
        if self._stream is not None and not self._stream.eof:
            raise self._broken("it ends too early")

    def _begin(self, data: bytes) -> zlib._Decompress:
        if self._coding in _GZIP:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        # "deflate" means zlib's format; some send the bare one.
        return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS)

    def _broken(self, why: str) -> BadRequestError:
        return BadRequestError(f"the body is no {self._coding}: {why}")
