"""The text of an answer that streams, cut where a reader may be handed a part: never within an event or a line."""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from typing import Final

from holdfast_host.core.errors import LimitError
from holdfast_host.core.limits import KIB, MIB

EVENTS: Final = "events"  # of a `text/event-stream`, whole with the empty line behind each
LINES: Final = "lines"  # of JSON, one value a line
TEXT: Final = "text"  # anything else, as it comes

PIECE_BYTES: Final = 16 * KIB  # at most in one piece, where one event is not longer,
PIECE_EVENTS: Final = 1_000  # and so many of them: a turn may write 10,000 keys, and send 10,000 messages
_JSON_BYTES_MAX: Final = MIB - 8 * KIB  # of one event, as it is stored and sent, with its name and number
_JSON_GROWTH: Final = 6  # at most, of a control character
_LINE_TYPES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\n")
_TEXT_CHARS: Final = 4 * KIB  # UTF-8 has up to 4 bytes for each


class EventCutter:
    """Cuts the body of one answer. `feed` it what comes; `take` what is whole of it."""

    def __init__(self, content_type: str, event_bytes_max: int) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self.form = EVENTS if kind == "text/event-stream" else LINES if kind in _LINE_TYPES else TEXT
        self._event_bytes_max = event_bytes_max
        self._end = _EVENT_END if self.form == EVENTS else _LINE_END
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = bytearray()  # of an event that is not whole
        self._units: deque[tuple[str, int]] = deque()  # what is whole, each with its bytes
        self.size = 0  # of that, in bytes

    def feed(self, piece: bytes | memoryview) -> None:
        """The next of the body; LimitError where an event of it goes on too long."""
        if self.form == TEXT:
            self._add_text(self._decoder.decode(piece))
            return
        seen = max(0, len(self._held) - 3)  # an end that is not whole yet may have begun there
        self._held += piece
        at = 0
        for found in self._end.finditer(self._held, seen):
            self._check(found.start() - at)
            self._add(bytes(self._held[at : found.end()]))
            at = found.end()
        del self._held[:at]
        self._check(len(self._held))

    def finish(self) -> None:
        """It has ended. An event without its end is none; a line is one."""
        if self.form == TEXT:
            self._add_text(self._decoder.decode(b"", final=True))
        elif self.form == LINES:
            self._add(bytes(self._held))
        self._held.clear()

    def take(self) -> str:
        """What is whole, at most a piece of it, at least one event; empty where there is none."""
        taken: list[str] = []
        size = 0
        while self._units and len(taken) < PIECE_EVENTS and (not taken or size + self._units[0][1] <= PIECE_BYTES):
            text, of_it = self._units.popleft()
            taken.append(text)
            size += of_it
        self.size -= size
        return "".join(taken)

    def _check(self, event_bytes: int) -> None:
        if event_bytes > self._event_bytes_max:
            raise LimitError(
                f"an event of the answer is longer than the limit of {self._event_bytes_max} bytes of one that streams"
            )

    def _add(self, unit: bytes) -> None:
        if unit.strip() and (self.form == LINES or b"data" in unit):  # else it is empty, or a comment
            text = unit.decode("utf-8", "replace")
            if len(unit) > _JSON_BYTES_MAX // _JSON_GROWTH:
                json_bytes = len(json.dumps(text, ensure_ascii=False).encode())
                if json_bytes > _JSON_BYTES_MAX:
                    raise LimitError(
                        f"an event of the answer has {json_bytes} bytes as JSON, which is how a topic keeps it: the "
                        f"limit is {_JSON_BYTES_MAX} bytes"
                    )
            self._units.append((text, len(unit)))
            self.size += len(unit)

    def _add_text(self, text: str) -> None:
        for at in range(0, len(text), _TEXT_CHARS):
            part = text[at : at + _TEXT_CHARS]
            size = len(part.encode("utf-8", "surrogatepass"))
            self._units.append((part, size))
            self.size += size
