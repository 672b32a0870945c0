"""How long a fetch's request or response may be, with its body and its headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.core.errors import LimitError
from holdfast_host.core.json_text import body_bytes_at_most

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits


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
