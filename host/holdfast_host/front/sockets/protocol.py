"""The server's side of the WebSocket protocol (RFC 6455), without a socket: what came becomes events, what goes frames.

Strict: what the RFC lets an endpoint fail fails the connection, as soon as the bytes that show it are here. No
extension is known, so every reserved bit is a violation.

What does not live here: the handshake, when to ping, and how long to wait for anybody.
"""

from __future__ import annotations

import codecs
import struct
from typing import Final, NamedTuple

from holdfast_host.core.limits import MIB

MESSAGE_BYTES_MAX: Final = MIB

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005  # these two are never sent: no close frame said why, and no close frame came at all
ABNORMAL: Final = 1006
NOT_UTF8: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
RESTART: Final = 1012
TRY_AGAIN: Final = 1013

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_OPCODES: Final = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG})
_FIN, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_LENGTH_16, _LENGTH_64 = 126, 127
_MASK_BYTES: Final = 4
_LEAST_BYTES: Final = 2 + _MASK_BYTES  # of a client's frame: its head
_CONTROL_BYTES_MAX: Final = 125
_REASON_BYTES_MAX: Final = _CONTROL_BYTES_MAX - 2
_SHORT: Final = struct.Struct(">BBH")
_LONG: Final = struct.Struct(">BBQ")


class Message(NamedTuple):
    """A whole message; of a text one, `payload` is valid UTF-8."""

    payload: bytes
    binary: bool


class Ping(NamedTuple):
    """To be answered with a pong of the same payload."""

    payload: bytes


class Pong(NamedTuple):
    """The answer to a ping of ours, or a sign of life that nobody asked for."""

    payload: bytes


class Closed(NamedTuple):
    """The client's close frame: to be answered with one, and nothing comes after it."""

    code: int  # NO_STATUS where it said none
    reason: str


class Violation(NamedTuple):
    """The client broke a rule or a limit: it is told so in a close frame, and nothing of it is read any more."""

    code: int
    reason: str


class Part(NamedTuple):
    """So many frames came of a message that is not whole; there may be more here, while other clients wait."""

    frames: int


Event = Message | Ping | Pong | Closed | Violation | Part

PARTS_MAX: Final = 256  # in one go


class _Unfinished:
    """A message, or a frame of one, of which a part is here. Most sockets have none most of the time."""

    __slots__ = ("binary", "decoder", "final", "left_bytes", "mask", "payload")

    def __init__(self, binary: bool) -> None:
        self.binary = binary
        self.payload = bytearray()
        self.decoder = None if binary else codecs.getincrementaldecoder("utf-8")()
        self.final = False  # of the frame that has begun
        self.left_bytes = 0  # that the frame still lacks
        self.mask = b""  # of the next byte on

    def add(self, masked: bytes) -> bool:
        """Take the frame's next bytes; False where they show that a text is no UTF-8."""
        piece = unmask(masked, self.mask)
        self.left_bytes -= len(piece)
        turn = len(piece) % _MASK_BYTES
        self.mask = self.mask[turn:] + self.mask[:turn]
        self.payload += piece
        if self.decoder is None:
            return True
        try:
            self.decoder.decode(piece, self.final and not self.left_bytes)
        except UnicodeDecodeError:
            return False
        return True


class MessageReader:
    """What comes from one client. Lives as long as its socket; has no thread of its own.

    Bytes go in by `feed`, and come out as events one by one, each when it is asked for: what is not asked for stays
    in memory as it came. After a Closed or a Violation there is nothing more.
    """

    __slots__ = ("_at", "_bytes_max", "_data", "_ended", "_unfinished")

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._bytes_max = message_bytes_max
        self._data = b""
        self._at = 0  # where in it the next frame, or the rest of one, begins
        self._unfinished: _Unfinished | None = None
        self._ended = False

    @property
    def held_bytes(self) -> int:
        """What lies in memory of what has come."""
        unfinished = self._unfinished
        return len(self._data) + (0 if unfinished is None else len(unfinished.payload))

    @property
    def has_more(self) -> bool:
        """Whether something has come that `next` has not looked at."""
        return self._at < len(self._data)

    def read_whole(self, data: bytes) -> Message | None:
        """The message that these bytes are, no more and no less, where nothing else is here; None: `feed` them."""
        came = len(data)
        if came < _LEAST_BYTES or self._data or self._unfinished is not None or self._ended:
            return None
        opcode, length, at = data[0] & ~_FIN, data[1] & _LENGTH, _LEAST_BYTES
        if length == _LENGTH_16:
            at += 2
            length = int.from_bytes(data[2:4], "big")
            if length < _LENGTH_16:
                return None
        elif length == _LENGTH_64:
            return None  # it is of no message, but of what says its length
        if came != at + length or data[0] < _FIN or data[1] < _MASKED or not _TEXT <= opcode <= _BINARY:
            return None
        if length > self._bytes_max:
            return None
        payload = unmask(data[at:], data[at - _MASK_BYTES : at])
        if opcode == _TEXT and not _is_text(payload):
            return None
        return Message(payload, opcode == _BINARY)

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if not self._ended:
            self._data = self._data[self._at :] + data if self._at < len(self._data) else data
            self._at = 0

    def next(self) -> Event | None:
        """The next event; None until more has come."""
        for _ in range(PARTS_MAX):
            if self._ended:
                return None
            unfinished = self._unfinished
            if unfinished is not None and unfinished.left_bytes:
                if not self._continue(unfinished):
                    return self._violation(NOT_UTF8, "a text is not UTF-8")
                if unfinished.left_bytes:
                    return None
                if not unfinished.final:
                    continue
                self._unfinished = None
                return Message(bytes(unfinished.payload), unfinished.binary)
            read = self._frame()
            if not isinstance(read, bool):
                return read
            if not read:
                return None
        return Part(PARTS_MAX)

    def _continue(self, unfinished: _Unfinished) -> bool:
        piece = self._data[self._at : self._at + unfinished.left_bytes]
        self._advance(len(piece))
        return unfinished.add(piece)

    def _frame(self) -> Event | bool:
        """What the next frame is: an event, or True where it is begun or was but a part, False where more must come."""
        data, at = self._data, self._at
        came = len(data) - at
        if came < 2:
            return False
        first, second = data[at], data[at + 1]
        opcode, length = first & _OPCODE, second & _LENGTH
        wrong = self._misfit(first, second, opcode, length)
        if wrong:
            return self._violation(PROTOCOL_ERROR, wrong)
        head = 2
        if length >= _LENGTH_16:
            head = 4 if length == _LENGTH_16 else 10
            if came < head:
                return False
            least = _LENGTH_16 if length == _LENGTH_16 else 1 << 16
            length = int.from_bytes(data[at + 2 : at + head], "big")
            if length < least:
                return self._violation(PROTOCOL_ERROR, "a length is not written in the fewest bytes")
            if length >> 63:
                return self._violation(PROTOCOL_ERROR, "the first bit of a length is set")
        if opcode < _CLOSE and self._is_too_big(length):
            return self._violation(TOO_BIG, f"a message has at most {self._bytes_max} bytes")
        head += _MASK_BYTES
        if came < head:
            return False
        at += head
        mask = data[at - _MASK_BYTES : at]
        if came < head + length:
            if opcode >= _CLOSE:
                return False  # it is short: its bytes can wait here
            self._begin(opcode, first, length, mask, at)
            return True
        self._advance(head + length)
        payload = unmask(data[at : at + length], mask) if length else b""
        if opcode >= _CLOSE:
            return self._control(opcode, payload)
        if first & _FIN and self._unfinished is None:
            return self._whole(opcode, payload)
        return self._part(opcode, first, payload)

    def _misfit(self, first: int, second: int, opcode: int, length: int) -> str:
        """What is wrong with the first two bytes of a frame, in words; empty where nothing is."""
        if first & _RESERVED:
            return "a reserved bit is set"
        if opcode not in _OPCODES:
            return f"the opcode {opcode} is reserved"
        if not second & _MASKED:
            return "a client's frames are masked"
        if opcode >= _CLOSE:
            if not first & _FIN:
                return "a control frame is never fragmented"
            return "a control frame has at most 125 bytes" if length > _CONTROL_BYTES_MAX else ""
        if (opcode == _CONTINUATION) != (self._unfinished is not None):
            return "a message goes on that has not begun" if opcode == 0 else "a message begins before another's end"
        return ""

    def _is_too_big(self, length: int) -> bool:
        before = 0 if self._unfinished is None else len(self._unfinished.payload)
        return before + length > self._bytes_max

    def _begin(self, opcode: int, first: int, length: int, mask: bytes, at: int) -> None:
        """A data frame whose end is not here; its payload begins at `at`."""
        unfinished = self._unfinished
        if unfinished is None:
            unfinished = self._unfinished = _Unfinished(opcode == _BINARY)
        unfinished.final, unfinished.left_bytes, unfinished.mask = bool(first & _FIN), length, mask
        self._advance(at - self._at)

    def _whole(self, opcode: int, payload: bytes) -> Event:
        if opcode == _TEXT and not _is_text(payload):
            return self._violation(NOT_UTF8, "a text is not UTF-8")
        return Message(payload, opcode == _BINARY)

    def _part(self, opcode: int, first: int, payload: bytes) -> Event | bool:
        """A whole frame of a message that has several."""
        unfinished = self._unfinished
        if unfinished is None:
            unfinished = self._unfinished = _Unfinished(opcode == _BINARY)
        unfinished.final, unfinished.left_bytes, unfinished.mask = bool(first & _FIN), len(payload), _UNMASKED
        if not unfinished.add(payload):
            return self._violation(NOT_UTF8, "a text is not UTF-8")
        if not unfinished.final:
            return True
        self._unfinished = None
        return Message(bytes(unfinished.payload), unfinished.binary)

    def _control(self, opcode: int, payload: bytes) -> Event:
        if opcode != _CLOSE:
            return Ping(payload) if opcode == _PING else Pong(payload)
        if not payload:
            self._end()
            return Closed(NO_STATUS, "")
        code = int.from_bytes(payload[:2], "big")
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            return self._violation(NOT_UTF8, "the reason of a close frame is not UTF-8")
        if len(payload) < 2 or not may_be_said(code):
            return self._violation(PROTOCOL_ERROR, "a close frame says a code that none may say")
        self._end()
        return Closed(code, reason)

    def _advance(self, count: int) -> None:
        self._at += count
        if self._at == len(self._data):
            self._data, self._at = b"", 0

    def _violation(self, code: int, reason: str) -> Violation:
        self._end()
        return Violation(code, reason)

    def _end(self) -> None:
        self._ended = True
        self._data, self._at, self._unfinished = b"", 0, None


_UNMASKED: Final = bytes(_MASK_BYTES)


def _is_text(payload: bytes) -> bool:
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            return False
    return True


def unmask(data: bytes, mask: bytes) -> bytes:
    """The bytes under a mask of four, which begins with the first of them."""
    count = len(data)
    if mask == _UNMASKED:
        return data
    stretched = (mask * (count // _MASK_BYTES + 1))[:count]
    return (int.from_bytes(data, "little") ^ int.from_bytes(stretched, "little")).to_bytes(count, "little")


def may_be_said(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455, section 7.4, and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def pack_message(payload: bytes, *, binary: bool) -> bytes:
    """One message as one frame."""
    return _pack(_BINARY if binary else _TEXT, payload)


def pack_ping() -> bytes:
    """A ping without payload."""
    return _pack(_PING, b"")


def pack_pong(payload: bytes) -> bytes:
    """The answer to a ping."""
    return _pack(_PONG, payload)


def pack_close(code: int, reason: str = "") -> bytes:
    """A close frame; without a payload for NO_STATUS. A reason that is too long is cut between two characters."""
    if code == NO_STATUS:
        return _pack(_CLOSE, b"")
    text = reason.encode("utf-8", "replace")[:_REASON_BYTES_MAX].decode("utf-8", "ignore").encode()
    return _pack(_CLOSE, code.to_bytes(2, "big") + text)


def _pack(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < _LENGTH_16:
        return bytes((_FIN | opcode, length)) + payload
    if length < 1 << 16:
        return _SHORT.pack(_FIN | opcode, _LENGTH_16, length) + payload
    return _LONG.pack(_FIN | opcode, _LENGTH_64, length) + payload
