"""Event streams as WHATWG's HTML standard has them (server-sent events): what goes out, as bytes."""

from __future__ import annotations

import random
import re
from typing import Final

COMMENT: Final = b":\n\n"  # which clients pass over; proxies see that the stream is in use
RETRY_MS: Final = (1_000, 5_000)

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


def pack_retry() -> bytes:
    """How long the client waits before it connects again: another time for each, so that not all come at once."""
    return b"retry: %d\n\n" % random.randint(*RETRY_MS)  # noqa: S311 # spread, not secrecy


def pack_event(data: bytes, event: bytes = b"", event_id: bytes = b"") -> bytes:
    """One event.

    Args:
        data: UTF-8; each line of it goes as one, whatever ends it.
        event: its name, without line breaks; empty: clients call it `message`.
        event_id: what the client says when it connects again, without line breaks; empty: the one before stays.
    """
    fields = [b"id: %b\n" % event_id] if event_id else []
    if event:
        fields.append(b"event: %b\n" % event)
    if b"\n" in data or b"\r" in data:
        fields += [b"data: %b\n" % line for line in _LINE_END.split(data)]
    else:
        fields.append(b"data: %b\n" % data)
    fields.append(b"\n")
    return b"".join(fields)
