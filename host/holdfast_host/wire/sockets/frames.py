"""Sockets, as fronts and workers speak of them: their numbers, and the frames and events that are about them.

A socket's number has its front's in the upper half, and a serial of that front in the lower; as text it is 16
hexadecimal digits. On a link to its front the serial says which one is meant, and a frame says whose it is: two
instances may have accepted one handshake. A frame's order on a link is the order of the turns that it comes from.

An event of a socket is a CALL of kind SOCKET: its method is the handler that is meant, its body says which socket and
what of it. It has a slot of its own (EVENT_SLOT). Its REPLY is 200 when it is over, whether the handler raised or not;
any other status says that the worker drains, and the sockets end with it.

The last frame that a turn has for a front carries the slot of the send page that says so, see wire.send_page.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from holdfast_host.wire.calls.frames import Kind, ProtocolError
from holdfast_host.wire.pages.send_page import NO_SLOT

ON_MESSAGE: Final = b"socket_message"
ON_CLOSE: Final = b"socket_close"
ON_ERROR: Final = b"socket_error"

# What closes a socket, besides what its two ends say to each other: RFC 6455 section 7.4.1, and its registry.
GOING_AWAY: Final = 1001  # its instance is erased, its type is not deployed any more
ABNORMAL: Final = 1006  # it broke; never on the wire
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012  # frames may be lost: come again
TRY_AGAIN_LATER: Final = 1013  # it is too slow

SERIAL_MAX: Final = 0xFFFFFFFF
_TEXT_CHARS: Final = 16
_HEX: Final = frozenset("0123456789abcdef")
_NONE: Final = 0xFFFFFFFF  # in place of the length of a text

_HEAD: Final = struct.Struct("<IB")
_MESSAGE: Final = struct.Struct("<QB")
_MESSAGE_BYTES: Final = _MESSAGE.size
_CLOSED: Final = struct.Struct("<QHB")
_OPEN: Final = struct.Struct("<QBIH")
_SEND: Final = struct.Struct("<HBHHI")
_CLOSE: Final = struct.Struct("<HHI")
_OWNER: Final = struct.Struct("<IH")
# Of a SEND to one socket, as most are: all that stands before its texts, with the frame's head and without.
_SEND_ONE: Final = struct.Struct("<IBHBHHIIIH")
_ONE: Final = struct.Struct("<HBHHIIIH")
_SEND_KIND: Final = int(Kind.SEND)
_AUTO: Final = struct.Struct("<HIH")
_SLOT_BYTES: Final = 2  # of these three the first
_EVENTS, _AGAIN = 1, 2  # flags of an OPEN
_LENGTH: Final = struct.Struct("<I")
_TAKEN: Final = struct.Struct("<Q")
_UNTOLD_SHARE: Final = 64


def socket_number(front: int, serial: int) -> int:
    """The number of a front's socket."""
    return front << 32 | serial


def front_of(socket: int) -> int:
    """The number of the front that holds it."""
    return socket >> 32


def serial_of(socket: int) -> int:
    """Which of its front's sockets it is."""
    return socket & SERIAL_MAX


def socket_text(socket: int) -> str:
    """A socket's number as guests and people read it."""
    return f"{socket:016x}"


def read_socket(text: str) -> int:
    """What `socket_text` wrote; 0, which no socket has, for anything else."""
    return int(text, 16) if len(text) == _TEXT_CHARS and _HEX.issuperset(text) else 0


# Events: the bodies of CALLs.


class Message(NamedTuple):
    """A client's message."""

    socket: int
    binary: bool
    data: bytes

    def pack(self) -> bytes:
        """The body of its CALL."""
        return _MESSAGE.pack(self.socket, self.binary) + self.data

    @classmethod
    def unpack(cls, body: bytes) -> Message:
        """What `pack` wrote; ProtocolError where it is too short."""
        try:
            socket, binary = _MESSAGE.unpack_from(body)
        except struct.error as error:
            raise ProtocolError(f"a socket's message of {len(body)} bytes") from error
        return cls(socket, binary != 0, body[_MESSAGE_BYTES:])


@dataclass(frozen=True, slots=True)
class Closed:
    """A socket is closed: by its client, its instance, or because it broke."""

    socket: int
    code: int
    clean: bool
    reason: str = ""

    def pack(self) -> bytes:
        """The body of its CALL."""
        return _CLOSED.pack(self.socket, self.code, self.clean) + self.reason.encode()

    @classmethod
    def unpack(cls, body: bytes) -> Closed:
        """What `pack` wrote; ProtocolError for anything else."""
        try:
            socket, code, clean = _CLOSED.unpack_from(body)
            return cls(socket, code, bool(clean), body[_CLOSED.size :].decode())
        except (struct.error, UnicodeDecodeError) as error:
            raise ProtocolError("a damaged close of a socket") from error


# Frames.


class SendKind(IntEnum):
    """What a SEND carries."""

    TEXT = 0
    BINARY = 1
    EVENT = 2  # to event streams


@dataclass(frozen=True, slots=True)
class Open:
    """The turn that accepted a socket has committed."""

    socket: int
    events: bool
    type_id: int
    name: bytes
    protocol: str = ""
    again: bool = False  # a predecessor may have said it

    def pack(self) -> bytes:
        """The whole frame."""
        payload = self.name + self.protocol.encode()
        flags = self.events * _EVENTS | self.again * _AGAIN
        head = _OPEN.pack(self.socket, flags, self.type_id, len(self.name))
        return _frame(Kind.OPEN, head, payload)

    @classmethod
    def unpack(cls, payload: bytes) -> Open:
        """What `pack` wrote, from the frame's payload; ProtocolError for anything else."""
        try:
            socket, flags, type_id, name_bytes = _OPEN.unpack_from(payload)
            name, at = _cut(payload, _OPEN.size, name_bytes)
            protocol = payload[at:].decode()
            return cls(socket, flags & _EVENTS != 0, type_id, name, protocol, flags & _AGAIN != 0)
        except (struct.error, UnicodeDecodeError) as error:
            raise ProtocolError("a damaged OPEN") from error


class Send(NamedTuple):
    """One message, to some of a front's sockets: in all of them it is the next one."""

    kind: int
    serials: tuple[int, ...]
    data: bytes
    event: bytes = b""
    event_id: bytes = b""
    type_id: int = 0  # of the instance, as its name
    name: bytes = b""
    slot: int = NO_SLOT

    def pack(self) -> bytes:
        """The whole frame."""
        return self.pack_for(self.serials, self.type_id, self.name, self.slot)

    def pack_for(self, serials: tuple[int, ...], type_id: int, name: bytes, slot: int) -> bytes:
        """The whole frame, with these in place of its own."""
        kind, data, event, event_id = self.kind, self.data, self.event, self.event_id
        event_n, id_n, name_n, count = len(event), len(event_id), len(name), len(serials)
        if count == 1:
            length = _ONE.size + 1 + name_n + event_n + id_n + len(data)
            head = _SEND_ONE.pack(length, _SEND_KIND, slot, kind, event_n, id_n, 1, serials[0], type_id, name_n)
            return b"".join((head, name, event, event_id, data))
        head = _SEND.pack(slot, kind, event_n, id_n, count)
        packed = struct.pack(f"<{count}I", *serials)
        return _frame(Kind.SEND, head, packed, _OWNER.pack(type_id, name_n), name, event, event_id, data)

    @classmethod
    def unpack(cls, payload: bytes) -> Send:
        """What `pack` wrote, from the frame's payload; ProtocolError for anything else."""
        try:
            slot, kind, event_n, id_n, count = _SEND.unpack_from(payload)
            if count == 1:
                _, _, _, _, _, serial, type_id, name_n = _ONE.unpack_from(payload)
                serials: tuple[int, ...] = (serial,)
                name_at = _ONE.size
            else:
                serials = struct.unpack_from(f"<{count}I", payload, _SEND.size)
                type_id, name_n = _OWNER.unpack_from(payload, _SEND.size + 4 * count)
                name_at = _SEND.size + 4 * count + _OWNER.size
        except struct.error as error:
            raise ProtocolError("a damaged SEND") from error
        event_at = name_at + name_n
        id_at = event_at + event_n
        data_at = id_at + id_n
        if data_at > len(payload):
            raise _too_short()
        name, event, event_id = payload[name_at:event_at], payload[event_at:id_at], payload[id_at:data_at]
        return cls(kind, serials, payload[data_at:], event, event_id, type_id, name, slot)


@dataclass(frozen=True, slots=True)
class Close:
    """The front is to close some of its sockets; what was sent to them before is written first."""

    code: int
    serials: tuple[int, ...]
    reason: str = ""
    type_id: int = 0  # of the instance, as its name
    name: bytes = b""
    slot: int = NO_SLOT

    def pack(self) -> bytes:
        """The whole frame."""
        count = len(self.serials)
        head = _CLOSE.pack(self.slot, self.code, count)
        owner = _OWNER.pack(self.type_id, len(self.name))
        serials = struct.pack(f"<{count}I", *self.serials)
        return _frame(Kind.CLOSE, head, serials, owner, self.name, self.reason.encode())

    @classmethod
    def unpack(cls, payload: bytes) -> Close:
        """What `pack` wrote, from the frame's payload; ProtocolError for anything else."""
        try:
            slot, code, count = _CLOSE.unpack_from(payload)
            serials = struct.unpack_from(f"<{count}I", payload, _CLOSE.size)
            type_id, name_bytes = _OWNER.unpack_from(payload, _CLOSE.size + 4 * count)
            name, at = _cut(payload, _CLOSE.size + 4 * count + _OWNER.size, name_bytes)
            return cls(code, serials, payload[at:].decode(), type_id, name, slot)
        except (struct.error, UnicodeDecodeError) as error:
            raise ProtocolError("a damaged CLOSE") from error


@dataclass(frozen=True, slots=True)
class Auto:
    """What the front answers to a text for an instance, which is not woken for it; `text` None: to none any more."""

    type_id: int
    name: bytes
    text: str | None
    answer: str = ""
    slot: int = NO_SLOT

    def pack(self) -> bytes:
        """The whole frame."""
        text = b"" if self.text is None else self.text.encode()
        length = _NONE if self.text is None else len(text)
        head = _AUTO.pack(self.slot, self.type_id, len(self.name))
        return _frame(Kind.AUTO, head, self.name, _LENGTH.pack(length), text, self.answer.encode())

    @classmethod
    def unpack(cls, payload: bytes) -> Auto:
        """What `pack` wrote, from the frame's payload; ProtocolError for anything else."""
        try:
            slot, type_id, name_bytes = _AUTO.unpack_from(payload)
            name, at = _cut(payload, _AUTO.size, name_bytes)
            (length,) = _LENGTH.unpack_from(payload, at)
            at += _LENGTH.size
            if length == _NONE:
                return cls(type_id, name, None, slot=slot)
            text, at = _cut(payload, at, length)
            return cls(type_id, name, text.decode(), payload[at:].decode(), slot)
        except (struct.error, UnicodeDecodeError) as error:
            raise ProtocolError("a damaged AUTO") from error


Frame = Open | Send | Close | Auto  # what a worker sends a front of sockets


def without_slot(frame: bytes) -> bytes:
    """A packed SEND, CLOSE or AUTO that does not say any more that all before it is there."""
    return b"".join((frame[: _HEAD.size], bytes(_SLOT_BYTES), frame[_HEAD.size + _SLOT_BYTES :]))


def untold_bytes_max(ahead_bytes: int) -> int:
    """How much of what it has taken a front may keep to itself, of what may be sent to it ahead of that.

    Both ends go by it, or one would wait for the other: the front tells more than that at once, and a worker that is no
    further ahead is as far as if all were taken.
    """
    return ahead_bytes // _UNTOLD_SHARE


def pack_taken(send_bytes: int) -> bytes:
    """A front's TAKEN: so many bytes of whole SEND frames has it handed on, or dropped, since the link began."""
    return _frame(Kind.TAKEN, _TAKEN.pack(send_bytes))


def unpack_taken(payload: bytes) -> int:
    """The bytes of a TAKEN; ProtocolError for anything else."""
    try:
        return int(_TAKEN.unpack(payload)[0])
    except struct.error as error:
        raise ProtocolError("a damaged TAKEN") from error


def _frame(kind: Kind, *parts: bytes) -> bytes:
    return b"".join((_HEAD.pack(sum(map(len, parts)) + 1, kind), *parts))


def _cut(payload: bytes, at: int, length: int) -> tuple[bytes, int]:
    """So many bytes from there, and where they end."""
    end = at + length
    if end > len(payload):
        raise _too_short()
    return payload[at:end], end


def _too_short() -> ProtocolError:
    return ProtocolError("a frame about sockets whose lengths are longer than itself")
