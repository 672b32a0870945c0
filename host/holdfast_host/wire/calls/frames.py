"""The frames that fronts and workers exchange over Unix sockets.

A frame is a little-endian `u32` length of what follows, a `u8` kind, and the kind's payload. Frames may be batched: one
write carries many, one read returns many and a part. Both sides are of one release; HELLO carries PROTOCOL so that a
left-over of another release is refused.

What does not live here: who sends what when (worker.client_connections, front.worker_link), and the state page.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final

from holdfast_host.wire.calls.trace_context import CONTEXT_BYTES

PROTOCOL: Final = 4
FRAME_BYTES_MAX: Final = 32 << 20


class Kind(IntEnum):
    """What a frame says. Client means a front, or a worker whose turn calls another actor."""

    HELLO = 1  # both ways, first: JSON with `protocol`. The client's also has `client` (front or worker) and `pid`, and
    # carries the state page's descriptor, and a front's those of wire.socket_pages; the worker's also has what it
    # opened, see wire.evidence
    CALL = 2  # client to worker: run a turn
    REPLY = 3  # worker to client: a slot's answer; frees the slot
    CANCEL = 4  # client to worker: nobody waits any more; only a turn that has not begun is dropped
    PROBE = 5  # between workers: who waits for whom
    CONFIRM = 6
    KILL = 7
    READ = 8  # client to worker: inspection; answered with a REPLY
    # Of sockets, see wire.sockets; worker to front but for TAKEN and SOCKETS:
    OPEN = 9  # the turn that accepted a socket has committed
    SEND = 10  # one message, to sockets of that front
    CLOSE = 11  # the front is to close these
    AUTO = 12  # what the front answers for an instance, or that it does not any more
    TAKEN = 13  # front to worker: how much of SEND it has handed on
    SOCKETS = 14  # front to worker, first on a link: which sockets are open, and which are closing and how


class CallKind(IntEnum):
    """What a CALL runs."""

    METHOD = 0
    FETCH = 1
    EDIT = 2  # the host's own: a change of storage from outside, as a turn
    ALARM = 3  # the worker's own, never sent: the handler of the instance's alarm
    FUNCTION = 4  # a function's fetch: the name is the function's, there is no type and no instance
    SOCKET = 5  # an event of a socket, which the method names; its slot has EVENT_SLOT set
    JOB = 6  # the worker's own, never sent: a job of the instance, or its `then`
    BODY = 8  # the next piece of what a FUNCTION has answered, see wire.function_bodies


class CallFlag(IntFlag):
    """How arguments and result are encoded, and what else the CALL carries."""

    TYPED_ARGUMENTS = 1
    TYPED_RESULT = 2
    KEYED = 4  # the body has an idempotency key before it, see wire.idempotency: its length as u16, and the key
    OFFER = 8  # a u64 stands before the body, behind the key: the socket that the turn may accept
    TRACED = 16  # a trace context stands before all of these, see wire.trace_context


# slot, type id, budget in ms, call kind, flags, lengths of name, method, origin; then these three and the body
_CALL: Final = struct.Struct("<IBIIIBBHHH")
_CALL_PAYLOAD: Final = struct.Struct("<IIIBBHHH")
_REPLY: Final = struct.Struct("<IBIH")
_REPLY_PAYLOAD: Final = struct.Struct("<IH")
_SLOT: Final = struct.Struct("<IBI")
_HEADER: Final = struct.Struct("<IB")
# Plain integers: to look a member of an enumeration or a size up costs more than to pack it.
_CALL_KIND: Final = int(Kind.CALL)
_SOCKET_KIND: Final = int(CallKind.SOCKET)
_REPLY_KIND, _REPLY_BYTES = int(Kind.REPLY), _REPLY_PAYLOAD.size + 1
_CALL_NAMES_AT: Final = _CALL_PAYLOAD.size
_SLOT_AT: Final = _HEADER.size
_KEYED: Final = int(CallFlag.KEYED)
_OFFER: Final = int(CallFlag.OFFER)
_TRACED: Final = int(CallFlag.TRACED)
_BEFORE_THE_BODY: Final = _KEYED | _OFFER | _TRACED
EVENT_SLOT: Final = 1 << 31  # in the slot of an event: it takes none of the calls' slots


class ProtocolError(Exception):
    """The other side sent what no release of ours sends; the link is closed."""


@dataclass(slots=True)
class Call:
    """One CALL, as the worker reads it."""

    slot: int
    type_id: int
    budget_ms: int
    kind: int
    flags: int
    name: bytes
    method: bytes
    origin: bytes  # JSON of the calling turn (its path, the number of its call), empty for a root call
    body: bytes
    key: bytes = b""  # of idempotency, with its scope; empty for none. `flags` is without KEYED here
    offer: int = 0  # the socket that it may accept; 0 for none. `flags` is without OFFER here
    trace: bytes = b""  # of wire.trace_context; empty for none. `flags` is without TRACED here


def pack_call(call: Call) -> bytes:
    """The whole frame."""
    name, method, origin, body = call.name, call.method, call.origin, call.body
    name_bytes, method_bytes, origin_bytes = len(name), len(method), len(origin)
    flags = call.flags
    if call.offer:
        flags |= _OFFER
        body = call.offer.to_bytes(8, "little") + body
    if call.key:
        flags |= _KEYED
        body = b"".join((len(call.key).to_bytes(2, "little"), call.key, body))
    if call.trace:
        flags |= _TRACED
        body = call.trace + body
    head = _CALL.pack(
        _CALL_NAMES_AT + name_bytes + method_bytes + origin_bytes + len(body) + 1,
        _CALL_KIND,
        call.slot,
        call.type_id,
        call.budget_ms,
        call.kind,
        flags,
        name_bytes,
        method_bytes,
        origin_bytes,
    )
    return b"".join((head, name, method, origin, body))


def with_slot(frame: bytes, slot: int) -> bytes:
    """A frame of `pack_call`'s, for another slot."""
    return b"".join((frame[:_SLOT_AT], slot.to_bytes(4, "little"), frame[_SLOT_AT + 4 :]))


def pack_event(slot: int, type_id: int, name: bytes, method: bytes, body: bytes) -> bytes:
    """The whole frame of a CALL of kind SOCKET, as `pack_call` has it: an event has nothing else to say."""
    name_bytes, method_bytes = len(name), len(method)
    length = _CALL_NAMES_AT + name_bytes + method_bytes + len(body) + 1
    head = _CALL.pack(length, _CALL_KIND, slot, type_id, 0, _SOCKET_KIND, 0, name_bytes, method_bytes, 0)
    return b"".join((head, name, method, body))


def unpack_call(payload: bytes) -> Call:
    """A CALL's payload; ProtocolError where its lengths do not add up."""
    try:
        slot, type_id, budget_ms, kind, flags, name_n, method_n, origin_n = _CALL_PAYLOAD.unpack_from(payload)
    except struct.error as error:
        raise ProtocolError(f"a CALL of {len(payload)} bytes") from error
    method_at = _CALL_NAMES_AT + name_n
    origin_at = method_at + method_n
    body_at = origin_at + origin_n
    if body_at > len(payload):
        raise ProtocolError("a CALL whose names are longer than itself")
    key, offer, trace = b"", 0, b""
    if flags & _BEFORE_THE_BODY:
        body_at, key, offer, trace = _unpack_further(payload, body_at, flags)
        flags &= ~_BEFORE_THE_BODY
    return Call(
        slot,
        type_id,
        budget_ms,
        kind,
        flags,
        payload[_CALL_NAMES_AT:method_at],
        payload[method_at:origin_at],
        payload[origin_at : origin_at + origin_n],
        payload[body_at:],
        key,
        offer,
        trace,
    )


def _unpack_further(payload: bytes, at: int, flags: int) -> tuple[int, bytes, int, bytes]:
    """What stands before a body: where that begins, key, offer and trace."""
    key, offer, trace = b"", 0, b""
    if flags & _TRACED:
        trace_at, at = at, at + CONTEXT_BYTES
        trace = payload[trace_at:at]
        if at > len(payload):
            raise ProtocolError("a CALL whose trace context is missing")
    if flags & _KEYED:
        key_at = at + 2
        at = key_at + int.from_bytes(payload[at:key_at], "little")
        key = payload[key_at:at]
        if not key or at > len(payload):
            raise ProtocolError("a CALL whose key is missing or longer than itself")
    if flags & _OFFER:
        offer_at, at = at, at + 8
        offer = int.from_bytes(payload[offer_at:at], "little")
        if not offer or at > len(payload):
            raise ProtocolError("a CALL whose offer of a socket is missing")
    return at, key, offer, trace


def pack_reply(slot: int, status: int, body: bytes) -> bytes:
    """A slot's answer: an HTTP status and the body as the caller will see it."""
    return _REPLY.pack(_REPLY_BYTES + len(body), _REPLY_KIND, slot, status) + body


def unpack_reply(payload: bytes) -> tuple[int, int, bytes]:
    """Slot, status, body; ProtocolError where it is too short for them."""
    try:
        slot, status = _REPLY_PAYLOAD.unpack_from(payload)
    except struct.error as error:
        raise ProtocolError(f"a REPLY of {len(payload)} bytes") from error
    return slot, status, payload[_REPLY_PAYLOAD.size :]


def pack_cancel(slot: int) -> bytes:
    """Nobody waits for this slot's answer any more; the REPLY comes all the same."""
    return _SLOT.pack(5, Kind.CANCEL, slot)


def unpack_slot(payload: bytes) -> int:
    """The slot of a CANCEL."""
    return int.from_bytes(payload[:4], "little")


def pack_read(slot: int, facts: dict[str, Any]) -> bytes:
    """A question; its answer is a REPLY. `facts` has `read`, which question it is, and what that one needs."""
    body = json.dumps(facts, separators=(",", ":")).encode()
    return _SLOT.pack(len(body) + 5, Kind.READ, slot) + body


def unpack_read(payload: bytes) -> tuple[int, dict[str, Any]]:
    """Slot and facts; ProtocolError where they are no JSON object."""
    return unpack_slot(payload), unpack_json(payload[4:])


def pack_json(kind: Kind, facts: dict[str, Any]) -> bytes:
    """A rare frame, whose payload is JSON."""
    body = json.dumps(facts, separators=(",", ":")).encode()
    return _HEADER.pack(len(body) + 1, kind) + body


def unpack_json(payload: bytes) -> dict[str, Any]:
    """The facts of a rare frame; ProtocolError where it is no JSON object."""
    try:
        facts = json.loads(payload)
    except ValueError as error:
        raise ProtocolError("a frame that should be JSON is not") from error
    if not isinstance(facts, dict):
        raise ProtocolError("a frame that should be a JSON object is not")
    return facts


class FrameReader:
    """Cuts what a socket gives into frames. A large frame is gathered in pieces: each byte is copied once or twice."""

    __slots__ = ("_missing_bytes", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._missing_bytes = 0  # at least so many, before the frame that has begun is whole

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are whole now; ProtocolError as `split`."""
        if len(data) < self._missing_bytes:
            self._missing_bytes -= len(data)
            self._pieces.append(data)
            return []
        if self._pieces:
            data = b"".join((*self._pieces, data))
            self._pieces.clear()
        frames, rest = split(data)
        self._missing_bytes = 0
        if rest:
            self._pieces.append(rest)
            if len(rest) >= _HEADER.size:
                self._missing_bytes = 4 + int.from_bytes(rest[:4], "little") - len(rest)
        return frames


def split(buffer: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames in a buffer, as (kind, payload), and the partial one at its end.

    Raises:
        ProtocolError: a length that no frame has.
    """
    frames: list[tuple[int, bytes]] = []
    offset, end = 0, len(buffer)
    while end - offset >= 5:
        length, kind = _HEADER.unpack_from(buffer, offset)
        if not 1 <= length <= FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {length} bytes")
        stop = offset + 4 + length
        if stop > end:
            break
        frames.append((kind, buffer[offset + 5 : stop]))
        offset = stop
    return frames, buffer[offset:] if offset else buffer
