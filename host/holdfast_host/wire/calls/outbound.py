"""The frames between a worker and the courier, over a Unix socket that the supervisor listens on.

They are cut as all frames are (`wire.frames.FrameReader`). There is no state page: what a worker writes waits in the
listener's backlog until there is a courier, and whatever the courier had taken when it died has an unknown outcome.
Both are of one release; HELLO carries PROTOCOL, so that a mix is refused by name.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from holdfast_host.wire.calls.frames import PROTOCOL, ProtocolError
from holdfast_host.wire.calls.trace_context import CONTEXT_BYTES


class OutboundKind(IntEnum):
    """What a frame says."""

    ASK = 1  # worker to courier: send a request for a function
    CANCEL = 2  # worker to courier: nobody waits any more
    ANSWER = 3  # courier to worker: once for each ASK, OPEN and READ that was not cancelled
    HELLO = 4  # both ways, first: who writes is there, and speaks PROTOCOL
    OPEN = 5  # worker to courier: as ASK, but its answer is the head; the body is read under its serial until a CANCEL
    READ = 6  # worker to courier: a piece of such a body; the next one only after its ANSWER
    FOLLOW = 7  # worker to courier: of the answer to a job's request, the piece after so many that are committed
    FORGET = 8  # worker to courier: what there is of the answer to this job's request is nobody's


# length, kind, serial, budget in ms, lengths of the function's name and of a trace context; then both, and the request
_ASK: Final = struct.Struct("<IBIIHB")
_ASK_PAYLOAD: Final = struct.Struct("<IIHB")
_ANSWER: Final = struct.Struct("<IBIH")  # length, kind, serial, status
_ANSWER_PAYLOAD: Final = struct.Struct("<IH")
_HEAD: Final = struct.Struct("<IB")
_HELLO: Final = struct.Struct("<IBH")
_HELLO_PAYLOAD: Final = struct.Struct("<H")
_CANCEL: Final = struct.Struct("<IBI")
_READ: Final = struct.Struct("<IBIII")  # length, kind, serial, bytes at most, budget in ms
_READ_PAYLOAD: Final = struct.Struct("<III")
_FOLLOWED: Final = struct.Struct(
    "<16sI"
)  # of a FOLLOW, before what an ASK has: the job's id, pieces that are committed
_FORGET: Final = struct.Struct("<IB16s")

PIECE: Final = b'{"form":'  # the ANSWER of a FOLLOW begins so where more follows; else it is the whole, as an ASK's


@dataclass(slots=True)
class Ask:
    """One request of a function, as its guest wrote it; `serial` is its worker's number for it."""

    serial: int
    budget_ms: int
    function: str
    request: bytes
    streams: bool = False  # an OPEN
    job: bytes = b""  # a FOLLOW: whose request it is,
    after: int = 0  # and how many pieces of its answer are committed; past the first there is no request any more
    trace: bytes = b""  # of wire.trace_context; empty for none


@dataclass(frozen=True, slots=True)
class Read:
    """What is read of an answer that streams; `serial` is that of its OPEN."""

    serial: int
    bytes_max: int
    budget_ms: int


def pack_ask(ask: Ask) -> bytes:
    """The whole frame."""
    name = ask.function.encode()
    size = _ASK_PAYLOAD.size + 1 + len(name) + len(ask.trace) + len(ask.request)
    kind = OutboundKind.OPEN if ask.streams else OutboundKind.ASK
    head = _ASK.pack(size, kind, ask.serial, ask.budget_ms, len(name), len(ask.trace))
    return b"".join((head, name, ask.trace, ask.request))


def pack_follow(ask: Ask) -> bytes:
    """The whole frame of a FOLLOW."""
    name = ask.function.encode()
    payload = _ASK_PAYLOAD.pack(ask.serial, ask.budget_ms, len(name), len(ask.trace))
    asked = b"".join((payload, name, ask.trace, ask.request))
    head = _HEAD.pack(1 + _FOLLOWED.size + len(asked), OutboundKind.FOLLOW)
    return b"".join((head, _FOLLOWED.pack(ask.job, ask.after), asked))


def unpack_follow(payload: bytes) -> Ask:
    """The payload of a FOLLOW; ProtocolError where its lengths do not add up."""
    try:
        job, after = _FOLLOWED.unpack_from(payload)
    except struct.error as error:
        raise ProtocolError(f"a FOLLOW of {len(payload)} bytes") from error
    return replace(unpack_ask(payload[_FOLLOWED.size :]), job=job, after=after)


def pack_forget(job: bytes) -> bytes:
    """Nobody follows the answer to this job's request any more."""
    return _FORGET.pack(17, OutboundKind.FORGET, job)


def unpack_forget(payload: bytes) -> bytes:
    """The job's id of a FORGET."""
    return payload[:16]


def unpack_ask(payload: bytes, *, streams: bool = False) -> Ask:
    """The payload of an ASK or an OPEN; ProtocolError where its lengths do not add up."""
    try:
        serial, budget_ms, name_bytes, trace_bytes = _ASK_PAYLOAD.unpack_from(payload)
    except struct.error as error:
        raise ProtocolError(f"an ASK of {len(payload)} bytes") from error
    trace_at = _ASK_PAYLOAD.size + name_bytes
    at = trace_at + trace_bytes
    if at > len(payload) or trace_bytes not in {0, CONTEXT_BYTES}:
        raise ProtocolError("an ASK whose name or trace context is longer than itself")
    name = payload[_ASK_PAYLOAD.size : trace_at].decode()
    return Ask(serial, budget_ms, name, payload[at:], streams, trace=payload[trace_at:at])


def pack_answer(serial: int, status: int, body: bytes) -> bytes:
    """200 and a response, a head or a piece, as a guest reads it; or an error's status and `HoldfastError.to_json`."""
    return _ANSWER.pack(_ANSWER_PAYLOAD.size + 1 + len(body), OutboundKind.ANSWER, serial, status) + body


def unpack_answer(payload: bytes) -> tuple[int, int, bytes]:
    """Serial, status, body; ProtocolError where it is too short for them."""
    try:
        serial, status = _ANSWER_PAYLOAD.unpack_from(payload)
    except struct.error as error:
        raise ProtocolError(f"an ANSWER of {len(payload)} bytes") from error
    return serial, status, payload[_ANSWER_PAYLOAD.size :]


def pack_hello() -> bytes:
    """The first frame of either."""
    return _HELLO.pack(1 + _HELLO_PAYLOAD.size, OutboundKind.HELLO, PROTOCOL)


def check_hello(kind: int, payload: bytes) -> None:
    """The other's first frame, which must be its HELLO and of our protocol.

    Raises:
        ProtocolError: it is not.
    """
    if kind != OutboundKind.HELLO:
        raise ProtocolError(f"a frame of kind {kind} before a HELLO: the other end is of another release")
    if payload != _HELLO_PAYLOAD.pack(PROTOCOL):
        spoken = int.from_bytes(payload, "little") or "without a number"
        raise ProtocolError(f"the other end speaks protocol {spoken}, we speak {PROTOCOL}")


def pack_cancel(serial: int) -> bytes:
    """Nobody waits for this one any more; there is no answer then, or it is on its way already."""
    return _CANCEL.pack(5, OutboundKind.CANCEL, serial)


def unpack_cancel(payload: bytes) -> int:
    """The serial of a CANCEL."""
    return int.from_bytes(payload[:4], "little")


def pack_read(read: Read) -> bytes:
    """The whole frame."""
    return _READ.pack(_READ_PAYLOAD.size + 1, OutboundKind.READ, read.serial, read.bytes_max, read.budget_ms)


def unpack_read(payload: bytes) -> Read:
    """A READ's payload; ProtocolError where it is none."""
    try:
        return Read(*_READ_PAYLOAD.unpack(payload))
    except struct.error as error:
        raise ProtocolError(f"a READ of {len(payload)} bytes") from error
