"""Where in the bytes of a connection a new request begins, as far as it can be told without parsing.

The HTTP library's parser does not say whether it holds the begin of a head. So the bytes that it was given are counted,
and compared with the length of the request that it made of them: its head, which ends with the first blank line, and
its Content-Length. Where that leaves a doubt (requests sent in one go, a chunked body, a head in pieces) the answer is
no, for as long as the connection lives.
"""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11
from aiohttp.http import RawRequestMessage

HEAD_BYTES_MAX: Final = 2048  # of a head that is worth being known again
_BLANK: Final = b"\r\n\r\n"
_SEARCHED_BYTES: Final = 16_384  # the parser takes no longer line
# Each of these changes how a body is read, or what is sent before the answer.
_FRAMING: Final = ("Transfer-Encoding", "Content-Encoding", "Expect", "Upgrade", "Trailer")


class Boundary:
    """The count of one connection."""

    __slots__ = ("_due_bytes", "_fed_bytes", "_head", "known_as", "reached")

    def __init__(self) -> None:
        self.reached = True  # the parser was given whole requests and nothing else
        # Of the request that `parsed` was told of last: the lines of its head after the first, and how many bytes of
        # body they announce. None where that is in doubt, or the head is not worth being known again.
        self.known_as: tuple[bytes, int] | None = None
        self._head = b""
        self._fed_bytes = 0  # since the last boundary
        self._due_bytes: int | None = None  # of the request that began there, once it is parsed

    def feed(self, data: bytes) -> None:
        """The parser is given these bytes."""
        if not data:
            return  # the library looks again at what it has
        if self.reached:
            self._fed_bytes, self._due_bytes = 0, None
            end = data.find(_BLANK, 0, _SEARCHED_BYTES)
            self._head = data[: end + len(_BLANK)] if end >= 0 else b""
        self._fed_bytes += len(data)
        self.reached = self._fed_bytes == self._due_bytes

    def parsed(self, message: RawRequestMessage) -> None:
        """The parser has made a request of what it was given, and that is about to be served."""
        head, self._head, self.known_as = self._head, b"", None  # a second request finds none
        body_bytes = _body_bytes(message)
        if body_bytes is None or not _has_plain_lines(head):
            return
        self._due_bytes = len(head) + body_bytes
        self.reached = self._fed_bytes == self._due_bytes
        if len(head) <= HEAD_BYTES_MAX:
            self.known_as = head[head.index(b"\n") + 1 :], body_bytes


def _has_plain_lines(head: bytes) -> bool:
    """Whether no two parsers can differ about where the first line begins and each line ends, and so the head."""
    ends = head.count(b"\r\n")
    return ends > 1 and head.count(b"\n") == head.count(b"\r") == ends and head[:1].isalpha()


def _body_bytes(message: RawRequestMessage) -> int | None:
    """How many bytes of body belong to it; None where its head does not say."""
    if message.chunked or message.upgrade or message.method == "CONNECT":
        return None
    lengths = []
    for raw_name, value in message.raw_headers:
        name = raw_name.lower()
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            return None
    if not lengths:
        return 0
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None


def is_plain(message: RawRequestMessage) -> bool:
    """Whether it asks for nothing but to be answered on a connection that stays."""
    return (
        message.version == HttpVersion11
        and not message.should_close
        and message.compression is None
        and not any(name in message.headers for name in _FRAMING)
    )
