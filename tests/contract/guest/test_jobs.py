"""Jobs: what an actor leaves to the host, when it runs, how often, and what is heard of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Driver, Outside, Subject

FAR_S = 86_400


@pytest.fixture
def leaving(subject: NewSubject) -> Subject:
    """An instance of Leaving."""
    return subject("Leaving")


@pytest.fixture
def callee(subject: NewSubject) -> Subject:
    """An instance of Callee."""
    return subject("Callee")


@pytest.fixture
def outside(driver: Driver) -> Outside:
    """What stands for the outside, with nothing asked yet."""
    return driver.outside()


def seen(leaving: Subject) -> list[Any]:
    """What its runs and outcomes were told."""
    found: list[Any] = leaving.call("seen").typed
    return found


def saw(leaving: Subject, count: int, within_s: float = 5) -> list[Any]:
    """The same, once it is so many."""
    assert leaving.driver.wait(lambda: len(seen(leaving)) >= count, within_s), leaving.log
    return seen(leaving)


# Runs


def test_a_run_gets_its_arguments_and_what_it_is(leaving: Subject) -> None:
    id_ = leaving.call("later", 0.2, "_told", [{"a": b"typed"}]).typed

    assert len(id_) == 32
    assert leaving.call("jobs").typed == [{"kind": "run", "state": "armed", "method": "_told"}]
    assert saw(leaving, 1) == [[{"a": b"typed"}, 0, 0, 32]]
    assert leaving.call("jobs").typed == []


def test_a_job_of_a_turn_that_fails_never_was(leaving: Subject) -> None:
    assert leaving.call("then_fail", 0).status == 500
    assert leaving.call("undone").status == 200

    assert saw(leaving, 1) == ["kept"]
    assert leaving.call("jobs").typed == []


def test_a_job_takes_the_place_of_an_earlier_one_of_its_key(leaving: Subject) -> None:
    leaving.call("later", FAR_S, "_note", ["first"], "a")
    leaving.call("later", 0, "_note", ["second"], "a")
    leaving.call("later", 0, "_note", ["other"], "b")

    assert sorted(saw(leaving, 2)) == ["other", "second"]
    assert leaving.call("jobs").typed == []


def test_a_handler_may_make_a_job_of_its_own_key(leaving: Subject) -> None:
    leaving.call("later", 0, "_replace", [], "mine")

    assert saw(leaving, 2) == ["first", "second"]
    assert leaving.call("jobs").typed == []


def test_a_cancelled_job_does_not_run(leaving: Subject) -> None:
    assert leaving.call("cancelled_after", 0.1).typed == [True, False]
    leaving.call("later", 0.1, "_note", ["by key"], "k")
    assert leaving.call("cancel", key="k").typed is True
    assert leaving.call("cancel", key="k").typed is False
    leaving.call("later", 0.3, "_note", ["after"])

    assert saw(leaving, 1) == ["after"]


def test_a_run_that_fails_is_tried_again(leaving: Subject) -> None:
    leaving.call("fail_next", 2)
    leaving.call("later", 0, "_fail", ["it"])

    assert saw(leaving, 1, 10) == [["it", 2]]
    assert any("it fails" in text for _, text in leaving.log)


def test_a_run_that_fails_for_good_is_kept_as_abandoned(leaving: Subject) -> None:
    leaving.call("later", 0, "_always", [])

    listed = [{"kind": "run", "state": "abandoned", "method": "_always", "tries": 6}]
    assert leaving.driver.wait_long(lambda: leaving.call("jobs").typed == listed, 90)


def test_what_a_failed_run_synced_is_there(leaving: Subject) -> None:
    leaving.call("later", 0, "_sync_then_fail", [])

    assert saw(leaving, 2, 10)[:2] == ["synced", "synced"]
    leaving.driver.delete(leaving.type, leaving.name)


@pytest.mark.parametrize(
    ("what", "arguments", "options", "said"),
    [
        ("schedule", [1e9, "_missing"], {}, ["AttributeError", "Leaving has no method '_missing' that a job can run"]),
        ("schedule", ["61 * * * *", "_tick"], {}, ["ValueError", "has a bad minute '61'"]),
        ("schedule", ["* * * * *", "_tick"], {"tz": "Mars/X"}, ["ValueError", "'Mars/X' is no time zone"]),
        ("schedule", ["0 0 30 2 *", "_tick"], {}, ["ValueError", "is never due: no month '2' has a day '30'"]),
        ("schedule", [9e10, "_always"], {}, ["ValueError", "it must lie within 10 years"]),
        ("schedule", [1e9, "_note", "x" * 300_000], {}, ["LimitError", "exceeds the limit of 262144 bytes"]),
        ("http", ["GET", "/x"], {}, ["ValueError", "'/x' is no URL"]),
        ("http", ["GET", "http://a.example"], {"then": "_missing"}, ["AttributeError", "no method '_missing'"]),
        ("cancel", [], {}, ["TypeError", "cancel takes the id of a job, or its key"]),
        ("cancel", ["nonsense"], {}, []),
    ],
)
def test_what_cannot_be_is_said_when_it_is_made(
    leaving: Subject, what: str, arguments: list[Any], options: dict[str, Any], said: list[str]
) -> None:
    found = leaving.call("refused", what, arguments, options).typed

    if said:
        assert found[0] == said[0]
        assert said[1] in found[1]
    assert leaving.call("jobs").typed == []


def test_a_turn_makes_a_thousand_jobs_at_most(leaving: Subject) -> None:
    refused = leaving.call("many", 1001)

    assert "making 1001 jobs in one turn exceeds the limit of 1000" in refused.error["message"]
    assert leaving.call("jobs").typed == []
    leaving.call("many", 1000)
    assert len(leaving.call("jobs").typed) == 1000
    leaving.driver.delete(leaving.type, leaving.name)
    assert leaving.call("jobs").typed == []


# Crons


def test_a_cron_runs_at_its_times_and_stays(leaving: Subject) -> None:
    leaving.call("again", "* * * * *", "Europe/Berlin")
    listed = [{"kind": "run", "state": "armed", "key": "cron", "method": "_tick", "cron": "* * * * *"}]
    assert leaving.call("jobs").typed == listed

    assert leaving.driver.wait_long(lambda: len(seen(leaving)) == 2, 130)
    assert seen(leaving) == [["* * * * *", 0, 0, 0]] * 2
    assert leaving.call("jobs").typed == listed
    leaving.call("cancel", key="cron")


def test_a_cron_that_says_the_same_again_changes_nothing(leaving: Subject) -> None:
    first = leaving.call("again", "0 9 * * mon-fri").typed

    assert leaving.call("again", "0 9 * * mon-fri").typed == first
    assert leaving.call("again", "0 9 * * *").typed != first
    assert leaving.call("again", "0 9 * * *", None, None).typed != first
    assert [job["cron"] for job in leaving.call("jobs").typed] == ["0 9 * * *"] * 2


@pytest.mark.slow
def test_a_cron_of_a_constructor_runs(subject: NewSubject) -> None:
    """Each activation says it again."""
    daily = subject("Daily")
    ids = set()

    def has_run() -> bool:
        ids.add(daily.call("id_of_job").typed)
        daily.driver.evict(daily.type, daily.name)
        return int(daily.call("counted").typed) >= 2

    assert daily.driver.wait_long(has_run, 130)
    assert len(ids) == 1
    daily.driver.delete(daily.type, daily.name)


# Calls


def test_a_call_of_the_outbox_is_made_after_the_commit_and_its_result_heard(leaving: Subject, callee: Subject) -> None:
    id_ = leaving.call("tell", callee.name, "add", [5]).typed

    assert len(id_) == 32
    assert saw(leaving, 1) == [[True, False, {"total": 5, "key": 32}, None, None, None, 1]]
    assert callee.call("total").typed == 5
    assert leaving.call("jobs").typed == []


def test_a_refusal_is_the_outcome_at_once(leaving: Subject, callee: Subject) -> None:
    leaving.call("tell", callee.name, "refuse", [])
    leaving.call("tell", callee.name, "missing", [])
    leaving.call("tell", callee.name, "add", ["x" * 5, "y"])

    outcomes = saw(leaving, 3)
    assert [each[0:3] + each[4:] for each in outcomes] == [[False, False, None, None, None, 1]] * 3
    assert sorted(each[3][0] for each in outcomes) == ["ActorError", "ActorUnknownMethodError", "BadArgumentsError"]
    assert ["ActorError", "not here"] in [each[3] for each in outcomes]


def test_a_call_that_fails_is_tried_again(leaving: Subject, callee: Subject) -> None:
    leaving.call("tell", callee.name, "fail_first", [1])

    assert leaving.driver.wait_long(lambda: leaving.call("jobs").typed[0].get("tries", 0) >= 3, 20)
    [job] = leaving.call("jobs").typed
    assert (job["kind"], job["state"], job["then"]) == ("call", "retrying", "_heard")
    leaving.driver.delete(leaving.type, leaving.name)


def test_a_success_without_then_is_done_and_anything_else_is_kept(leaving: Subject, callee: Subject) -> None:
    leaving.call("tell", callee.name, "add", [5], None)
    leaving.call("tell", callee.name, "refuse", [], None)

    def is_over() -> bool:
        return [job["state"] for job in leaving.call("jobs").typed] == ["abandoned"]

    assert leaving.driver.wait(is_over, 5), leaving.call("jobs").typed
    assert leaving.call("jobs").typed == [{"kind": "call", "state": "abandoned", "method": "refuse", "tries": 1}]
    assert callee.call("total").typed == 5


def test_a_then_that_fails_is_tried_again_and_the_call_is_not(leaving: Subject, callee: Subject) -> None:
    leaving.call("fail_next", 2)
    leaving.call("tell", callee.name, "add", [5], "_heard_at_last")

    assert saw(leaving, 1, 10) == [[True, {"total": 5, "key": 32}, 2]]
    assert callee.call("total").typed == 5


# Requests


def test_a_request_goes_under_the_jobs_id_and_its_answer_is_heard(leaving: Subject, outside: Outside) -> None:
    outside.answer("/x", 201, {"Content-Type": "text/plain"}, b"made")
    id_ = leaving.call("ask", "POST", f"{outside.url}/x", {"json": {"n": 1}, "then": "_heard"}).typed

    assert saw(leaving, 1) == [[True, False, None, None, 201, "made", 1]]
    (asked,) = outside.asked()
    assert (asked.method, asked.path, asked.body) == ("POST", "/x", b'{"n":1}')
    assert asked.headers["idempotency-key"] == id_


def test_a_request_keeps_a_key_of_its_own(leaving: Subject, outside: Outside) -> None:
    outside.answer("/x", 200, {}, b"")
    leaving.call("ask", "GET", f"{outside.url}/x", {"headers": {"Idempotency-Key": "mine"}, "then": "_heard"})

    saw(leaving, 1)
    assert [each.headers["idempotency-key"] for each in outside.asked()] == ["mine"]


@pytest.mark.parametrize("status", [302, 404, 501, 505])
def test_an_answer_that_asks_for_nothing_more_is_the_outcome(leaving: Subject, outside: Outside, status: int) -> None:
    outside.answer("/x", status, {"Location": "/y"}, b"no")
    leaving.call("ask", "GET", f"{outside.url}/x", {"then": "_heard"})

    assert saw(leaving, 1) == [[False, False, None, None, status, "no", 1]]
    assert len(outside.asked()) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_request_is_sent_again_under_the_same_key(leaving: Subject, outside: Outside, status: int) -> None:
    outside.answer("/x", status, {}, b"")
    leaving.call("ask", "GET", f"{outside.url}/x", {"then": "_heard"})
    assert leaving.driver.wait(lambda: len(outside.asked()) == 1, 5)
    outside.answer("/x", 200, {}, b"at last")

    assert saw(leaving, 1) == [[True, False, None, None, 200, "at last", 2]]
    assert len({each.headers["idempotency-key"] for each in outside.asked()}) == 1
    assert len(outside.asked()) == 2


def test_retry_after_is_kept(leaving: Subject, outside: Outside) -> None:
    outside.answer("/x", 503, {"Retry-After": "3600"}, b"")
    leaving.call("ask", "GET", f"{outside.url}/x", {"then": "_heard"})

    assert leaving.driver.wait(lambda: leaving.call("waits_s").typed > 0, 5)
    assert 3500 < leaving.call("waits_s").typed <= 3600
    leaving.driver.delete(leaving.type, leaving.name)


def test_what_the_manifest_does_not_allow_is_the_outcome(leaving: Subject, outside: Outside) -> None:
    leaving.call("ask", "GET", "https://other.example/", {"then": "_heard"})

    [[ok, unknown, _, error, status, _, tries]] = saw(leaving, 1)
    assert (ok, unknown, status, tries) == (False, False, None, 1)
    assert error[0] == "OutboundDeniedError"


# Functions


def test_a_function_runs_at_the_times_of_its_manifest(driver: Driver) -> None:
    function = Subject(driver, "Leaving", "of the function")
    before = len(seen(function))

    # Earlier tests have set the clock ahead and back: its next time may lie as far ahead.
    assert driver.wait_long(lambda: len(seen(function)) > before, 250)
    assert seen(function)[-1] == ["* * * * *", 0, True, "hello"]
