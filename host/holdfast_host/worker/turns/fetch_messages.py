"""What of a fetch's request or response is looked at here: how long it may be, and whether its body is to follow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import LimitError
from holdfast_host.core.json_text import body_bytes_at_most
from holdfast_host.core.limits import KIB

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits

_HEAD_BYTES_MAX: Final = 512 * KIB  # of a response without its body: its headers as JSON, with all their escapes


def announces_body(response: bytes) -> bool:
    """Whether a response says that its body follows in pieces; `wit/instance.wit` has how."""
    if len(response) > _HEAD_BYTES_MAX or b'"body_follows"' not in response:
        return False
    try:
        facts = json.loads(response)
    except (ValueError, RecursionError):
        return False  # whoever takes it apart says what is wrong with it
    return isinstance(facts, dict) and facts.get("body_follows") is True


def check_fetch_message(message: bytes, limits: Limits, what: str) -> None:
    """Refuse a fetch's request or response whose body, or whose text as a whole, is too long.

    Args:
        message: its text, from a guest.
        limits: the host's.
        what: whose it is, for the error.

    Raises:
        LimitError: it is.
    """
    limit = limits.fetch_body_bytes_max
    if len(message) <= limit:  # no body is longer than its text
        return
    size = body_bytes_at_most(message)
    if size > limit:
        raise LimitError(f"{what} with a body of {size} bytes, the limit is {limit} bytes")
    if len(message) > limits.fetch_message_bytes_max:
        raise LimitError(
            f"{what} of {len(message)} bytes with its headers, the limit is {limits.fetch_message_bytes_max} bytes"
        )
