"""The receipts of idempotency keys, as a real host keeps them with an instance.

Here one is gone as soon as its day is over; a real host may answer from it for a while longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdfast._calls import KEY_BYTES_MAX
from holdfast.testing._failures import RefusedError

RECEIPT_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """What a call under a key says, to tell it from another one.

    Attributes:
        key: As the caller gave it.
        says: Method, encoding and arguments.
    """

    key: str
    says: tuple[str, str, bool, bool]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer that is kept of such a call."""

    says: tuple[str, str, bool, bool]
    result: str
    expires_us: int


def checked_key(key: str) -> str:
    """The key, or RefusedError for one that is none."""
    size = len(key.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= KEY_BYTES_MAX:
        text = f"an idempotency key of {size} bytes: it has 1 to {KEY_BYTES_MAX} bytes"
        raise RefusedError("BadRequestError", text)
    return key


def kept_result(receipts: dict[str, Receipt], call: KeyedCall, label: str, now_us: int) -> str | None:
    """What was answered under the key; None where nothing is kept. RefusedError where that was another call."""
    found = receipts.get(call.key)
    if found is None:
        return None
    if now_us >= found.expires_us:
        del receipts[call.key]
        return None
    if found.says != call.says:
        text = (
            f"{label}.{call.says[0]}: the idempotency key {call.key!r} was used for another call of this instance, "
            "with another method, encoding or body: each call needs a key of its own"
        )
        raise RefusedError("IdempotencyConflictError", text)
    return found.result
