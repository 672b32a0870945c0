"""Several calls that a guest makes at once: their text on the way in, and that of what became of them on the way out.

Arguments and results stand in both as JSON in its place, and pass through unread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from holdfast_host.core.errors import BadRequestError, HoldfastError, LimitError
from holdfast_host.core.limits import MIB

TEXT_BYTES_MAX: Final = 4 * MIB  # of all calls, and of all results: to read or to join more holds up all other turns
AT_ONCE_MAX: Final = 64  # in one text; `calls_at_once_max` may be less
_NOTHING: Final = msgspec.Raw(b"")


class GatheredCall(NamedTuple):
    """One of them."""

    target: tuple[str, str, str]  # binding, name, method
    arguments: bytes  # typed text, or empty
    key: bytes  # of idempotency; empty for none


class _Spelled(msgspec.Struct):
    binding: str
    name: str
    method: str
    arguments: msgspec.Raw = _NOTHING
    key: str | None = None


# An array that ends where there are too many: to read a hundred thousand of them only to count them would hold up all.
_ARRAY: Final = msgspec.defstruct(
    "_Array",
    [(f"call_{at}", _Spelled | msgspec.UnsetType, msgspec.UNSET) for at in range(AT_ONCE_MAX)],
    array_like=True,
    forbid_unknown_fields=True,
)
_DECODER: Final = msgspec.json.Decoder(_ARRAY)


def read_calls(text: bytes) -> list[GatheredCall]:
    """The calls that the text of `calls.call-many` says.

    Raises:
        LimitError: it is too long; none has been made.
        BadRequestError: it is something else, there are too many, or a key is empty.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise LimitError(
            f"calls of {len(text)} bytes at once, the limit is {TEXT_BYTES_MAX} bytes: make fewer at a time"
        )
    try:
        array = msgspec.structs.astuple(_DECODER.decode(text))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequestError(f"calls.call-many takes an array of calls: {error}") from None
    spelled = [each for each in array if isinstance(each, _Spelled)]
    for each in spelled:
        if each.key == "":
            raise BadRequestError("an idempotency key has 1 to 255 bytes, this one has none")
    return [
        GatheredCall((each.binding, each.name, each.method), bytes(each.arguments), (each.key or "").encode())
        for each in spelled
    ]


def write_outcomes(outcomes: Sequence[bytes | HoldfastError]) -> bytes:
    """What became of each, in their order: `{"result":...}` or `{"error":{...}}`.

    A result that does not fit any more beside those before it is a LimitError in its place.
    """
    left_bytes = TEXT_BYTES_MAX
    texts: list[bytes] = []
    for outcome in outcomes:
        if isinstance(outcome, HoldfastError):
            texts.append(b'{"error":%b}' % error_text(outcome))
        elif len(outcome) > left_bytes:
            refusal = LimitError(
                f"a result of {len(outcome)} bytes does not fit beside the others: the limit of all results of calls "
                f"made at once is {TEXT_BYTES_MAX} bytes; the call was made"
            )
            texts.append(b'{"error":%b}' % error_text(refusal))
        else:
            left_bytes -= len(outcome)
            texts.append(b'{"result":%b}' % outcome)
    return b"[%b]" % b",".join(texts)


def error_text(error: HoldfastError) -> bytes:
    """An error as the guest reads it: ASCII JSON."""
    facts = {**error.facts(), "code": error.code, "status": error.status}
    return json.dumps(facts, separators=(",", ":")).encode()
