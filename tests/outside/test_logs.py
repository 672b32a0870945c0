"""What guests print, over a real host: /v1/logs and `holdfast logs`."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness import commands
from tests.harness.caller import Caller
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST

Line = dict[str, Any]


def logs(caller: Caller, query: str = "") -> list[Line]:
    answer = caller.request("GET", f"/v1/logs?{query}")
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def wait_for(caller: Caller, count: int, query: str = "") -> list[Line]:
    """The lines, once there are that many: they are written behind the turns' backs."""
    deadline = time.monotonic() + 10
    while len(lines := logs(caller, query)) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)
    return lines


def test_lines_come_with_type_name_function_and_turn_in_order_over_all_workers(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    with host.caller() as caller:
        for number in range(10):
            caller.value("Probe", f"n/{number}", "say", 2)
        lines = wait_for(caller, 20)

        assert [line["name"] for line in lines] == [f"n/{number}" for number in range(10) for _ in range(2)]
        assert [line["message"] for line in lines[:2]] == ["line 0", "line 1"]
        assert {(line["type"], line["function"], line["level"]) for line in lines} == {("Probe", "probe", "stdout")}
        assert lines[0]["turn"] == lines[1]["turn"]
        assert len({line["turn"] for line in lines}) == 10
        assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


def test_lines_are_chosen_by_type_name_and_function_and_from_the_end(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    with host.caller() as caller:
        caller.value("Probe", "alice", "say", 3)
        caller.value("Probe", "bob", "say", 1)
        caller.call("Fragile", "bad", "made")
        wait_for(caller, 5)

        assert {line["name"] for line in logs(caller, "type=Probe")} == {"alice", "bob"}
        assert [line["message"] for line in logs(caller, "type=Probe&name=alice")] == ["line 0", "line 1", "line 2"]
        assert len(logs(caller, "name=bob")) == 1
        assert logs(caller, "function=other") == []
        assert logs(caller, "type=Probe&name=alice&function=probe&tail=1")[0]["message"] == "line 2"
        assert "cannot be made" in logs(caller, "type=Fragile")[0]["message"]
        assert [line["level"] for line in logs(caller, "level=error")] == ["error"]
        last = logs(caller)[-1]
        assert logs(caller, f"since={last['time']:.6f}")[-1] == last
        assert logs(caller, f"since={last['time'] + 1:.6f}") == []
        for query in (
            "colour=red",
            "level=loud",
            "since=yesterday",
            "since=-1",
            "since=1e9",
            "since=1e400",
            f"since={last['time'] * 1000:.0f}",
            "follow=perhaps",
            "tail=x",
            "tail=10001",
            f"tail={20 * '0'}{20 * '1'}",
        ):
            assert caller.request("GET", f"/v1/logs?{query}").status == 400


def test_a_trap_and_a_traceback_are_in_the_log_and_in_no_answer(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        said = caller.call("Probe", "a", "raise_only")
        caller.call("Probe", "a", "trap")
        lines = wait_for(caller, 2)

        assert "app.py" not in said.text
        assert "app.py" in lines[0]["message"]
        assert lines[1]["message"].startswith("trap: ")


@pytest.mark.slow
def test_lines_outlive_the_host(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "a", "say", 1)
        wait_for(caller, 1)
    host.kill("worker")
    with host.caller() as caller:
        caller.value("Probe", "a", "say", 1)
        assert len(wait_for(caller, 2)) == 2
    host.stop()
    host.start()
    with host.caller() as caller:
        assert len(logs(caller)) == 2


def test_a_follower_gets_lines_as_they_are_written_and_holds_no_stop(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    where = urlsplit(host.url)
    following = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    following.request("GET", "/v1/logs?type=Probe&follow=true")
    response = following.getresponse()
    with host.caller() as caller:
        for number in range(3):
            caller.value("Probe", f"n{number}", "say", 1)
            assert json.loads(response.readline())["name"] == f"n{number}"
    host.stop()
    assert response.read() == b""
    following.close()


@pytest.mark.slow
@pytest.mark.limit("log_bytes_max")
def test_a_flood_is_bounded_and_holds_up_nobody(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "log_bytes_max=262144")
    with host.caller() as caller:
        for number in range(4):
            caller.value("Probe", f"loud{number}", "say", 20_000)
        began = time.monotonic()
        caller.value("Probe", "quiet", "nothing")
        assert time.monotonic() - began < 5
        wait_for(caller, 1)
    kept = sum(path.stat().st_size for path in (host.data / "logs" / "w0").iterdir())
    assert kept < 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_follower_waits_for_a_host_that_ends_and_goes_on_without_losing_or_doubling_a_line(
    start_probe_host: StartHost, end: str
) -> None:
    host = start_probe_host()
    environment = {**os.environ, "HOLDFAST_HOST": host.url, "PYTHONUNBUFFERED": "1"}
    command = [HOLDFAST, "logs", "-f", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        for number in range(3):
            with host.caller() as caller:
                caller.value("Probe", "a", "say", 2, f"round {number}")
            assert [json.loads(follower.stdout.readline())["message"] for _ in range(2)] == 2 * [f"round {number}"]
            host.stop() if end == "stop" else host.kill_all()
            assert "has stopped or is not reached any more" in follower.stderr.readline()
            host.start()
            assert follower.stderr.readline() == f"The host at {host.url} is back: going on.\n"
        follower.send_signal(signal.SIGINT)
        assert (follower.stdout.read(), follower.stderr.read()) == ("", "")
        assert follower.wait(20) == 130, "the shell's code for what Ctrl-C has ended"


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_hosts_log_has_one_format_for_its_own_lines_and_for_what_guests_print(
    start_probe_host: StartHost, log_format: str
) -> None:
    host = start_probe_host("--log-format", log_format, HOLDFAST_ODD="1")
    with host.caller() as caller:
        caller.value("Probe", "alice", "say", 1)
        caller.call("Probe", "alice", "raise_only")
        wait_for(caller, 2)
    host.kill("worker")
    with host.caller() as caller:
        caller.value("Probe", "alice", "say", 1)
        wait_for(caller, 3)
    host.stop()
    lines = host.log.splitlines()

    if log_format == "json":
        facts = [json.loads(line) for line in lines]
        assert all({"time", "level", "message"} <= each.keys() for each in facts)
        processes = {each["process"] for each in facts if "process" in each}
        assert {"supervisor", "front 0"} <= processes <= {"supervisor", "front 0", "worker 0"}
        printed = [each["message"] for each in facts if "process" not in each]
        assert printed[0] == "line 0"
        assert all("instance" in each for each in facts if "process" not in each)
    else:
        assert all(
            re.match(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z \w+ (supervisor|front 0|worker 0) ", line) for line in lines
        ), lines
        assert lines[0].partition(" warning supervisor ")[2].startswith("HOLDFAST_ODD is no variable")
        assert any(line.endswith(" stdout worker 0 Probe/alice | line 0") for line in lines)
        assert any(" error worker 0 Probe/alice | Traceback" in line for line in lines)
    assert any("died" in line for line in lines)


@pytest.mark.slow
def test_the_command_chooses_by_time_and_level(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "say", 1)
        caller.call("Fragile", "bad", "made")
        wait_for(caller, 2)

    assert len(commands.run(host, "logs", "--since", "1h").splitlines()) > 1
    for late in ("2099-01-01T00:00+00:00", "5200-01-01", "9999-12-31", "253402300799"):
        assert commands.run(host, "logs", "--since", late) == ""
    assert "Probe/alice" not in commands.run(host, "logs", "--level", "warning")
    assert "Fragile/bad | " in commands.run(host, "logs", "--level", "warning", "--since", "1970-01-02")
    refused = commands.run_any(host, "logs", "--since", "soon")
    assert refused.returncode == 2
    assert refused.stderr == (
        "Invalid value for '--since': 'soon' is no time: write 10m, 2026-11-01T12:30:00+00:00, or seconds since 1970;"
        " see 'holdfast logs --help'.\n"
    )


def test_the_command_shows_lines_and_follows(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    environment = {**os.environ, "HOLDFAST_HOST": host.url}
    with host.caller() as caller:
        caller.value("Probe", "alice", "say", 2)
        wait_for(caller, 2)
        shown = subprocess.run(
            [HOLDFAST, "logs", "--type", "Probe", "-n", "1"],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        assert shown.stdout.endswith(" Probe/alice | line 1\n")

        command = [HOLDFAST, "logs", "-f", "--name", "bob", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as follower:
            caller.value("Probe", "bob", "say", 1)
            assert follower.stdout is not None
            assert json.loads(follower.stdout.readline())["message"] == "line 0"
            follower.terminate()
