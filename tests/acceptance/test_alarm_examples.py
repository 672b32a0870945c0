"""The examples about alarms, deployed as a reader does it, on a real host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.harness import components
from tests.harness.caller import Caller
from tests.harness.components import PROJECT
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """One host with both examples."""
    with HostProcess(tmp_path_factory.mktemp("alarms") / "data", "--workers", "1") as running:
        for example in ("session", "reminders"):
            deploy(running, components.built(PROJECT / "examples" / example))
        yield running


@pytest.fixture
def caller(host: HostProcess) -> Iterator[Caller]:
    with host.caller() as connected:
        yield connected


def wait_for_end_of_alarm(caller: Caller, instance: str) -> None:
    deadline = time.monotonic() + 20.0
    while caller.request("GET", f"/v1/instances/{instance}/alarm").value is not None:
        assert time.monotonic() < deadline, f"the alarm of {instance} did not run"
        time.sleep(0.05)


def test_each_touch_pushes_the_end_of_a_session_out(caller: Caller) -> None:
    started = caller.value("Session", "s1", "log_in", user="alice", idle_s=60)
    touched = caller.value("Session", "s1", "touch")

    assert started["user"] == touched["user"] == "alice"
    assert datetime.fromisoformat(touched["expires"]) > datetime.fromisoformat(started["expires"])
    assert caller.request("GET", "/v1/instances/Session/s1/alarm").value["state"] == "armed"


def test_a_session_that_nobody_touches_ends_and_leaves_nothing(caller: Caller) -> None:
    caller.value("Session", "s2", "log_in", user="bob", idle_s=0.3)
    wait_for_end_of_alarm(caller, "Session/s2")
    ended = caller.call("Session", "s2", "touch")

    assert (ended.status, ended.error, ended.value["error"]["code"]) == (401, "ActorError", "session_ended")


def test_a_session_that_is_ended_has_no_alarm(caller: Caller) -> None:
    caller.value("Session", "s3", "log_in", user="carol")
    caller.value("Session", "s3", "end")

    assert caller.request("GET", "/v1/instances/Session/s3/alarm").value is None


def test_many_reminders_ring_in_order_on_one_alarm_and_a_cancelled_one_does_not(caller: Caller) -> None:
    assert caller.value("Reminders", "alice", "remind", text="tea", in_s=1.2) == 1
    assert caller.value("Reminders", "alice", "remind", text="door", in_s=0.6) == 2
    assert caller.value("Reminders", "alice", "remind", text="never", in_s=0.9) == 3
    assert caller.value("Reminders", "alice", "cancel", number=3) is True
    assert caller.value("Reminders", "alice", "waiting") == ["door", "tea"]
    wait_for_end_of_alarm(caller, "Reminders/alice")

    assert caller.value("Reminders", "alice", "rung") == ["door", "tea"]
    assert caller.value("Reminders", "alice", "waiting") == []


def test_more_reminders_than_a_turn_rings_all_ring_once(caller: Caller) -> None:
    for number in range(250):
        caller.value("Reminders", "busy", "remind", text=str(number), in_s=0)
    wait_for_end_of_alarm(caller, "Reminders/busy")

    assert sorted(map(int, caller.value("Reminders", "busy", "rung"))) == list(range(250))


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("Session/x/alarm", '{"due":"2030-01-01T00:00:00"}', "without an offset"),
        ("Session/x/alarm", '{"due":1793534400000}', "not milliseconds"),
        ("Session/x/alarm", '{"due":30}', "before September 2001"),
        ("Session/x/alarm", '{"due":0}', "not seconds from now"),
        ("Session/x/alarm", f'{{"due":-1{400 * "0"}}}', "before September 2001"),
        ("Session/x/alarm", f'{{"due":1{400 * "0"}}}', "not milliseconds"),
        ("Session/x/alarm", '{"due":"9999-12-31T23:59:59-12:00"}', "past the year 9999 in UTC"),
        ("Session/x/alarm", '{"due":"tomorrow"}', "2026-11-01T12:30:00+00:00"),
        ("Session/x/alarm", '{"due":true}', "seconds since 1970"),
        ("Session/x/alarm", '{"at":1}', "unknown key 'at'"),
        ("Session/x/alarm", "[1]", "JSON object"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(caller: Caller, path: str, body: str, says: str) -> None:
    answer = caller.request("PUT", f"/v1/instances/{path}", body)

    assert (answer.status, answer.error) == (400, "BadRequestError")
    assert says in answer.value["error"]["message"]


@pytest.mark.parametrize("query", ["state=late", "limit=0", "limit=9999", "cursor=armed.7.00", "cursor=x", "what=1"])
def test_a_listing_that_cannot_be_meant_is_refused(caller: Caller, query: str) -> None:
    answer = caller.request("GET", f"/v1/alarms?{query}")

    assert (answer.status, answer.error) == (400, "BadRequestError")


@pytest.mark.slow
def test_an_alarm_is_set_read_listed_page_by_page_and_cleared_over_http(caller: Caller) -> None:
    names = [f"page-{number}" for number in range(5)]
    for number, name in enumerate(names):
        set_one = caller.request(
            "PUT", f"/v1/instances/Session/{name}/alarm", f'{{"due":"2099-01-0{number + 1}T00:00:00Z"}}'
        )
        assert set_one.value["due"] == f"2099-01-0{number + 1}T00:00:00.000000Z"
    listed: list[str] = []
    cursor = ""
    while True:
        page = caller.request("GET", f"/v1/alarms?limit=2{cursor}").value
        assert len(page["alarms"]) <= 2
        listed += [row["name"] for row in page["alarms"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    cleared = [caller.request("DELETE", f"/v1/instances/Session/{name}/alarm").value for name in [*names, names[0]]]

    assert [name for name in listed if name.startswith("page-")] == names
    assert cleared == [{"deleted": True}] * 5 + [{"deleted": False}]
