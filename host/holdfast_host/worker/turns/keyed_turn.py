"""A turn under an idempotency key: answered with what is kept, or run and kept with what it writes.

The receipt is looked for when the turn has left its mailbox, before anything is activated, in the writes that are not
durable yet and then in the store. A repeat waits in the mailbox behind the first call as any other call does, so one
look is enough; and a kept answer leaves through the gate, no sooner than the first one did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import IdempotencyConflictError
from holdfast_host.storage.store import EXPIRES_MAX_S, Receipt
from holdfast_host.wire.calls.idempotency import fingerprint, key_hash

if TYPE_CHECKING:
    from holdfast_host.worker.turns.turn import Turn

_OK: Final = 200


class KeyedTurn:
    """What a turn under a key knows besides. Its turn's thread's."""

    __slots__ = ("_hash", "has_left", "replayed")

    def __init__(self, key: bytes) -> None:
        self._hash = key_hash(key)
        self.has_left = False  # something of it: a call, or what it wrote before a `sync()`
        self.replayed = False  # its answer is that of an earlier one

    def replay(self, turn: Turn) -> bool:
        """Answer it with what is kept under its key, or refuse it; whether that was so.

        Raises:
            StoreBrokenError: the store could not be read, and will not be any more.
        """
        found = turn.storage.receipt(self._hash)
        if found is None:
            return False
        if found.fingerprint == fingerprint(turn.request):
            turn.result, self.replayed = found.body, True
        else:
            turn.error = IdempotencyConflictError(
                f"{turn.label}: the idempotency key {turn.key().decode(errors='replace')!r} was used for another call "
                "of this instance, with another method, encoding or body: each call needs a key of its own"
            )
        return True

    def keep_receipt(self, turn: Turn, for_s: int) -> None:
        """Keep its answer with what it writes; not that of one that has had no effect, which may as well run again."""
        if self.has_left or (turn.storage.wrote and turn.storage.has_changes):
            expires_s = min(turn.wall_us() // 1_000_000 + for_s, EXPIRES_MAX_S)  # a clock may say anything
            receipt = Receipt(expires_s, _OK, fingerprint(turn.request), turn.result)
            turn.storage.keep_receipt(self._hash, receipt)
