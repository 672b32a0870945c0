"""The clock of a local host: it stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class ManualClock:
    """Wall-clock time, moved by hand. Get it as `host.clock`.

    Inside turns `time.time()`, `datetime.now()` and `date.today()` read this clock, so that an actor sees the hours
    pass that a test lets pass. `time.monotonic()` stays the machine's.

    Example:
        host.clock.advance(3600)  # runs every alarm and job that comes due in that hour, in order
    """

    def __init__(self, now: datetime, run_due: Callable[[int], int]) -> None:
        self._now_us = (now - _EPOCH) // _MICROSECOND
        self._run_due = run_due

    @property
    def now(self) -> datetime:
        """The time it shows, in UTC."""
        return _EPOCH + timedelta(microseconds=self._now_us)

    @property
    def now_us(self) -> int:
        """The same in microseconds since 1970."""
        return self._now_us

    def advance(self, by: float | timedelta = 0) -> int:
        """Let time pass, and run the alarms and jobs that come due meanwhile, each at its own time, retries included.

        What fails is not raised here: it is in the instance's log, and `host.instance(...).alarm` and `host.jobs()` say
        what becomes of it.

        Args:
            by: Seconds, or a timedelta; 0 runs what is due already.

        Returns:
            How many handlers ran.
        """
        passed = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if passed < timedelta(0):
            raise ValueError(f"time passes forwards only, not by {by!r}")
        return self._run_due(self._now_us + passed // _MICROSECOND)

    def move_to(self, when: datetime) -> int:
        """Let time pass until then; the same as `advance`."""
        return self.advance(when - self.now)

    def show(self, now_us: int) -> None:
        """Show another time (for the host: no alarm runs)."""
        self._now_us = max(self._now_us, now_us)

    def __repr__(self) -> str:
        return f"<holdfast clock at {self.now.isoformat()}>"
