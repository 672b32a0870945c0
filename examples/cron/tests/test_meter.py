from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.testing import LocalHost

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def kitchen(host):
    return host.env.METER.id_from_name("kitchen")


def test_each_day_is_closed_at_midnight_once(host, kitchen):
    for count in (3, 0, 5):
        kitchen.count(count)
        host.clock.advance(timedelta(days=1))

    assert kitchen.days() == {"2026-11-01": 3, "2026-11-02": 0, "2026-11-03": 5}
    assert kitchen.count(0) == 0


def test_reports_come_on_weekday_mornings_of_the_zone(host, kitchen):
    kitchen.count(3)
    assert kitchen.times() == {"close": "2026-11-02 00:00", "report": "2026-11-02 07:00"}
    host.clock.advance(timedelta(days=7))

    assert list(kitchen.reports()) == [f"2026-11-0{day}" for day in (2, 3, 4, 5, 6)]
    assert kitchen.reports()["2026-11-02"] == {"days": {"2026-11-01": 3}, "missed": 0}


def test_eight_oclock_is_eight_oclock_in_summer_and_in_winter():
    host = LocalHost.of_project(PROJECT, now=datetime(2027, 3, 26, tzinfo=UTC))
    kitchen = host.env.METER.id_from_name("kitchen")
    kitchen.count()
    assert kitchen.times()["report"] == "2027-03-26 07:00"
    host.clock.advance(timedelta(days=3))

    assert kitchen.times()["report"] == "2027-03-29 06:00"


def test_an_eviction_and_a_new_activation_change_no_time(host, kitchen):
    kitchen.count()
    before = [job.id for job in host.jobs()]
    host.instance("Meter", "kitchen").evict()
    kitchen.count()

    assert [job.id for job in host.jobs()] == before


def test_a_host_that_was_down_runs_each_once_and_says_what_was_missed(host, kitchen):
    kitchen.count(3)
    host.crash(down=timedelta(days=5))
    host.clock.advance()

    assert kitchen.days() == {"2026-11-01": 3}
    assert kitchen.reports() == {"2026-11-02": {"days": {"2026-11-01": 3}, "missed": 3}}
    assert kitchen.times() == {"close": "2026-11-07 00:00", "report": "2026-11-06 07:00"}


def test_a_run_that_dies_half_way_closes_the_day_once(host, kitchen):
    kitchen.count(3)
    host.crash_after_writes(2)
    host.clock.advance(timedelta(days=1, minutes=1))

    assert kitchen.days() == {"2026-11-01": 3}
