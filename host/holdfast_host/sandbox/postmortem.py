"""Where a Python guest stood when the sandbox stopped it: its memory is found, and read, before the store is dropped.

wasmtime shows a component's memory to nobody. But a memory whose first content comes from a compiled file is a private
mapping of that file, so `/proc/self/maps` tells where the memories of a component's sandboxes lie. Which of them is
this sandbox's says its mark: a text that only this activation was given (`mark` of its environment), kept by the SDK at
an address that is the same in all of them. What is read goes through `/proc/self/mem`, which fails where another way
would crash the process.

Nothing of this costs anything before a trap. After one it takes some milliseconds, more beside thousands of sandboxes:
so guests that trap again and again are looked at for TIME_SHARE of the time, and those beyond that leave no place.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from holdfast_host.sandbox.python_frames import COOKIE, OFFSETS_BYTES, Frame, Read, is_runtime, read_frames

MARK_BYTES: Final = 16
TIME_SHARE: Final = 0.05
TIME_SAVED_S: Final = 1.0  # that may be spent at once, when nothing was for a while
_MARK_BEGINS: Final = b"holdfast activation mark:"  # what the SDK keeps a mark behind
_PLACES_MAX: Final = 16  # where something may be: copies that the build has left are among them
_PIECE_BYTES: Final = 1 << 20
_RANGE: Final = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) ")


class _Mapped(NamedTuple):
    """A guest's memory, and where in it the content of the compiled file begins."""

    base: int
    end: int
    image_at: int
    image_bytes: int
    file_offset: int


class _Image(NamedTuple):
    """What the file says of all memories that begin with it: addresses in them."""

    file_offset: int
    runtime: int
    marks: tuple[int, ...]


class Allowance:
    """The time that looking may take; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left_s = TIME_SAVED_S
        self._at = time.monotonic()

    def spend(self, seconds: float) -> bool:
        """Take note that so much was spent; whether anything is left."""
        with self._lock:
            now = time.monotonic()
            self._left_s = min(TIME_SAVED_S, self._left_s + (now - self._at) * TIME_SHARE) - seconds
            self._at = now
            return self._left_s > 0


class PostMortem:
    """Looks into the sandboxes of one loaded component; any thread, each for a sandbox that its own guest has left."""

    def __init__(self, compiled: Path, allowance: Allowance) -> None:
        self._path = os.fsencode(os.path.realpath(compiled))
        self._allowance = allowance
        self._image: _Image | None = None

    def frames(self, mark: bytes) -> list[Frame]:
        """The functions that ran in the sandbox of that mark, innermost first; empty where that cannot be told."""
        if not self._allowance.spend(0.0):
            return []
        began = time.monotonic()
        try:
            return self._look(mark)
        except (OSError, ValueError, struct.error):
            return []
        finally:
            self._allowance.spend(time.monotonic() - began)

    def _look(self, mark: bytes) -> list[Frame]:
        memories = self._memories()
        image = self._image or self._find_image({each.file_offset: each for each in memories})
        if image is None:
            return []
        self._image = image
        memory = os.open("/proc/self/mem", os.O_RDONLY)
        try:
            for each in memories:
                if each.file_offset == image.file_offset and any(
                    os.pread(memory, MARK_BYTES, each.base + at) == mark for at in image.marks
                ):
                    return read_frames(_reader(memory, each), image.runtime)
        finally:
            os.close(memory)
        return []

    def _memories(self) -> list[_Mapped]:
        """The memories of all sandboxes of this component."""
        with open("/proc/self/maps", "rb") as file:
            lines = file.read().split(b"\n")
        found = []
        for number, line in enumerate(lines):
            if self._path in line and b" rw-p " in line:
                start, end, _, offset = _parts(line)
                base, after = start, end
                before = number - 1
                while (reached := _parts(lines[before]))[1:3] == (base, b"rw-p"):
                    base, before = reached[0], before - 1
                behind = number + 1
                while (reached := _parts(lines[behind]))[::2] == (after, b"rw-p"):
                    after, behind = reached[1], behind + 1
                found.append(_Mapped(base, after, start - base, end - start, offset))
        return found

    def _find_image(self, kinds: dict[int, _Mapped]) -> _Image | None:
        """Look for CPython, and for the places of marks, in what the memories begin with."""
        file = os.open(self._path, os.O_RDONLY)
        try:
            for offset, mapped in kinds.items():
                found = _occurrences(file, offset, offset + mapped.image_bytes, COOKIE, _MARK_BEGINS)
                moved = mapped.image_at - offset
                for at in found[COOKIE]:
                    if is_runtime(os.pread(file, OFFSETS_BYTES, at)):
                        marks = tuple(each + len(_MARK_BEGINS) + moved for each in found[_MARK_BEGINS])
                        return _Image(offset, at + moved, marks)
        finally:
            os.close(file)
        return None


def new_mark() -> bytes:
    """A text that nobody can guess."""
    return os.urandom(MARK_BYTES // 2).hex().encode()


def marked(environment: bytes, mark: bytes) -> bytes:
    """The environment of an activation with its mark: a JSON object that has members already, or none."""
    rest = environment.lstrip()[1:].lstrip()
    return b'{"mark":"%b"%b%b' % (mark, b"" if rest.startswith(b"}") else b",", rest)


def _reader(memory: int, mapped: _Mapped) -> Read:
    size = mapped.end - mapped.base

    def read(at: int, count: int) -> bytes:
        return os.pread(memory, count, mapped.base + at) if 0 <= at <= size - count else b""

    return read


def _parts(line: bytes) -> tuple[int, int, bytes, int]:
    """Start, end, permissions and file offset of a mapping."""
    match = _RANGE.match(line)
    if match is None:
        return 0, 0, b"", 0
    return int(match[1], 16), int(match[2], 16), match[3], int(match[4], 16)


def _occurrences(file: int, start: int, end: int, *wanted: bytes) -> dict[bytes, list[int]]:
    """Where each stands in this part of a file; a piece at a time, so that no other thread waits for all of it."""
    found: dict[bytes, list[int]] = {each: [] for each in wanted}
    longest = max(map(len, wanted))
    for begins in range(start, end, _PIECE_BYTES):
        piece = os.pread(file, min(_PIECE_BYTES + longest - 1, end - begins), begins)
        for each, places in found.items():
            at = piece.find(each)
            while 0 <= at < _PIECE_BYTES and len(places) < _PLACES_MAX:
                places.append(begins + at)
                at = piece.find(each, at + 1)
    return found
