"""What is noted of a span until it is made: plain data, which the leader fills in and the exporting thread reads."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from holdfast_host.core.json_text import BEFORE_LONG_BODY_BYTES_MAX, LONG_BODY
from holdfast_host.core.limits import KIB

_HEAD_BYTES_MAX: Final = 16 * KIB  # of a message's text, without its body: a longer one is not kept for a span

SERVER, CLIENT, INTERNAL, CONSUMER = "server", "client", "internal", "consumer"


class Part(NamedTuple):
    """A stretch of a span; by the monotonic clock."""

    name: str
    began_at: float
    ended_at: float


class SpanRecord(NamedTuple):
    """One span that is over."""

    name: str
    kind: str
    context: bytes  # its own, of wire.trace_context
    parent: bytes  # the span that it is a part of; empty for a root
    link: bytes  # the context of what it was begun by, and is no part of; empty for none
    began_at: float  # by the monotonic clock, as `ended_at`
    ended_at: float
    error: str  # the name of the error that it ended with; empty for none
    attributes: dict[str, str | int | bool]
    parts: tuple[Part, ...] = ()
    request: bytes = b""  # of HTTP: the message as text, without its body
    response: bytes = b""  # the beginning of its answer


class SpanSink(Protocol):
    """Who decides which spans are recorded, and takes them. Any thread; returns at once."""

    def is_sampled(self, parent: bytes, trace_id: bytes) -> bool:
        """Whether a span of that trace is to be recorded, by its parent's context, which may be empty."""

    def offer(self, record: SpanRecord) -> None:
        """Take a span, or drop it and count that where too many wait."""


def head_of(message: bytes) -> bytes:
    """The text of a request without its body; empty where it is too long to be kept."""
    if len(message) <= _HEAD_BYTES_MAX:
        return message
    found = LONG_BODY.search(message, 0, min(BEFORE_LONG_BODY_BYTES_MAX, _HEAD_BYTES_MAX))
    return b"" if found is None else message[: found.start()].removesuffix(b",") + b"}"
