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

from holdfast_host.sandbox.stops.python_frames import COOKIE, OFFSETS_BYTES, Frame, Read, is_runtime, read_frames

MARK_BYTES: Final = 16
TIME_SHARE: Final = 0.05
TIME_SAVED_S: Final = 0.25  # that may be spent at once, when nothing was for a while
_MARK_BEGINS: Final = b"holdfast activation mark:"  # what the SDK keeps a mark behind
_PLACES_MAX: Final = 16  # where something may be: copies that the build has left are among them
_PIECE_BYTES: Final = 1 << 20
_RANGE: Final = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) rw-p ")


class _Image(NamedTuple):
    """What all memories of a component begin with, as its file says: where it lies in them, and addresses in it."""

    file_offset: int
    memory_offset: int
    runtime: int
    marks: tuple[int, ...]


class Allowance:
    """The time that looking may take, and the turn to look: one thread at a time, for each holds up all others."""

    def __init__(self) -> None:
        self.looking = threading.Lock()
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
        self._mapped = re.compile(
            rb"^([0-9a-f]+)-([0-9a-f]+) rw-p ([0-9a-f]+) .*" + re.escape(self._path), re.MULTILINE
        )
        self._allowance = allowance
        self._image: _Image | None = None

    def frames(self, mark: bytes) -> list[Frame]:
        """The functions that ran in the sandbox of that mark, innermost first; empty where that cannot be told."""
        allowance = self._allowance
        with allowance.looking:
            if not allowance.spend(0.0):
                return []
            began = time.thread_time()
            try:
                return self._look(mark)
            except (OSError, ValueError, struct.error):
                return []
            finally:
                allowance.spend(time.thread_time() - began)

    def _look(self, mark: bytes) -> list[Frame]:
        with open("/proc/self/maps", "rb") as file:
            maps = file.read()
        image = self._image = self._image or self._find_image(maps)
        if image is None:
            return []
        memory = os.open("/proc/self/mem", os.O_RDONLY)
        try:
            for mapping in self._mapped.finditer(maps):
                if int(mapping[3], 16) != image.file_offset:
                    continue
                base = int(mapping[1], 16) - image.memory_offset
                for at in image.marks:
                    if os.pread(memory, MARK_BYTES, base + at) == mark:
                        self._image = image._replace(marks=(at,))  # the others are copies
                        size = _writable(maps, mapping)[1] - base
                        return read_frames(_reader(memory, base, size), image.runtime)
        finally:
            os.close(memory)
        return []

    def _find_image(self, maps: bytes) -> _Image | None:
        """Look for CPython, and for the places of marks, in what the memories of this component begin with."""
        kinds = {int(each[3], 16): each for each in self._mapped.finditer(maps)}
        file = os.open(self._path, os.O_RDONLY)
        try:
            for offset, mapping in kinds.items():
                start, end = int(mapping[1], 16), int(mapping[2], 16)
                memory_offset = start - _writable(maps, mapping)[0]
                found = _occurrences(file, offset, offset + end - start, COOKIE, _MARK_BEGINS)
                moved = memory_offset - offset
                for at in found[COOKIE]:
                    if is_runtime(os.pread(file, OFFSETS_BYTES, at)):
                        marks = tuple(each + len(_MARK_BEGINS) + moved for each in found[_MARK_BEGINS])
                        return _Image(offset, memory_offset, at + moved, marks)
        finally:
            os.close(file)
        return None


def _writable(maps: bytes, mapping: re.Match[bytes]) -> tuple[int, int]:
    """Start and end of the memory that a mapping is a part of: what lies next to it and may be written."""
    start, end = int(mapping[1], 16), int(mapping[2], 16)
    at = maps.rfind(b"\n", 0, max(0, mapping.start() - 1)) + 1
    while (before := _RANGE.match(maps, at)) and int(before[2], 16) == start:
        start, at = int(before[1], 16), maps.rfind(b"\n", 0, max(0, at - 1)) + 1
    at = maps.find(b"\n", mapping.end()) + 1
    while (behind := _RANGE.match(maps, at)) and int(behind[1], 16) == end:
        end, at = int(behind[2], 16), maps.find(b"\n", at) + 1
    return start, end


def new_mark() -> bytes:
    """A text that nobody can guess."""
    return os.urandom(MARK_BYTES // 2).hex().encode()


def marked(environment: bytes, mark: bytes) -> bytes:
    """The environment of an activation with its mark: a JSON object that has members already, or none."""
    rest = environment.lstrip()[1:].lstrip()
    return b'{"mark":"%b"%b%b' % (mark, b"" if rest.startswith(b"}") else b",", rest)


def _reader(memory: int, base: int, size: int) -> Read:
    def read(at: int, count: int) -> bytes:
        return os.pread(memory, count, base + at) if 0 <= at <= size - count else b""

    return read


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
