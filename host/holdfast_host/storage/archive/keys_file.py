"""The keys and values of one instance in a file, in their order: written and read piece by piece, whatever their size.

It is a map of MessagePack, whose entries' count is written last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

_MAP: Final = b"\xdf"
_COUNT_BYTES: Final = 4
_LENGTH_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}  # of byte strings, by their first byte


def write_pairs(path: Path, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """Write them to a new file.

    Raises:
        OSError: it cannot be written.
    """
    encode, count = msgspec.msgpack.Encoder().encode, 0
    with path.open("xb") as file:
        file.write(_MAP + bytes(_COUNT_BYTES))
        for key, value in pairs:
            file.write(encode(key) + encode(value))
            count += 1
        file.seek(len(_MAP))
        file.write(count.to_bytes(_COUNT_BYTES, "big"))


def read_pairs(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """What was written.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(len(_MAP) + _COUNT_BYTES)
        for _ in range(int.from_bytes(head[len(_MAP) :], "big")):
            yield _read(file), _read(file)


def _read(file: BinaryIO) -> bytes:
    length_bytes = _LENGTH_BYTES[file.read(1)[0]]
    return file.read(int.from_bytes(file.read(length_bytes), "big"))
