"""The one timer of an instance: setting it, and what happens when it is due."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject

SOON_S = 0.2
FAR = datetime(2090, 1, 1, tzinfo=UTC)


@pytest.fixture
def timer(subject: NewSubject) -> Subject:
    """An instance of Timer."""
    return subject("Timer")


def test_an_alarm_is_an_aware_datetime_in_utc_or_none(timer: Subject) -> None:
    assert timer.call("get").typed is None

    found = timer.call("set", FAR).typed

    assert found == FAR
    assert found.utcoffset() == timedelta(0)
    assert timer.call("get").typed == FAR


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (FAR.timestamp(), FAR),
        (int(FAR.timestamp()), FAR),
        (FAR.astimezone().replace(microsecond=250), FAR.replace(microsecond=250)),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_an_alarm_takes_a_datetime_or_seconds(timer: Subject, when: Any, expected: datetime) -> None:
    assert timer.call("set", when).typed == expected


def test_an_alarm_takes_a_span_from_now(timer: Subject, probe: Subject) -> None:
    now = probe.call("now").typed[1]

    assert timedelta(hours=1) <= timer.call("set", timedelta(hours=1)).typed - now < timedelta(hours=1, seconds=30)


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        (datetime(2090, 1, 1), "ValueError"),
        (1e11 + 1, "ValueError"),
        (1_800_000_000_000, "ValueError"),
        (30, "ValueError"),
        (0, "ValueError"),
        (-5.5, "ValueError"),
        (1e9 - 1, "ValueError"),
        pytest.param(-(10**400), "ValueError", id="no negative float holds it"),
        (-1e308, "ValueError"),
        pytest.param(10**400, "ValueError", id="no float holds it"),
        (math.inf, "ValueError"),
        (math.nan, "ValueError"),
        (timedelta(days=366 * 9000), "ValueError"),
        ("tomorrow", "TypeError"),
        (None, "TypeError"),
        (True, "TypeError"),
    ],
)
def test_what_is_no_time_is_refused(timer: Subject, when: Any, kind: str) -> None:
    assert timer.call("set_refused", when).typed[0] == kind
    assert timer.call("get").typed is None


def test_a_second_alarm_replaces_the_first(timer: Subject) -> None:
    timer.call("set", FAR)
    timer.call("set", FAR + timedelta(days=1))

    assert timer.call("get").typed == FAR + timedelta(days=1)


def test_an_alarm_can_be_deleted(timer: Subject) -> None:
    timer.call("delete")
    timer.call("set", FAR)
    timer.call("delete")

    assert timer.call("get").typed is None
    assert timer.alarm is None


def test_an_alarm_commits_with_its_turn_or_not_at_all(timer: Subject) -> None:
    timer.call("set_then_raise", FAR)
    assert timer.call("get").typed is None

    timer.call("set", FAR)
    timer.call("set_then_raise", FAR + timedelta(days=1))
    timer.call("delete_then_raise")
    assert timer.call("get").typed == FAR
    assert timer.alarm == {"state": "armed", "retry_count": 0, "last_error": None}


def test_an_alarm_set_in_a_block_that_fails_is_not_set(timer: Subject) -> None:
    timer.call("set", FAR)

    assert timer.call("set_in_discarded_block", FAR + timedelta(days=1)).typed == FAR
    assert timer.call("get").typed == FAR


def test_a_number_that_was_meant_as_seconds_from_now_is_refused_with_what_to_write(timer: Subject) -> None:
    kind, message = timer.call("set_refused", 30).typed

    assert kind == "ValueError"
    assert message.startswith("30 seconds since 1970 lie before September 2001")
    assert message.endswith("for a span from now write timedelta(seconds=...)")


def test_delete_all_clears_the_alarm_too(timer: Subject) -> None:
    timer.call("set", FAR)

    assert timer.call("delete_everything").typed is None
    assert timer.call("get").typed is None
    assert timer.alarm is None


def test_delete_all_that_keeps_the_alarm_deletes_the_keys_alone(timer: Subject) -> None:
    timer.call("plan", {}, 3600)
    due = timer.call("get").typed

    assert timer.call("delete_everything", True).typed == due
    assert timer.call("get").typed == due
    assert timer.call("stored").typed == []


def test_a_delete_all_in_a_turn_that_fails_clears_no_alarm(timer: Subject) -> None:
    timer.call("set", FAR)
    timer.call("delete_everything_then_raise")

    assert timer.call("get").typed == FAR


def test_an_alarm_runs_once_and_is_told_when_it_was_due(timer: Subject) -> None:
    due = timer.call("plan", {}, SOON_S).typed

    assert timer.driver.wait(lambda: bool(timer.call("seen").typed), 5)
    assert timer.call("seen").typed == [[0, False, due, None]]
    assert timer.alarm is None
    assert timer.driver.wait(lambda: True, 1)
    assert len(timer.call("seen").typed) == 1


@pytest.mark.parametrize("when", [1e9, datetime(1950, 1, 1, tzinfo=UTC), timedelta(days=-1)])
def test_an_alarm_in_the_past_is_due_at_once(timer: Subject, when: Any) -> None:
    timer.call("set", when)

    assert timer.driver.wait(lambda: len(timer.call("seen").typed) == 1, 5)
    [(retry_count, is_retry, scheduled, inside)] = timer.call("seen").typed
    assert (retry_count, is_retry, inside) == (0, False, None)
    assert scheduled.timestamp() <= time.time()


def test_a_handler_may_set_the_alarm_again(timer: Subject) -> None:
    timer.call("plan", {"again": 2, "every": SOON_S}, SOON_S)

    assert timer.driver.wait(lambda: len(timer.call("seen").typed) == 3 and timer.alarm is None, 10)
    assert [each[0] for each in timer.call("seen").typed] == [0, 0, 0]


def test_a_handler_that_raises_is_run_again_and_its_writes_are_there_once(timer: Subject) -> None:
    timer.call("plan", {"fails": 2}, SOON_S)
    due = timer.call("get").typed

    assert timer.driver.wait(lambda: (timer.alarm or {}).get("retry_count") == 1, 5)
    alarm = timer.alarm
    assert alarm is not None
    assert (alarm["state"], alarm["last_error"]) == ("retrying", "ActorMethodError: ValueError: attempt 0 fails")
    assert timer.call("seen").typed == []
    assert timer.driver.wait(lambda: bool(timer.call("seen").typed), 10)
    assert timer.call("seen").typed == [[2, True, due, None]]
    assert timer.alarm is None
    attempts = [text for level, text in timer.log if level == "stdout"]
    assert attempts == ["attempt 0", "attempt 1", "attempt 2"]


def test_the_times_of_retries_double(timer: Subject) -> None:
    """The third attempt comes 1 + 2 seconds after the first, not sooner."""
    timer.call("plan", {"fails": 9}, 0)
    assert timer.driver.wait(lambda: (timer.alarm or {}).get("retry_count") == 1, 5)
    first = timer.call("get").typed

    assert timer.driver.wait(lambda: (timer.alarm or {}).get("retry_count") == 2, 5)
    second = timer.call("get").typed
    timer.call("delete")

    assert timedelta(seconds=1.9) < second - first < timedelta(seconds=4)
    assert timer.alarm is None


def test_an_alarm_that_is_set_while_it_is_retried_begins_anew(timer: Subject) -> None:
    timer.call("plan", {"fails": 9}, 0)
    assert timer.driver.wait(lambda: (timer.alarm or {}).get("retry_count") == 1, 5)

    timer.call("set", FAR)

    assert timer.alarm == {"state": "armed", "retry_count": 0, "last_error": None}


def test_what_a_handler_syncs_is_its_own_and_the_alarm_stays_until_the_turn_ends(timer: Subject) -> None:
    timer.call("plan", {"fails": 1, "sync": True}, SOON_S)

    assert timer.driver.wait(lambda: bool(timer.call("seen").typed), 10)
    assert timer.call("synced").typed == 2
    assert timer.call("seen").typed[0][0] == 1


def test_an_alarm_that_fails_seven_times_is_abandoned_kept_and_can_be_set_again(timer: Subject) -> None:
    timer.call("plan", {"fails": 7}, 0)

    assert timer.driver.wait_long(lambda: (timer.alarm or {}).get("state") == "abandoned", 70)
    alarm = timer.alarm
    assert alarm is not None
    assert alarm["retry_count"] == 6
    assert alarm["last_error"] == "ActorMethodError: ValueError: attempt 6 fails"
    assert timer.call("get").typed is None

    timer.call("plan", {}, 0)
    assert timer.driver.wait(lambda: bool(timer.call("seen").typed), 5)
    assert timer.call("seen").typed[0][0] == 0


def test_a_handler_may_call_another_actor(timer: Subject, subject: NewSubject) -> None:
    other = subject("Timer", "other")
    timer.call("plan", {"tells": other.name}, 0)

    assert timer.driver.wait(lambda: other.call("noted").typed == timer.name, 5)


def test_a_class_without_a_handler_cannot_set_an_alarm(subject: NewSubject) -> None:
    deaf = subject("Refused")

    said = deaf.call("set_alarm", FAR).typed

    assert said == "Refused has no alarm(self, info) that could run then: define it to set an alarm"
    assert deaf.call("alarms").typed is None
    assert deaf.alarm is None


def test_no_alarm_can_be_set_from_outside_that_nobody_would_handle(subject: NewSubject) -> None:
    deaf = subject("Refused")

    assert "no alarm" in deaf.driver.set_alarm(deaf.type, deaf.name)
    assert deaf.alarm is None
