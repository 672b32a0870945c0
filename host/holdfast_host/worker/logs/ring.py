"""Guests' lines on disk: a bounded ring of segment files under `logs/wN/`, oldest dropped first.

An instance's lines go to one of a few lanes by its label, so that one that prints without end pushes out only what
lies in its own lane. A lane is a row of segments, `LANE-SEQUENCE.log`, each a bounded number of JSON lines in order of
time; the oldest is removed when a new one is begun. Nothing is synced: a power cut may take the last lines.

Threads: one writes, one reads. A segment only grows, and a reader keeps to whole lines.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import KIB

LANES: Final = 8
SEGMENTS: Final = 4  # of a lane
_STEP_BYTES: Final = 64 * KIB  # read from a lane at once
_SEGMENT: Final = re.compile(r"[0-9]+-([0-9]{12,15})\.log")

Positions = dict[str, list[int]]  # by lane: sequence and offset of what comes next


def lane_of(label: str) -> int:
    """Which lane an instance's or function's lines go to."""
    return zlib.crc32(label.encode(errors="surrogatepass")) % LANES


class LogRing:
    """The lines of one worker's guests. `append` and `flush` are one thread's."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """At most about `bytes_max` bytes under the folder, which is made when it is needed."""
        self._folder = folder
        self._segment_bytes = max(KIB, bytes_max // (LANES * SEGMENTS))
        self._lanes: dict[int, _Lane] = {}

    def append(self, label: str, line: str) -> None:
        """Keep one line; it is in the file after `flush`, unless the disk takes nothing."""
        number = lane_of(label)
        lane = self._lanes.get(number)
        if lane is None:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lane = self._lanes[number] = _Lane(self._folder, number, self._segment_bytes)
            except OSError:
                return
        lane.append(line.encode("ascii", "replace") + b"\n")

    def flush(self) -> None:
        """Write what was kept; a disk that takes nothing loses lines."""
        for lane in self._lanes.values():
            lane.flush()


class _Lane:
    """One row of segments, as its writer sees it."""

    def __init__(self, folder: Path, number: int, segment_bytes: int) -> None:
        self._folder = folder
        self._number = number
        self._segment_bytes = segment_bytes
        self._sequence = max(segments_of(folder, number), default=0)
        self._file_bytes = segment_bytes  # a new process begins a new segment
        self._fd = -1
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def append(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= _STEP_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        try:
            if self._file_bytes >= self._segment_bytes:
                self._begin_segment()
            self._file_bytes += os.write(self._fd, data)
        except OSError:
            self._file_bytes = self._segment_bytes

    def _begin_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._sequence += 1
        for old in segments_of(self._folder, self._number):
            if old <= self._sequence - SEGMENTS:
                segment_path(self._folder, self._number, old).unlink(missing_ok=True)
        path = segment_path(self._folder, self._number, self._sequence)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file_bytes = 0


def segment_path(folder: Path, lane: int, sequence: int) -> Path:
    """Where a segment lies."""
    return folder / f"{lane}-{sequence:012d}.log"


def segments_of(folder: Path, lane: int) -> list[int]:
    """The sequence numbers of a lane's segments, oldest first; what is none of ours is passed over."""
    found = ((_SEGMENT.fullmatch(path.name), path) for path in folder.glob(f"{lane}-*.log"))
    return sorted(int(match[1]) for match, path in found if match is not None and path.is_file())


def read_step(
    folder: Path, lanes: list[int], positions: Positions, wanted: Callable[[JsonObject], bool]
) -> tuple[list[JsonObject], Positions, float | None]:
    """The next lines of some lanes in order of time; bounded in what it reads.

    Returns the lines, the positions after them, and the time up to which all lines are among them: None where these
    are all there are.
    """
    pieces = [_read_lane(folder, lane, *positions.get(str(lane), [0, 0])) for lane in lanes]
    known_to = min((max(at for at, *_ in each.lines) for each in pieces if each.more and each.lines), default=None)
    after: Positions = {}
    found: list[list[tuple[float, int, JsonObject]]] = []
    for lane, piece in zip(lanes, pieces, strict=True):
        taken = list(itertools.takewhile(lambda line: known_to is None or line[0] <= known_to, piece.lines))
        whole = len(taken) == len(piece.lines)
        after[str(lane)] = piece.end if whole else [piece.sequence, taken[-1][1] if taken else piece.offset]
        found.append([(at, lane, facts) for at, _, facts in taken if wanted(facts)])
    rows = heapq.merge(*found, key=lambda row: row[0])
    more = any(piece.more for piece in pieces)
    return [facts for _, _, facts in rows], after, known_to if more else None


class _Piece:
    """What was read of a lane: lines with their time and the offset after them."""

    __slots__ = ("end", "lines", "more", "offset", "sequence")

    def __init__(self, sequence: int, offset: int) -> None:
        self.sequence = sequence
        self.offset = offset
        self.lines: list[tuple[float, int, JsonObject]] = []
        self.end = [sequence, offset]
        self.more = False


def _read_lane(folder: Path, lane: int, sequence: int, offset: int) -> _Piece:
    there = [each for each in segments_of(folder, lane) if each >= sequence]
    while there:
        if there[0] != sequence:
            sequence, offset = there[0], 0
        piece = _Piece(sequence, offset)
        try:
            with segment_path(folder, lane, sequence).open("rb") as file:
                file.seek(offset)
                data = file.read(_STEP_BYTES + 1)
                if b"\n" not in data and len(data) > _STEP_BYTES:
                    data += file.readline()
        except OSError:  # removed meanwhile, or the disk does not give it back
            there.pop(0)
            continue
        _take_lines(piece, data)
        piece.more = len(data) > _STEP_BYTES or len(there) > 1
        if piece.lines or piece.end[1] > offset:
            return piece
        if len(there) == 1:
            piece.more = False
            return piece
        there.pop(0)
    return _Piece(sequence, offset)


def _take_lines(piece: _Piece, data: bytes) -> None:
    """The whole lines of what was read; one that is damaged is passed over."""
    at = piece.offset
    for raw in data.splitlines(keepends=True):
        if not raw.endswith(b"\n"):
            break
        at += len(raw)
        try:
            facts = json.loads(raw)
            piece.lines.append((float(facts["time"]), at, facts))
        except (ValueError, KeyError, TypeError):
            continue
    piece.end = [piece.sequence, at]
