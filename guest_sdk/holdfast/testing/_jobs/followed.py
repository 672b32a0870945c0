"""The answer to a request of a job that streams to a topic, read piece by piece."""

from __future__ import annotations

import re
from encodings.utf_8 import IncrementalDecoder
from typing import Final

from holdfast._http import Response
from holdfast.testing._failures import RefusedError
from holdfast.testing._limits import Limits
from holdfast.testing._outbound import AnswerReader

_READ_BYTES: Final = 64 << 10
_LINE_TYPES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_ENDS: Final = {"events": re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)"), "lines": re.compile(rb"\n")}


class FollowedAnswer:
    """One of them; lives from the request until the answer has ended or is lost.

    Attributes:
        crashes: How often the host had died when it was asked for.
        piece: What is to be published next, as text; empty where more has to be read first.
        form: What that is: `events`, `lines` or `text`.
        ended: Whether all of it was read.
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
        self._whole = bytearray()
        self._size = 0
        self.piece = ""
        self.ended = False

    def read(self) -> None:
        """Read on; RefusedError where it breaks off."""
        read = self._reader.read(_READ_BYTES)
        self.ended = not read
        self._size += len(read)
        if self._size <= self._limits.job_outcome_bytes_max:
            self._whole += read
        self.piece = self._cut(read)

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

    def _cut(self, read: bytes) -> str:
        """What is whole now."""
        if self.form == "text":
            return self._decode(read, final=self.ended)
        held = self._held + read
        ends = [found.end() for found in _ENDS[self.form].finditer(held)]
        end = len(held) if self.ended and self.form == "lines" else ends[-1] if ends else 0
        self._held = held[end:]
        limit = self._limits.outbound_event_bytes_max
        if len(self._held) > limit:
            text = f"an event of the answer is longer than the limit of {limit} bytes of one that streams"
            raise RefusedError("LimitError", text)
        if self.form == "events" and b"data" not in held[:end]:
            return ""  # comments
        return held[:end].decode("utf-8", "replace").lstrip("\r\n")
