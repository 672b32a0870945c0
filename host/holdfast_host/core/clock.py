"""Time as the host reads it, so that a test can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two readings: one that only goes forward, one that people set."""

    def monotonic(self) -> float:
        """Seconds since some start; never jumps."""

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC; may jump both ways."""


def utc_text(wall_us: int) -> str:
    """`2026-11-21T08:00:00Z`."""
    return datetime.fromtimestamp(wall_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds since some start; never jumps."""
        return time.monotonic()

    def wall_us(self) -> int:
        """Microseconds since 1970 UTC; may jump both ways."""
        return time.time_ns() // 1000
