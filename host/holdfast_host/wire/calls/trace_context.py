"""The W3C trace context of a call, packed: where in which trace it stands, and whether that is recorded.

Its rule is https://www.w3.org/TR/trace-context/; `tracestate`, which a vendor may leave out, is not passed on.

    trace id 16 bytes, span id 8 bytes, flags u8

What comes later and on its own (a job's call) is no part of its maker's trace: its context has LINK among the flags.
"""

from __future__ import annotations

import re
from typing import Final

CONTEXT_BYTES: Final = 25
NO_CONTEXT: Final = b""
SAMPLED: Final = 1
LINK: Final = 0x80  # ours, between processes alone: W3C has nothing there
_SPAN_AT, _FLAGS_AT = 16, 24
# No version ff, and no id of zeros alone. A later version may go on behind the flags, which this one does not read.
_FORM: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)


def pack_context(trace_id: bytes, span_id: bytes, *, sampled: bool) -> bytes:
    """The context of a span."""
    return b"%b%b%c" % (trace_id, span_id, SAMPLED if sampled else 0)


def read_traceparent(text: str) -> bytes:
    """The context that a `traceparent` says; NO_CONTEXT for what breaks the rule, which then counts as absent."""
    found = _FORM.fullmatch(text)
    if found is None or (found[1] == "00" and found[5] is not None):
        return NO_CONTEXT
    return bytes.fromhex(found[2] + found[3] + f"{int(found[4], 16) & SAMPLED:02x}")


def traceparent_of(context: bytes) -> str:
    """The header for what is asked from there."""
    return f"00-{context[:_SPAN_AT].hex()}-{context[_SPAN_AT:_FLAGS_AT].hex()}-{context[_FLAGS_AT] & SAMPLED:02x}"


def as_link(context: bytes) -> bytes:
    """The same, of what is begun later and on its own."""
    return context[:_FLAGS_AT] + bytes((context[_FLAGS_AT] | LINK,))


def is_link(context: bytes) -> bool:
    """Whether it says what a turn was begun by, and not what it is a part of."""
    return context[_FLAGS_AT] & LINK != 0


def is_sampled(context: bytes) -> bool:
    """Whether its span is recorded."""
    return context[_FLAGS_AT] & SAMPLED != 0


def trace_id_of(context: bytes) -> bytes:
    """Its trace, 16 bytes."""
    return context[:_SPAN_AT]


def span_id_of(context: bytes) -> bytes:
    """Its span, 8 bytes."""
    return context[_SPAN_AT:_FLAGS_AT]
