"""The answer to a request of a job that streams to a topic, read piece by piece."""

from __future__ import annotations

import json
import re
from collections import deque
from encodings.utf_8 import IncrementalDecoder
from typing import Final

from holdfast._http import Response
from holdfast.testing._failures import RefusedError
from holdfast.testing._limits import Limits
from holdfast.testing._outbound import AnswerReader

_PIECE_BYTES: Final = 16 << 10  # that are read at once; and in one piece, where one event is not longer,
_PIECE_EVENTS: Final = 1_000  # and so many of them
_JSON_BYTES_MAX: Final = (1 << 20) - (8 << 10)  # of one event, as it is stored and sent, with its name and number
_LINE_TYPES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_ENDS: Final = {"events": re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)"), "lines": re.compile(rb"\n")}


class FollowedAnswer:
    """One of them; lives from the request until the answer has ended or is lost.

    Attributes:
        crashes: How often the host had died when it was asked for.
        piece: What is to be published next, as text; empty where `read` says what.
        form: What that is: `events`, `lines` or `text`.
        ended: Whether all of it was read and is in pieces that were published, or in `piece`.
    """

    def __init__(self, response: Response, limits: Limits, crashes: int) -> None:
        self._response = response
        self._limits = limits
        self.crashes = crashes
        kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
        self.form = "events" if kind == "text/event-stream" else "lines" if kind in _LINE_TYPES else "text"
        self._decode = IncrementalDecoder("replace").decode
        self._reader = AnswerReader(response)
        self._held = b""
        self._units: deque[bytes] = deque()  # events, or lines, that are whole
        self._whole = bytearray()
        self._size = 0
        self._read_all = False
        self.piece = ""
        self.ended = False

    def read(self) -> None:
        """Go on to the next piece, reading where that is not there yet; RefusedError where it breaks off."""
        if not self._units:
            read = self._reader.read(_PIECE_BYTES)
            self._read_all = not read
            self._size += len(read)
            if self._size <= self._limits.job_outcome_bytes_max:
                self._whole += read
            if self.form == "text":
                self.piece = self._decode(read, final=self._read_all)
            else:
                self._cut(read)
        if self._units:
            self.piece = self._take()
        self.ended = self._read_all and not self._units

    def whole(self) -> Response:
        """All of it, once it has ended; RefusedError where that is more than is kept for a job."""
        size, limit = self._size, self._limits.job_outcome_bytes_max
        if size > limit:
            text = f"an answer of {size} bytes exceeds the limit of {limit} bytes that is kept for a job"
            raise RefusedError("LimitError", text)
        return Response(bytes(self._whole), self._response.status, self._response.headers)

    def close(self) -> None:
        """Nobody wants the rest."""
        self._reader.read(0)

    def _cut(self, read: bytes) -> None:
        """Take in what is whole now."""
        held = self._held + read
        at = 0
        for found in _ENDS[self.form].finditer(held):
            self._check(found.start() - at)
            self._add(held[at : found.end()])
            at = found.end()
        self._held = held[at:]
        self._check(len(self._held))
        if self._read_all and self.form == "lines":
            self._add(self._held)

    def _add(self, unit: bytes) -> None:
        if unit.strip() and (self.form == "lines" or b"data" in unit):  # else it is empty, or a comment
            json_bytes = len(json.dumps(unit.decode("utf-8", "replace"), ensure_ascii=False).encode())
            if json_bytes > _JSON_BYTES_MAX:
                text = f"an event of the answer has {json_bytes} bytes as JSON, which is how a topic keeps it: the "
                raise RefusedError("LimitError", f"{text}limit is {_JSON_BYTES_MAX} bytes")
            self._units.append(unit)

    def _take(self) -> str:
        taken = [self._units.popleft()]
        size = len(taken[0])
        while self._units and len(taken) < _PIECE_EVENTS and size + len(self._units[0]) <= _PIECE_BYTES:
            taken.append(self._units.popleft())
            size += len(taken[-1])
        return b"".join(taken).decode("utf-8", "replace")

    def _check(self, event_bytes: int) -> None:
        limit = self._limits.outbound_event_bytes_max
        if event_bytes > limit:
            text = f"an event of the answer is longer than the limit of {limit} bytes of one that streams"
            raise RefusedError("LimitError", text)
