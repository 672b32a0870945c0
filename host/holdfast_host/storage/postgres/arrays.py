"""PostgreSQL's binary format, as far as statements here need it: whole numbers, bytes, and arrays of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

_INT4, _INT8, _BYTEA = 23, 20, 17
_EMPTY: Final = struct.Struct(">iii")
_HEAD: Final = struct.Struct(">iiiii")
_LONG: Final = struct.Struct(">q")


def long(value: int) -> bytes:
    """A bigint."""
    return _LONG.pack(value)


def longs(values: Sequence[int]) -> bytes:
    """A bigint[]."""
    return _numbers(values, _INT8, 8, "iq")


def ints(values: Sequence[int]) -> bytes:
    """An int[]."""
    return _numbers(values, _INT4, 4, "ii")


def blobs(values: Sequence[bytes]) -> bytes:
    """A bytea[]."""
    if not values:
        return _EMPTY.pack(0, 0, _BYTEA)
    parts = [_HEAD.pack(1, 0, _BYTEA, len(values), 1)]
    for value in values:
        parts += (len(value).to_bytes(4, "big"), value)
    return b"".join(parts)


def number(value: bytes | None) -> int:
    """A whole number of a result, of whatever size."""
    return int.from_bytes(value or b"", "big", signed=True)


def _numbers(values: Sequence[int], oid: int, size: int, each: str) -> bytes:
    count = len(values)
    if not count:
        return _EMPTY.pack(0, 0, oid)
    flat: list[int] = []
    for value in values:
        flat += (size, value)
    return struct.pack(">iiiii" + each * count, 1, 0, oid, count, 1, *flat)
