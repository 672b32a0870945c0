"""When a cron text is due in a time zone: what Debian's cron does (`cron(8)`), also when clocks are changed.

The library `cronsim` reads a text and finds the local times that it names. Which instants those are is decided here:
the library knows zones too, but not those that change at midnight (Africa/Cairo) or by half an hour
(Australia/Lord_Howe). A text with `*` at the beginning of minute or hour goes by the clock: it is due whenever the
clock shows one of its times. Any other one names fixed times: one that a change skips is due at the next that exists,
one that comes twice once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

TEXT_CHARS_MAX: Final = 256
YEARS_MAX: Final = 10  # that are looked at for a time; the library's own 50 take a stranger's text 20 ms
_NAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS: Final = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31",
    "month": "1 to 12, or jan to dec",
    "day-of-week": "0 to 7, where 0 and 7 are Sunday, or sun to sat",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)  # no clock is changed by more
_DAY_MINUTES: Final = 24 * 60


def next_after(text: str, tz: str, after_us: int) -> int:
    """The first time after `after_us` at which the text is due; both in microseconds since 1970.

    Raises:
        ValueError: `text` is no cron text, or due at no time of the next 10 years; `tz` is no time zone.
    """
    return _microseconds(_Cron(text, tz).next_after(_instant(after_us)))


def missed_between(text: str, tz: str, since_us: int, until_us: int) -> int:
    """How many times the text is due after `since_us`, up to and with `until_us`; ValueError as for `next_after`.

    What it takes grows with the days, not with the times: a year of minutes is counted in 20 ms.
    """
    return _Cron(text, tz).count(_instant(since_us + 1), _instant(until_us + 1))


class _Times(CronSim):
    """The local times that five fields name, after one."""

    def __init__(self, fields: str, after: datetime) -> None:
        super().__init__(fields, after)
        self._last_year = after.year + YEARS_MAX

    def advance_month(self) -> None:
        super().advance_month()
        if self.dt.year > self._last_year:
            raise StopIteration


class _Cron:
    """A text and a zone."""

    def __init__(self, text: str, tz: str) -> None:
        self._text = text
        self._zone = _zone(tz)
        self._fields, self._named = _five_fields(text)
        minute, hour, *_ = self._fields.split()
        self._by_clock = minute.startswith("*") or hour.startswith("*")

    def next_after(self, after: datetime) -> datetime:
        if self._by_clock and self._offset(after - _DAY) != self._offset(after + _DAY):
            # The clock shows some of its times twice here: look at each minute.
            for shown in self._minutes(after, after + _DAY):
                if self._names(shown):
                    return shown.astimezone(UTC)
            after += _DAY
        for wall in _Times(self._fields, after.astimezone(self._zone).replace(tzinfo=None)):
            due = self._existing(wall)
            if due is not None and due > after:
                return due
        raise ValueError(f"the cron text {self._text!r} is due at no time of the next {YEARS_MAX} years")

    def count(self, start: datetime, stop: datetime) -> int:
        """How many times it is due from `start` on, before `stop`."""
        count = 0
        while start < stop:
            day = start.astimezone(self._zone).date()
            following = datetime.combine(day + _DAY, time(), self._zone).astimezone(UTC)
            end = min(stop, following if following > start else start + _HOUR)
            if self._is_usual(day):
                until = _DAY_MINUTES if end == following else self._minute(end)
                count += self._count_on(day, self._minute(start), until)
            elif self._by_clock:
                count += sum(map(self._names, self._minutes(start - _MICROSECOND, end - _MICROSECOND)))
            elif (due := self.next_after(start - _MICROSECOND)) < end:
                count, end = count + 1, due + _MICROSECOND
            start = end
        return count

    def _minutes(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """What the clock shows at each full minute."""
        at = after.replace(second=0, microsecond=0) + _MINUTE
        while at <= until:
            yield at.astimezone(self._zone)
            at += _MINUTE

    def _names(self, shown: datetime) -> bool:
        named = self._named
        return (
            shown.minute in named.minutes
            and shown.hour in named.hours
            and shown.month in named.months
            and named.match_day(shown.date())
        )

    def _existing(self, wall: datetime) -> datetime | None:
        """When the clock shows this for the first time; where it never does, by which rule it is."""
        while True:
            instant = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
            if instant.astimezone(self._zone).replace(tzinfo=None) == wall:
                return instant
            if self._by_clock:
                return None
            wall += _MINUTE

    def _is_usual(self, day: date) -> bool:
        """Whether the clock is not changed on that day, nor on the one before: what that one skips may be due now."""
        midnight = datetime.combine(day, time(), self._zone)
        return (midnight - _DAY).utcoffset() == midnight.utcoffset() == (midnight + _DAY).utcoffset()

    def _count_on(self, day: date, start: int, stop: int) -> int:
        """How many times of a usual day lie from that minute of the day on, and before the other."""
        named = self._named
        if day.month not in named.months or not named.match_day(day):
            return 0
        minutes = sorted(named.minutes)
        return sum(
            bisect_left(minutes, stop - 60 * hour) - bisect_left(minutes, start - 60 * hour) for hour in named.hours
        )

    def _minute(self, instant: datetime) -> int:
        """The first full minute of its day at or after an instant."""
        shown = instant.astimezone(self._zone)
        return 60 * shown.hour + shown.minute + bool(shown.second or shown.microsecond)

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self._zone).utcoffset()


def _five_fields(text: str) -> tuple[str, CronSim]:
    """The five fields that it is or stands for, and what they name."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"a cron text of {len(text)} characters, the limit is {TEXT_CHARS_MAX}")
    if text.startswith("@") and text not in _NAMES:
        raise ValueError(f"the cron text {text!r} is none: there are {', '.join(_NAMES)}, and texts of five fields")
    written = _NAMES.get(text, text)
    fields = written.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"the cron text {text!r} has {len(fields)} of five fields: minute, hour, day of month, month, day of week"
        )
    try:
        return written, CronSim(written, _EPOCH.replace(tzinfo=None))
    except CronSimError as error:
        raise ValueError(_fault(text, fields, str(error).removeprefix("Bad "))) from None


def _fault(text: str, fields: list[str], bad: str) -> str:
    field = fields[list(_FIELDS).index(bad)]
    try:
        CronSim(f"0 0 {fields[2]} * *", _EPOCH.replace(tzinfo=None))
    except CronSimError:
        pass
    else:
        if bad == "day-of-month":
            return f"the cron text {text!r} is never due: no month {fields[3]!r} has a day {field!r}"
    return (
        f"the cron text {text!r} has a bad {bad} {field!r}: it is * or {_FIELDS[bad]}, a range like 1-5, a list like"
        " 1,3 or a step like */2"
    )


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text().split())


def _zone(name: str) -> ZoneInfo:
    if name not in _zone_names():
        raise ValueError(f"{name[:64]!r} is no time zone of the IANA database, like 'Europe/Berlin' or 'UTC'")
    return ZoneInfo(name)


def _instant(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND
