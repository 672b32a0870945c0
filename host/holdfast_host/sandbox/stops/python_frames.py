"""Where CPython stands inside a guest's memory, read from outside as its own debuggers do.

CPython 3.14 says in `_PyRuntime` at which offsets its structures lie (`_Py_DebugOffsets`, made for debuggers of other
processes); the order of those numbers is a part of that version, and componentize-py is pinned. Everything that is read
was written by a guest: no step follows what it says without a bound, and what comes out is text for that guest's own
log. A guest in another language has no such cookie, and no place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

COOKIE: Final = b"xdebugpy"
OFFSETS_BYTES: Final = 8 * 100
FRAMES_MAX: Final = 64
_VERSION: Final = 0x030E  # 3.14, the upper half of PY_VERSION_HEX
_TEXT_CHARS_MAX: Final = 300
_LINES_BYTES_MAX: Final = 64 << 10
_OFFSET_MAX: Final = 1 << 20  # of a member: the interpreter's state is the largest structure
_BY_INTERPRETER: Final = 3  # the owner of a frame that is no function's: the entry into the interpreter
_TAG_BITS: Final = 3  # of a reference in a frame
_UNIT_BYTES: Final = 2  # of an instruction

# Where the offsets stand in the list, which begins with the version behind the cookie.
_FREE_THREADED, _INTERPRETERS, _THREADS, _CURRENT_FRAME = 1, 4, 8, 25
_PREVIOUS, _EXECUTABLE, _INSTRUCTION, _OWNER = 31, 32, 33, 35
_FILE, _NAME, _LINES, _FIRST_LINE, _CODE = 39, 41, 42, 43, 47
_BYTES_SIZE, _BYTES_DATA, _TEXT_LENGTH, _TEXT_DATA = 74, 75, 78, 79

Read = Callable[[int, int], bytes]  # address and size; fewer bytes, or an OSError, where there are none


@dataclass(frozen=True, slots=True)
class Frame:
    """A function that has not returned; `line` is 0 where the compiler gave none."""

    file: str
    line: int
    name: str


def is_runtime(offsets: bytes) -> bool:
    """Whether these are the offsets of the CPython that this module knows; they begin with the cookie."""
    if len(offsets) < OFFSETS_BYTES or not offsets.startswith(COOKIE):
        return False
    numbers = struct.unpack_from("<99Q", offsets, len(COOKIE))
    return bool(numbers[0] >> 16 == _VERSION and numbers[_FREE_THREADED] == 0)


def read_frames(read: Read, runtime: int) -> list[Frame]:
    """The functions that run, innermost first, at most FRAMES_MAX of them.

    Raises:
        OSError, ValueError: the memory does not hold what it should.
    """
    offsets = struct.unpack_from("<99Q", _exactly(read, runtime, OFFSETS_BYTES), len(COOKIE))
    if max(offsets[_INTERPRETERS : _TEXT_DATA + 1]) > _OFFSET_MAX:
        raise ValueError("an offset outside of every structure")
    interpreter = _pointer(read, runtime + offsets[_INTERPRETERS])
    thread = _pointer(read, interpreter + offsets[_THREADS])
    at = _pointer(read, thread + offsets[_CURRENT_FRAME])
    found: list[Frame] = []
    for _ in range(2 * FRAMES_MAX):
        if not at or len(found) == FRAMES_MAX:
            break
        if _exactly(read, at + offsets[_OWNER], 1)[0] != _BY_INTERPRETER:
            found.append(_frame(read, at, offsets))
        at = _pointer(read, at + offsets[_PREVIOUS])
    return found


def _frame(read: Read, at: int, offsets: tuple[int, ...]) -> Frame:
    code = _pointer(read, at + offsets[_EXECUTABLE]) & ~_TAG_BITS
    first_line = _pointer(read, code + offsets[_FIRST_LINE])
    instruction = (_pointer(read, at + offsets[_INSTRUCTION]) - code - offsets[_CODE]) // _UNIT_BYTES
    lines = _pointer(read, code + offsets[_LINES])
    size = min(_pointer(read, lines + offsets[_BYTES_SIZE]), _LINES_BYTES_MAX)
    table = _exactly(read, lines + offsets[_BYTES_DATA], size)
    return Frame(
        _text(read, _pointer(read, code + offsets[_FILE]), offsets),
        line_of(table, first_line, instruction),
        _text(read, _pointer(read, code + offsets[_NAME]), offsets),
    )


def line_of(table: bytes, first_line: int, instruction: int) -> int:
    """The line of an instruction, by its number, in a location table (Objects/locations.md); 0 where it has none."""
    at, ends, line = 0, 0, first_line
    while at < len(table):
        code, units = table[at] >> 3 & 15, (table[at] & 7) + 1
        at += 1
        delta = 0
        if code in {13, 14}:
            raw, at = _varint(table, at)
            delta = -(raw >> 1) if raw & 1 else raw >> 1
            for _ in range(3 if code == 14 else 0):  # the end's line, and two columns
                _, at = _varint(table, at)
        elif 10 <= code <= 12:
            delta = code - 10
            at += 2
        elif code < 10:
            at += 1
        line += delta
        ends += units
        if instruction < ends:
            return line if code != 15 else 0
    return 0


def _varint(table: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(table) and shift < 36:
        byte = table[at]
        at += 1
        value |= (byte & 63) << shift
        if not byte & 64:
            break
        shift += 6
    return value, at


def _text(read: Read, at: int, offsets: tuple[int, ...]) -> str:
    """A str of ASCII; of another one what ASCII there is before it ends."""
    length = min(_pointer(read, at + offsets[_TEXT_LENGTH]), _TEXT_CHARS_MAX)
    data = _exactly(read, at + offsets[_TEXT_DATA], length)
    return "".join(char if char.isprintable() else "?" for char in data.decode("ascii", "replace"))


def _pointer(read: Read, at: int) -> int:
    value: int = struct.unpack("<I", _exactly(read, at, 4))[0]
    return value


def _exactly(read: Read, at: int, size: int) -> bytes:
    found = read(at, size)
    if len(found) != size:
        raise ValueError(f"{size} bytes at {at:#x} of the guest's memory are not there")
    return found


def is_authors(frame: Frame) -> bool:
    """Whether it is code of the project or its dependencies: neither the SDK's nor Python's own."""
    return not frame.file.startswith(("<", "/", "holdfast/"))


def place_of(frames: Sequence[Frame]) -> str | None:
    """The innermost place in code of the author: `Account.deposit, src/app.py line 12`; None where there is none."""
    place = next((each for each in frames if is_authors(each)), None)
    return None if place is None else f"{place.name}, {place.file} line {place.line}"


def show(frames: Sequence[Frame]) -> Iterator[str]:
    """As a traceback shows them, outermost first."""
    for frame in reversed(frames):
        yield f'  File "{frame.file}", line {frame.line or "?"}, in {frame.name}'
