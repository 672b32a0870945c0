"""The time of an alarm, checked and turned into the microseconds that cross the boundary; what its handler is told."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from holdfast._host_imports import AlarmsImport

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECONDS_MAX: Final = 1e11  # the year 5138 in seconds, 1973 in milliseconds: nobody means the former
_SECONDS_MIN: Final = 1e9  # September 2001 as a Unix time, 31 years as a span: a span from now was meant
_DUE_US_MAX: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class AlarmInfo:
    """What `alarm(self, info)` is told.

    Attributes:
        retry_count: How many deliveries of this alarm failed before this one; 0 the first time.
        scheduled_time: When it was due, in UTC.
    """

    retry_count: int
    scheduled_time: datetime

    @property
    def is_retry(self) -> bool:
        """Whether an earlier delivery of this alarm failed."""
        return self.retry_count > 0

    @classmethod
    def from_wire(cls, facts: dict[str, Any]) -> AlarmInfo:
        """From the JSON object that the host hands to the `alarm` export."""
        return cls(int(facts["retry_count"]), instant_of(int(facts["scheduled_us"])))


class NoHandler:
    """The alarms import for a class without an `alarm` method: nobody would hear one, so none can be set."""

    def __init__(self, actor_type: str, host: AlarmsImport) -> None:
        self._type = actor_type
        self.get = host.get
        self.delete = host.delete

    def set(self, due_us: int) -> NoReturn:
        """Refuse it."""
        raise RuntimeError(f"{self._type} has no alarm(self, info) that could run then: define it to set an alarm")


def instant_of(due_us: int) -> datetime:
    """The aware UTC time of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=due_us)


def microseconds_of(when: datetime | timedelta | float, what: str = "an alarm") -> int:
    """Microseconds since 1970 of an alarm's time, 0 for what lies before; TypeError or ValueError where it is none."""
    if isinstance(when, datetime):
        if when.utcoffset() is None:
            raise ValueError(f"{what} needs a datetime with a time zone, {when.isoformat()} has none: add tzinfo=UTC")
        due_us = (when - EPOCH) // _MICROSECOND
    elif isinstance(when, timedelta):
        due_us = round(time.time() * 1e6) + when // _MICROSECOND
    elif isinstance(when, (int, float)) and not isinstance(when, bool):
        if isinstance(when, float) and not math.isfinite(when):
            raise ValueError(f"{when!r} is no time for {what}")
        shown = f"{when!r}" if abs(when) < 1e99 else "so many"
        if when > _SECONDS_MAX:
            raise ValueError(f"{shown} seconds lie past the year 5000: {what} takes seconds, not milliseconds")
        if when < _SECONDS_MIN:
            raise ValueError(
                f"{shown} seconds since 1970 lie before September 2001: {what} takes a Unix time;"
                " for a span from now write timedelta(seconds=...)"
            )
        due_us = round(when * 1_000_000)
    else:
        kind = type(when).__name__
        raise TypeError(f"{what} takes an aware datetime, a timedelta or seconds since 1970, not {kind}")
    if due_us > _DUE_US_MAX:
        raise ValueError(f"{what} must be due before the year 10000")
    return max(due_us, 0)
