"""Which of the other hosts are silent, as one host sees it: what it decides from alone, without clock and connection.

A host shows that it lives by counting a beat in its row of the store. Whoever reads the rows, round after round, holds
a host for silent once its life and beat have stood still for the time to live, measured between the end of the first
round that showed them and the beginning of the last one. Only the reader's own monotonic clock counts.

Nobody is suspected by who was away himself: after a gap between two of his rounds all that he saw before is forgotten,
and each host has longer to show its first beat, for after a failover of the store not all are back at once. To be wrong
costs a restart, never a guarantee: what was acknowledged is kept by the fence (`storage.postgres.statements`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PERIOD_S: Final = 0.5  # between two beats
GAP_S: Final = PERIOD_S + 1.0  # between the ends of two rounds: who was away for longer has seen nothing
FIRST_BEAT_S: Final = 10.0  # that a host has to show one, after a gap


@dataclass(frozen=True, slots=True)
class Sign:
    """What a row of the store says of a host's life."""

    host: str
    life: int
    beat: int


@dataclass(slots=True)
class _Seen:
    sign: Sign
    since: float  # the end of the round that showed it first
    until: float  # the beginning of the last one that did
    patience_s: float
    moved: bool = False


class Observations:
    """What one host has seen of the others; for whoever holds it. Times are of one monotonic clock, in seconds."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._seen: dict[str, _Seen] = {}
        self._last_end: float | None = None

    def note(self, began: float, ended: float, signs: Iterable[Sign]) -> None:
        """A round: the rows were asked for at one time and were there at the other."""
        away = self._last_end is not None and ended - self._last_end > GAP_S
        self._last_end = ended
        before = {} if away else self._seen
        patience_s = max(self._ttl_s, FIRST_BEAT_S) if away else self._ttl_s
        self._seen = {}
        for sign in signs:
            seen = before.get(sign.host)
            if seen is None:
                seen = _Seen(sign, ended, began, patience_s)
            elif seen.sign != sign:
                seen = _Seen(sign, ended, began, self._ttl_s, moved=True)
            else:
                seen.until = began
            self._seen[sign.host] = seen

    def moves(self, host: str) -> bool:
        """Whether it has shown a life or a beat that came after the first one seen."""
        seen = self._seen.get(host)
        return seen is not None and seen.moved

    def stands_still_s(self, host: str) -> float:
        """For how long at least what it shows has stood still."""
        seen = self._seen.get(host)
        return 0.0 if seen is None else max(0.0, seen.until - seen.since)

    def is_silent(self, host: str, *, is_gone: bool = False) -> bool:
        """Whether it is to be held for dead: what it shows has stood still for as long as it may.

        That is half as long where the store has no connection of the host (`is_gone`), which would be back by then.
        """
        seen = self._seen.get(host)
        if seen is None:
            return False
        hurries = is_gone and seen.patience_s <= self._ttl_s
        return seen.until - seen.since >= (seen.patience_s / 2 if hurries else seen.patience_s)
