"""When a cron text is due: by name, by Debian's rules where clocks change, and against a walk over every minute."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.testing._jobs import cron as kit_cron
from holdfast_host.core import cron
from holdfast_host.core.cron import missed_between, next_after

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def us(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def times(text: str, zone: str, after: str, count: int) -> list[str]:
    """What the clock shows at the next times after the one that it shows now."""
    at = us(datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)))
    found = []
    for _ in range(count):
        at = next_after(text, zone, at)
        found.append((EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


def test_a_time_is_after_the_one_that_is_given_and_never_the_same() -> None:
    assert times("0 9 * * mon-fri", "UTC", "2026-10-30T08:59:59.999999", 3) == [
        "2026-10-30T09:00+00:00",
        "2026-11-02T09:00+00:00",
        "2026-11-03T09:00+00:00",
    ]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("@hourly", "2026-10-30T09:00+00:00"),
        ("@daily", "2026-10-31T00:00+00:00"),
        ("@midnight", "2026-10-31T00:00+00:00"),
        ("@weekly", "2026-11-01T00:00+00:00"),
        ("@monthly", "2026-11-01T00:00+00:00"),
        ("@yearly", "2027-01-01T00:00+00:00"),
        ("@annually", "2027-01-01T00:00+00:00"),
        ("0 0 L * *", "2026-10-31T00:00+00:00"),
        ("0 0 * * SUN#2", "2026-11-08T00:00+00:00"),
    ],
)
def test_names_stand_for_five_fields(name: str, first: str) -> None:
    assert times(name, "UTC", "2026-10-30T08:30", 1) == [first]


def test_days_of_month_and_week_are_either_unless_one_is_a_star() -> None:
    assert times("0 0 1 * mon", "UTC", "2026-10-30T00:00", 2) == ["2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"]
    assert times("0 0 */1 * mon", "UTC", "2026-10-30T00:00", 1) == ["2026-11-02T00:00+00:00"]


def test_a_fixed_time_that_a_change_skips_is_due_at_the_next_that_exists() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00", 2) == [
        "2027-03-28T03:00+02:00",
        "2027-03-29T02:30+02:00",
    ]
    assert times("15 2 * * *", "America/New_York", "2027-03-13T12:00", 1) == ["2027-03-14T03:00-04:00"]
    assert times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["2026-10-04T02:30+11:00"]
    assert times("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", 1) == ["2026-04-24T01:00+03:00"]


def test_several_fixed_times_that_a_change_skips_are_due_once() -> None:
    assert times("0,30 2,3 * * *", "Europe/Berlin", "2027-03-27T12:00", 2) == [
        "2027-03-28T03:00+02:00",
        "2027-03-28T03:30+02:00",
    ]


def test_a_fixed_time_that_comes_twice_is_due_once() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]
    assert times("45 1 * * *", "America/New_York", "2026-10-31T12:00", 2) == [
        "2026-11-01T01:45-04:00",
        "2026-11-02T01:45-05:00",
    ]


def test_with_a_star_it_goes_by_the_clock() -> None:
    assert times("*/30 2 * * *", "Europe/Berlin", "2026-10-25T01:00", 5) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
        "2026-10-26T02:00+01:00",
    ]
    assert times("*/30 2 * * *", "Europe/Berlin", "2027-03-27T12:00", 1) == ["2027-03-29T02:00+02:00"]
    assert times("0 * * * *", "Australia/Lord_Howe", "2027-04-04T00:30", 3) == [
        "2027-04-04T01:00+11:00",
        "2027-04-04T02:00+10:30",
        "2027-04-04T03:00+10:30",
    ]


def test_the_kit_keeps_the_same_rules_word_by_word() -> None:
    """It may import nothing of the host."""
    assert inspect.getsource(kit_cron) == inspect.getsource(cron)


ZONES = {
    "Europe/Berlin": [(2027, 3, 28), (2026, 10, 25)],
    "America/New_York": [(2027, 3, 14), (2026, 11, 1)],
    "Australia/Lord_Howe": [(2026, 10, 4), (2027, 4, 4)],  # by half an hour
    "Africa/Cairo": [(2026, 4, 24), (2026, 10, 30)],  # at midnight
    "Pacific/Apia": [(2011, 12, 30)],  # a whole day is missing
}
CHANGES = [(zone, change) for zone, changes in ZONES.items() for change in changes]
MINUTES = st.sampled_from(["0", "30", "0,30", "15", "*/15", "*", "59", "5-10", "*/7"])
HOURS = st.sampled_from(["*", "0", "1", "2", "3", "1,2,3", "2-4", "*/2", "1-23/2", "23"])
DAYS = st.sampled_from(["* * *", "* * sun", "28 * *", "1-7 * fri", "* * mon-sat"])
TEXTS = st.builds(lambda *fields: " ".join(fields), MINUTES, HOURS, DAYS)


def due_by_walking(text: str, tz: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """The same by the rules alone: each minute of the clock for a text with a star, each local minute for another."""
    sim = CronSim(text, datetime(2026, 1, 1))
    minute, hour, *_ = text.split()

    def names(wall: datetime) -> bool:
        fits = wall.minute in sim.minutes and wall.hour in sim.hours and wall.month in sim.months
        return fits and sim.match_day(wall.date())

    at = after.replace(second=0)
    if minute.startswith("*") or hour.startswith("*"):
        instants = (at + n * MINUTE for n in range(1, (until - at) // MINUTE + 1))
        return [each for each in instants if names(each.astimezone(tz))]
    found = set()
    wall = (at - timedelta(hours=30)).astimezone(tz).replace(tzinfo=None)
    while wall <= (until + timedelta(hours=30)).astimezone(tz).replace(tzinfo=None):
        if names(wall):
            shown = wall
            while (instant := shown.replace(tzinfo=tz).astimezone(UTC)).astimezone(tz).replace(tzinfo=None) != shown:
                shown += MINUTE
            found.add(instant)
        wall += MINUTE
    return sorted(each for each in found if after < each <= until)


@settings(deadline=None, max_examples=60)  # the walk takes its time
@given(TEXTS, st.sampled_from(CHANGES), st.integers(60, 3000), st.sampled_from([0, 7]), st.sampled_from([24, 60]))
def test_the_times_about_a_change_are_those_that_the_rules_give(
    text: str, change: tuple[str, tuple[int, int, int]], before_min: int, second: int, hours: int
) -> None:
    zone, day = change
    after = datetime(*day, tzinfo=UTC) - before_min * MINUTE + timedelta(seconds=second)
    until = after + timedelta(hours=hours)
    expected = due_by_walking(text, ZoneInfo(zone), after, until)

    at, found = us(after), []
    while (at := next_after(text, zone, at)) <= us(until):
        found.append(EPOCH + timedelta(microseconds=at))

    assert found == expected
    assert missed_between(text, zone, us(after), us(until)) == len(expected)


def test_what_was_missed_ends_with_the_time_that_is_now() -> None:
    noon = us(datetime(2026, 10, 30, 12, tzinfo=UTC))

    assert missed_between("*/5 * * * *", "UTC", noon, noon) == 0
    assert missed_between("*/5 * * * *", "UTC", noon, noon + 300_000_000 - 1) == 0
    assert missed_between("*/5 * * * *", "UTC", noon, noon + 300_000_000) == 1
    assert missed_between("* * * * *", "Europe/Berlin", noon, noon + 10 * 365 * 86_400_000_000) == 10 * 365 * 1440


@pytest.mark.parametrize(
    ("text", "tz", "said"),
    [
        ("61 * * * *", "UTC", "has a bad minute '61': it is * or 0 to 59"),
        ("* 24 * * *", "UTC", "has a bad hour '24'"),
        ("* * 0 * *", "UTC", "has a bad day-of-month '0'"),
        ("* * * foo *", "UTC", "has a bad month 'foo': it is * or 1 to 12, or jan to dec"),
        ("* * * * 8", "UTC", "has a bad day-of-week '8'"),
        ("5-1 * * * *", "UTC", "has a bad minute '5-1'"),
        ("*/0 * * * *", "UTC", "has a bad minute '*/0'"),
        ("* * * *", "UTC", "has 4 of five fields: minute, hour, day of month, month, day of week"),
        ("0 * * * * *", "UTC", "has 6 of five fields"),
        ("", "UTC", "has 0 of five fields"),
        ("@reboot", "UTC", "there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"),
        ("0 0 30,31 feb *", "UTC", "is never due: no month 'feb' has a day '30,31'"),
        ("* * */20 * 1L", "UTC", "is due at no time of the next 10 years"),
        ("* " * 200, "UTC", "a cron text of 400 characters, the limit is 256"),
        ("* * * * *", "Mars/X", "'Mars/X' is no time zone"),
        ("* * * * *", "../etc/passwd", "is no time zone"),
        ("* * * * *", "", "'' is no time zone"),
    ],
)
def test_what_is_no_cron_text_or_no_zone_is_refused_with_the_part_that_is_bad(text: str, tz: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        next_after(text, tz, 0)
