"""`print()` and `logging` go to the instance's log; sleeping is refused."""

from __future__ import annotations

import json
import time

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import HostDriver, Subject


def test_output_goes_to_the_instances_log_line_by_line(probe: Subject) -> None:
    assert probe.call("say").status == 200

    assert probe.log == [
        ("stdout", "one 2"),
        ("stdout", "two"),
        ("stdout", "three"),
        ("stdout", "half whole"),
        ("stderr", "to stderr"),
        ("info", "root info"),
        ("warning", "shop: low on tea"),
        ("error", "shop: no tea"),
        ("stdout", "not ended"),
    ]


def test_what_a_failed_turn_printed_is_in_the_log(probe: Subject) -> None:
    probe.call("say_and_raise")

    (level, text), *rest = probe.log
    assert (level, text) == ("stdout", "said before it failed")
    assert [level for level, _ in rest] == ["error"]


@pytest.mark.parametrize("text", ["", " ", "名前 é", "\ttab", "a\rb", "\x00", "\U0001f600"])
def test_any_text_can_be_printed(probe: Subject, text: str) -> None:
    probe.call("say_text", text)

    assert probe.log == [("stdout", text)]


def test_a_blank_line_is_one_with_an_empty_message_over_http_too(host_driver: HostDriver) -> None:
    blank = Subject(host_driver, "Probe", "blank")
    blank.call("say_text", "")
    assert blank.log == [("stdout", "")]

    with host_driver.host.caller() as caller:
        deadline = time.monotonic() + 10
        while not (lines := caller.request("GET", "/v1/logs?name=blank").text.splitlines()):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    assert [json.loads(line)["message"] for line in lines] == [""]


def test_a_lone_surrogate_is_printed_as_its_escape(probe: Subject) -> None:
    probe.call("say_text", "a\ud800")

    assert probe.log == [("stdout", "a\\ud800")]


def test_instances_have_logs_of_their_own(subject: NewSubject) -> None:
    one, other = subject("Probe", "one"), subject("Probe", "other")
    one.call("say_text", "from one")
    other.call("say_text", "from other")

    assert one.log == [("stdout", "from one")]


@pytest.mark.parametrize("method", ["sleep", "sleep_by_a_copied_name"])
def test_sleeping_is_refused_and_alarms_are_named(probe: Subject, method: str) -> None:
    reply = probe.call(method)

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith("RuntimeError: time.sleep(0.01)")
    assert "alarm" in reply.error["message"]


def test_all_clocks_of_a_turn_say_the_same_and_local_time_is_utc(probe: Subject) -> None:
    seconds, aware, naive = probe.call("now").typed

    assert abs(aware.timestamp() - seconds) < 1
    assert abs((naive - aware.replace(tzinfo=None)).total_seconds()) < 1
    assert naive.tzinfo is None
