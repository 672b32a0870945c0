"""Text that comes in pieces: its lines, and the events of an event stream, as the HTML standard reads one.

A line ends with CR LF, LF or CR, wherever the pieces are cut, and is given as soon as its end has come. A byte order
mark at the beginning is left out; what is no UTF-8 becomes U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from encodings.utf_8_sig import IncrementalDecoder
from typing import Final

from holdfast._errors import LimitError

HELD_CHARS_MAX: Final = 10 << 20  # of one line, and of the data of one event

_END: Final = re.compile(r"\r\n|\n|\r")
_DIGITS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of an event stream.

    Attributes:
        data: Its data; lines are parted by a newline.
        event: Its type; `message` where it says none.
        id: The last id that the stream has given, here or before: what `Last-Event-ID` says to go on after this event.
        retry: The milliseconds to wait before one asks again, as the stream has last said; None: it has not.
    """

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None


class LineCutter:
    """Cuts pieces of bytes into lines."""

    __slots__ = ("_after_cr", "_decoder", "_held_chars", "_parts")

    def __init__(self) -> None:
        self._decoder = IncrementalDecoder("replace")
        self._parts: list[str] = []  # of a line whose end has not come
        self._held_chars = 0
        self._after_cr = False  # what came last: a line feed that comes next belongs to it

    def feed(self, piece: bytes) -> list[str]:
        """The lines whose ends have come; LimitError where one goes on too long."""
        return self._cut(self._decoder.decode(piece))

    def finish(self) -> list[str]:
        """It has ended: the lines that are left, of which the last one has no end."""
        lines = self._cut(self._decoder.decode(b"", final=True))
        rest = "".join(self._parts)
        return [*lines, rest] if rest else lines

    def _cut(self, text: str) -> list[str]:
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if not text:
            return []
        self._after_cr = text[-1] == "\r"
        *lines, rest = _END.split(text)
        if lines:
            lines[0] = "".join((*self._parts, lines[0]))
            self._parts, self._held_chars = [], 0
        if rest:
            self._parts.append(rest)
            self._held_chars += len(rest)
            if self._held_chars > HELD_CHARS_MAX:
                raise LimitError(f"a line of over {HELD_CHARS_MAX} characters, which is the limit of one that streams")
        return lines


def cut_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines of what comes in pieces, without their ends."""
    cutter = LineCutter()
    for piece in pieces:
        yield from cutter.feed(piece)
    yield from cutter.finish()


def read_events(pieces: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events of an event stream that comes in pieces; one that has not ended when it does is none."""
    cutter, reader = LineCutter(), _EventReader()
    for piece in pieces:
        for line in cutter.feed(piece):
            event = reader.take(line)
            if event is not None:
                yield event


class _EventReader:
    """Gathers the lines of one event after the other."""

    __slots__ = ("_data", "_event", "_held_chars", "_id", "_retry")

    def __init__(self) -> None:
        self._data: list[str] = []
        self._event = ""
        self._held_chars = 0
        self._id = ""
        self._retry: int | None = None

    def take(self, line: str) -> ServerSentEvent | None:
        """The event that this line ends."""
        if not line:
            return self._end()
        field, _, value = line.partition(":")  # without a name before the colon it is a comment
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._held_chars += len(value) + 1
            if self._held_chars > HELD_CHARS_MAX:
                raise LimitError(f"an event of over {HELD_CHARS_MAX} characters, which is the limit of one's data")
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and _DIGITS.fullmatch(value) and len(value) < 16:
            self._retry = int(value)
        return None

    def _end(self) -> ServerSentEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._held_chars = [], "", 0
        return ServerSentEvent("\n".join(data), event or "message", self._id, self._retry) if data else None
