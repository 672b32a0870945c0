"""Idempotency keys, as they go from who calls to the receipt that is kept of the answer.

A key is 1 to 255 bytes of UTF-8. On its way it has its scope before it, one byte: keys of callers never meet those
that the host makes itself. Its instance is the rest of its scope, and no part of it here.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError

if TYPE_CHECKING:
    from holdfast_host.wire.calls.frames import Call

KEY_BYTES_MAX: Final = 255
CALLERS: Final = b"c"  # the scope of keys that callers and guests give
JOBS: Final = b"j"  # that of jobs' ids
REPLAYED: Final = 1 << 15  # in a REPLY's status: it is the kept answer of an earlier call

_DIGEST_BYTES: Final = 16


def scoped(key: bytes) -> bytes:
    """A caller's key with its scope.

    Raises:
        BadRequestError: it is empty or too long.
    """
    if not 1 <= len(key) <= KEY_BYTES_MAX:
        raise BadRequestError(f"an idempotency key of {len(key)} bytes: it has 1 to {KEY_BYTES_MAX} bytes")
    return CALLERS + key


def key_hash(key: bytes) -> bytes:
    """What a key with its scope is stored under: 16 bytes."""
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()


def fingerprint(call: Call) -> bytes:
    """What a call says, in 16 bytes: who comes with its key and another one does not mean the same call."""
    head = b"%d %d %d " % (call.kind, call.flags, len(call.method))
    return blake2b(head + call.method + call.body, digest_size=_DIGEST_BYTES).digest()
