"""Sections and numbers of WebAssembly's binary format, as far as a component's file is read or written here.

What is read may be anything: a number that does not end raises ValueError, the end of the file IndexError.
The format: the WebAssembly core specification, chapter 5; of components, `Binary.md` of the component model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

HEADER_BYTES: Final = 8  # magic, version and layer: the same for a component and for a module in it
COMPONENT_MODULE, COMPONENT_COMPONENT = 1, 4  # section ids in a component
MODULE_TYPES, MODULE_IMPORTS, MODULE_FUNCTIONS, MODULE_MEMORIES, MODULE_GLOBALS = 1, 2, 3, 5, 6  # ids in a core module
MODULE_EXPORTS, MODULE_START, MODULE_ELEMENTS, MODULE_CODE, MODULE_DATA, MODULE_DATA_COUNT = 7, 8, 9, 10, 11, 12
PASSIVE, WITH_MEMORY = 1, 2  # kinds of data segments; 0 is active, in memory 0
I32_CONST, END = 0x41, 0x0B

_NUMBER_BYTES_MAX: Final = 10  # of 64 bits


class Bytes(Protocol):
    """What is read: bytes, a memoryview or a map of a file."""

    def __getitem__(self, at: int, /) -> int: ...


def sections(data: Bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(id, start, end) of each section's content, of the component or module that lies from `start` to `end`."""
    at = start + HEADER_BYTES
    while at < end:
        section = data[at]
        size, at = unsigned(data, at + 1)
        if at + size > end:
            raise ValueError(f"section {section} at {at} ends behind what it is part of")
        yield section, at, at + size
        at += size


def unsigned(data: Bytes, at: int) -> tuple[int, int]:
    """A LEB128 number, and where it ends."""
    value = shift = 0
    for place in range(at, at + _NUMBER_BYTES_MAX):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place + 1
    raise ValueError(f"the number at {at} has no end")


def signed(data: Bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number, and where it ends."""
    value, after = unsigned(data, at)
    bits = 7 * (after - at)
    return (value - (1 << bits) if data[after - 1] & 0x40 else value), after


def unsigned_bytes(value: int) -> bytes:
    """A number from 0 on in LEB128, in as few bytes as it takes."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def signed_bytes(value: int) -> bytes:
    """A number in signed LEB128, in as few bytes as it takes."""
    written = bytearray()
    while not -0x40 <= value < 0x40:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value & 0x7F)
    return bytes(written)


def section_bytes(section: int, content: bytes) -> bytes:
    """A section with its id and size."""
    return bytes([section]) + unsigned_bytes(len(content)) + content
