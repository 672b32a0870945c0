"""A function's response whose body comes in pieces, between a front and the worker where its sandbox stands.

The REPLY to the request is the head, marked FOLLOWS, with the number of the body before it. Each piece is a CALL of the
kind BODY, whose REPLY is the piece as it is; an empty one is the end. Any other REPLY ends the body too.
"""

from __future__ import annotations

import struct
from typing import Final

from holdfast_host.wire.calls.frames import ProtocolError

FOLLOWS: Final = 1 << 14  # in a REPLY's status

_NUMBER: Final = struct.Struct("<Q")
_PULL: Final = struct.Struct("<QB")


def pack_head(number: int, text: bytes) -> bytes:
    """The head as the guest wrote it, and the number under which its body is asked for."""
    return _NUMBER.pack(number) + text


def unpack_head(body: bytes) -> tuple[int, bytes]:
    """Number and head."""
    return _NUMBER.unpack_from(body)[0], body[_NUMBER.size :]


def pack_pull(number: int, *, closes: bool) -> bytes:
    """Ask for the next piece of a body, or say that no more of it is wanted."""
    return _PULL.pack(number, closes)


def unpack_pull(body: bytes) -> tuple[int, bool]:
    """Number, and whether it closes; ProtocolError where it is neither."""
    try:
        number, closes = _PULL.unpack(body)
    except struct.error as error:
        raise ProtocolError(f"a CALL for a body with {len(body)} bytes") from error
    return number, bool(closes)
