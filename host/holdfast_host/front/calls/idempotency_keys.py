"""The `Idempotency-Key` header of a call, and how an answer says that it was given before.

A key is bare (`order-17`) or, as the draft of the IETF has it, in quotes (`"order-17"`): both name the same call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError
from holdfast_host.wire.calls.idempotency import CALLERS, KEY_BYTES_MAX

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

HEADER: Final = "Idempotency-Key"
REPLAYED_LINE: Final = b"Idempotency-Replayed: true\r\n"

# By bytes, and the bare ones first: that is how a head that is known brings them, with each call.
_BARE: Final = re.compile(rb"[!#-~](?:[ -~]*[!-~])?")
_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPE: Final = re.compile(rb'\\(["\\])')


def key_of(headers: CIMultiDictProxy[str]) -> bytes:
    """The key of a request, with its scope; empty where it has none.

    Raises:
        BadRequestError: there are several, or it is not 1 to 255 printable characters of ASCII.
    """
    if HEADER not in headers:
        return b""
    values = headers.getall(HEADER)
    if len(values) > 1:
        raise BadRequestError(f"{len(values)} {HEADER} headers: a call has one key")
    key = read_key(values[0].encode("utf-8", "surrogateescape"))
    if key is None:
        shown = ascii(values[0][:40])
        raise BadRequestError(
            f"{HEADER}: {shown} is no key: it is 1 to {KEY_BYTES_MAX} printable ASCII characters, as they are or in "
            'double quotes, where \\" and \\\\ stand for " and \\'
        )
    return key


def read_key(value: bytes) -> bytes | None:
    """The key that the header's value says, with its scope; None where it says none."""
    value = value.strip(b" \t")
    if not _BARE.fullmatch(value):
        quoted = _QUOTED.fullmatch(value)
        if quoted is None:
            return None
        value = _ESCAPE.sub(rb"\1", quoted[1])
    return CALLERS + value if 1 <= len(value) <= KEY_BYTES_MAX else None
