"""The receipts of idempotency keys: how they are written, when they expire, and how the expired ones go.

A receipt answers until it is swept, and it is swept when it has expired: never early, so that no key takes effect
twice. What tells when is the wall clock, which may jump; so nothing is swept for an hour after the store was opened, or
after that clock moved against the monotonic one: as long as a clock that is wrong usually takes to be put right.

Like garbage they are swept a piece at a time, by weight, with the groups and between them; see lmdb.garbage.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from holdfast_host.core.clock import Clock
from holdfast_host.core.limits import KIB
from holdfast_host.storage.lmdb.keys import (
    EXPIRY_FIRST,
    PREFIX_BYTES,
    expires_of,
    expiry_key,
    pack_index_row,
    pack_receipt,
    receipt_prefix,
    unpack_expiry_key,
    unpack_index_row,
)
from holdfast_host.storage.store import Receipt, StoredInstance

QUIET_S: Final = 3600.0
_JUMP_S: Final = 60.0  # what the two clocks may drift apart between two looks; a clock that is set moves further
_LOOK_S: Final = 1.0  # between looks at the wall clock
_AGAIN_S: Final = 1.0  # after a sweep that found no room
HASH_BYTES: Final = 16


class Expiry:
    """When the receipts of one partition may be swept. The thread's that commits, but for `is_due`."""

    def __init__(self, clock: Clock, first_s: int | None) -> None:
        """`first_s`: when the first of them expires, in Unix seconds; None where there is none."""
        self.first_s = first_s
        self._clock = clock
        self._look_at = 0.0  # nothing is due before that, by the monotonic clock
        self._not_before = clock.monotonic() + QUIET_S
        self._apart_s = clock.wall_us() / 1e6 - clock.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether there is something to sweep, and the clock can be believed; any thread. Asked in every round."""
        first_s = self.first_s
        if first_s is None:
            return False
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        if self.now_s() >= first_s:
            return True
        self._look_at = now + _LOOK_S
        return False

    def now_s(self) -> int:
        """Up to when receipts have expired, in Unix seconds; 0 while the clock is not to be believed; any thread."""
        now, wall_s = self._clock.monotonic(), self._clock.wall_us() / 1e6
        if abs(wall_s - now - self._apart_s) > _JUMP_S:
            self._not_before = now + QUIET_S
        self._apart_s = wall_s - now
        return int(wall_s) if now >= self._not_before else 0

    def put_off(self) -> None:
        """There was no room to delete in."""
        self._not_before = max(self._not_before, self._clock.monotonic() + _AGAIN_S)

    def note(self, expires_s: int) -> None:
        """A receipt that expires then was committed."""
        if self.first_s is None or expires_s < self.first_s:
            self.first_s = expires_s


class Owner(NamedTuple):
    """Whose a receipt is: an instance, and the number that it has as long as it is not erased."""

    type_id: int
    name: bytes
    number: int


def first_expiry(txn: Any) -> int | None:
    """When the first receipt expires, in Unix seconds; None where there is none."""
    with txn.cursor() as cursor:
        if not cursor.set_range(EXPIRY_FIRST) or bytes(cursor.key()[:1]) != EXPIRY_FIRST:
            return None
        return unpack_expiry_key(cursor.key())[0]


def write_receipt(txn: Any, instance: StoredInstance, number: int, key_hash: bytes, receipt: Receipt) -> int:
    """Keep it; by how many bytes that lets the instance grow, which may be less than none.

    The rows are those of `number`, which is or will be the instance's.
    """
    row = pack_receipt(receipt)
    old = txn.replace(receipt_prefix(number) + key_hash, row)
    grown = len(row)
    if old is None:
        grown += HASH_BYTES
    else:
        grown -= len(old)
        txn.delete(expiry_key(expires_of(old), number, key_hash))
    txn.put(expiry_key(receipt.expires_s, number, key_hash), pack_index_row(instance.type_id, instance.name))
    return grown


def delete_receipts(txn: Any, number: int, rows_max: int) -> int:
    """Delete receipts of a number with their expiry rows, about so many at most; how many those were, by weight."""
    prefix = receipt_prefix(number)
    rows = 0
    with txn.cursor() as cursor:
        while rows < rows_max and cursor.set_range(prefix) and bytes(cursor.key()[: len(prefix)]) == prefix:
            key, value = bytes(cursor.key()), cursor.value()
            rows += 1 + len(value) // KIB
            expires_s = expires_of(value)
            txn.delete(key)
            txn.delete(expiry_key(expires_s, number, key[PREFIX_BYTES:]))
    return rows


def sweep_expired(txn: Any, now_s: int, rows_max: int) -> dict[Owner, int]:
    """Delete about so many expired receipts; how many bytes that took from whom.

    The name rows are left as they are: see lmdb.commits.
    """
    taken: dict[Owner, int] = {}
    with txn.cursor() as cursor:
        while rows_max > 0 and cursor.set_range(EXPIRY_FIRST):
            key = bytes(cursor.key())
            if key[:1] != EXPIRY_FIRST:
                break
            expires_s, number, key_hash = unpack_expiry_key(key)
            if expires_s > now_s:
                break
            owner = Owner(*unpack_index_row(bytes(cursor.value())), number)
            row = txn.pop(receipt_prefix(number) + key_hash)
            txn.delete(key)
            size_bytes = HASH_BYTES + len(row)
            taken[owner] = taken.get(owner, 0) + size_bytes
            rows_max -= 1 + size_bytes // KIB
    return taken
