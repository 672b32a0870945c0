"""The clock that a test moves, in place of the machine's."""

from __future__ import annotations


class ManualClock:
    """A clock that a test moves; both readings move together."""

    def __init__(self, wall_us: int = 1_700_000_000_000_000) -> None:
        self._wall_us = wall_us
        self._monotonic = 0.0

    def monotonic(self) -> float:
        """Seconds since some start; never jumps."""
        return self._monotonic

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC; may jump both ways."""
        return self._wall_us

    def advance(self, seconds: float) -> None:
        """Move both readings forward."""
        self._monotonic += seconds
        self._wall_us += round(seconds * 1e6)
