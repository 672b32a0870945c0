"""Moments and their time zones as typed text, and back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from holdfast import CodecError
from holdfast._values.codec import decode, encode
from tests.harness.values import shape


def test_a_time_zone_keeps_its_name_and_its_moment() -> None:
    value = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)

    found = decode(encode(value))

    assert encode(value) == '{"$hf":"datetime","v":"2026-10-25T02:30:00+01:00[Europe/Berlin]"}'
    assert (found.tzinfo, found.utcoffset()) == (value.tzinfo, value.utcoffset())


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(2026, 10, 25, 2, 30, fold=1),
        datetime(2026, 11, 1, tzinfo=UTC, fold=1),
        datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=1), "CET"), fold=1),
        datetime(2026, 11, 1, tzinfo=timezone(timedelta(0), "\ud800")),
        datetime(2026, 11, 1, tzinfo=timezone(timedelta(microseconds=-5))),
        time(2, 30, fold=1),
        time(2, 30, tzinfo=timezone(timedelta(hours=1), "CET"), fold=1),
        time(2, 30, tzinfo=timezone(timedelta(microseconds=5))),
        time(2, 30, tzinfo=ZoneInfo("Etc/GMT+5")),
    ],
)
def test_fold_and_name_and_offset_of_a_moment_come_back(value: Any) -> None:
    found = decode(encode(value))

    assert shape(found) == shape(value)
    assert found.utcoffset() == value.utcoffset()


class Elsewhere(tzinfo):
    """A zone of an author's own: an offset, no name."""

    def tzname(self, dt: datetime | None) -> str | None:
        return super().tzname(dt)  # raises: so it is with one that does not have it

    def dst(self, dt: datetime | None) -> timedelta | None:
        return super().dst(dt)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return timedelta(hours=2)


class Nowhere(Elsewhere):
    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None


def test_a_zone_of_an_authors_own_keeps_its_offset_and_one_without_is_refused() -> None:
    assert encode(datetime(2026, 11, 1, tzinfo=Elsewhere())) == '{"$hf":"datetime","v":"2026-11-01T00:00:00+02:00"}'
    for value in (datetime(2026, 11, 1, tzinfo=Nowhere()), time(1, tzinfo=Nowhere())):
        with pytest.raises(CodecError, match=r"value\[0\] is a (datetime|time) in a zone"):
            encode([value])


def test_a_time_of_day_that_a_clock_skips_comes_back_as_it_was() -> None:
    value = datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))

    assert decode(encode(value)) == value


def test_a_zone_whose_rules_have_changed_since_keeps_the_moment() -> None:
    found = decode('{"$hf":"datetime","v":"2026-07-01T12:00:00+05:00[Europe/Berlin]"}')

    assert found == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert found.tzinfo == ZoneInfo("Europe/Berlin")


def test_a_time_zone_that_is_not_known_here_keeps_its_offset() -> None:
    found = decode('{"$hf":"datetime","v":"2026-10-25T02:30:00+01:00[Mars/Base]"}')

    assert found == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
