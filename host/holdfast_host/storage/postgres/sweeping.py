"""Deleting, piece by piece, what emptied instances have left, and receipts that have expired."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.postgres.arrays import ints, long, number

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.link import Rows
    from holdfast_host.storage.postgres.owning import Seat

_ROWS: Final = 1_000
_EXPIRY_EVERY_S: Final = 60.0
_EXPIRY_FIRST_S: Final = 3_600.0  # after a start: clocks of a predecessor and of the server may differ


class Sweeping:
    """The sweeps of one worker; one at a time, never while a commit is on its way.

    Attributes:
        anything: there may be garbage; a predecessor may have left some.
    """

    def __init__(
        self,
        ask: Callable[[str, Sequence[bytes]], Rows],
        wait: Callable[[str, Sequence[bytes], Callable[[Rows], None]], None],
        on_expired: Callable[[Rows], None],
        seat: Seat,
    ) -> None:
        """`on_expired(rows)` learns whose receipts are gone, before anything that is read later is told."""
        self._ask = ask
        self._wait = wait
        self._on_expired = on_expired
        self._shards = b""
        self.own([*seat.reached])
        self._seat = seat
        self.anything = True
        self.expiry_at = time.monotonic() + _EXPIRY_FIRST_S

    def own(self, shards: Sequence[int]) -> None:
        """These are the worker's from now on; who had them before may have left something."""
        self._shards = ints(shards)
        self.anything = True

    @property
    def is_due(self) -> bool:
        """Whether `sweep` has something to do; any thread."""
        return self.anything or time.monotonic() >= self.expiry_at

    def sweep(self) -> None:
        """A piece of the garbage, or of expired receipts."""
        if self.anything:
            self._sweep_garbage()
        else:
            self._expire()

    def _sweep_garbage(self) -> None:
        rows = self._ask("garbage", [self._shards])
        if not rows:
            self.anything = False
            return
        of = [long(number(each)) for each in rows[0]]
        swept = self._ask("sweep", [*of, long(_ROWS)])
        if number(swept[0][0]) < _ROWS:
            self._ask("swept", of)

    def _expire(self) -> None:
        self.expiry_at = time.monotonic() + _EXPIRY_EVERY_S

        def told(rows: Rows) -> None:
            self._on_expired(rows)
            if rows:
                self.expiry_at = 0.0  # there may be more

        seat = self._seat
        self._wait("expire", [long(seat.seat), long(seat.life), self._shards, long(_ROWS)], told)
