"""Jobs of a running host: runs, crons, calls between workers, requests; and what an operator sees of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from holdfast_host.cli.main import group
from tests.harness import components
from tests.harness.caller import Caller
from tests.harness.components import PROJECT
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.outside import Given, OutsideServer, outside_server

JOBS = PROJECT / "tests" / "harness" / "guests" / "jobs"
GRANTS = ("--outbound", "http://*", "--outbound-private", "127.0.0.1")
WAIT_S = 20.0


@pytest.fixture(scope="module")
def jobs_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host of two workers on which the purses are deployed."""
    with HostProcess(tmp_path_factory.mktemp("jobs") / "data", "--workers", "2", *GRANTS) as host:
        deploy(host, components.built(JOBS))
        yield host


@pytest.fixture
def caller(jobs_host: HostProcess) -> Iterator[Caller]:
    """A client of it."""
    with jobs_host.caller() as caller:
        yield caller


@pytest.fixture
def outside() -> Iterator[OutsideServer]:
    """A server on loopback."""
    with outside_server() as server:
        yield server


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (value := found()):
        assert time.monotonic() < deadline, f"still {value!r} after {WAIT_S} s"
        time.sleep(0.02)
    return value


def test_a_run_calls_a_private_method_with_its_arguments_and_is_gone(caller: Caller) -> None:
    caller.value("Purse", "run", "remind", 0.05, "milk")

    assert until(lambda: caller.value("Purse", "run", "notes")) == [["milk", 0, 0]]
    assert caller.value("Purse", "run", "jobs") == []


@pytest.mark.parametrize("to", ["b1", "b2", "b3", "b4"])
def test_a_call_reaches_an_instance_of_any_worker_and_its_result_comes_back(caller: Caller, to: str) -> None:
    caller.value("Purse", f"pays-{to}", "pay_in", to, 5)

    assert until(lambda: caller.value("Purse", f"pays-{to}", "notes")) == [[True, 5, None, None, 1]]
    assert caller.value("Purse", to, "balance") == {"balance": 5, "on_the_way": 0}


def test_a_refused_call_tells_who_made_it(caller: Caller) -> None:
    caller.value("Purse", "refused", "pay_in", "shut-1", 5)

    assert until(lambda: caller.value("Purse", "refused", "notes")) == [[False, None, None, "ActorError", 1]]


def test_a_request_is_sent_under_the_id_of_its_job(caller: Caller, outside: OutsideServer) -> None:
    outside.answers["/hook"] = Given(status=201, body=b"made")
    id_ = caller.value("Purse", "tells", "tell", f"{outside.url}/hook")

    assert until(lambda: caller.value("Purse", "tells", "notes")) == [[True, None, 201, None, 1]]
    (asked,) = outside.asked
    assert (asked.method, asked.headers["idempotency-key"], asked.body) == ("POST", id_, b'{"from":"tells"}')


def test_a_request_that_fails_is_sent_again_under_the_same_key(caller: Caller, outside: OutsideServer) -> None:
    outside.answers["/hook"] = Given(
        status=503, before=lambda: outside.answers.update({"/hook": Given()}) if len(outside.asked) > 1 else None
    )
    caller.value("Purse", "again", "tell", f"{outside.url}/hook")

    (note,) = until(lambda: caller.value("Purse", "again", "notes"))
    assert note[0] is True
    assert note[4] == len(outside.asked) > 1
    assert len({asked.headers["idempotency-key"] for asked in outside.asked}) == 1


def test_a_cron_is_listed_and_can_be_cancelled_by_its_key(caller: Caller) -> None:
    id_ = caller.value("Purse", "cron", "tick", "0 4 1 1 *")

    assert caller.value("Purse", "cron", "tick", "0 4 1 1 *") == id_, "saying the same again changes nothing"
    assert caller.value("Purse", "cron", "jobs") == [
        {"id": id_, "kind": "run", "state": "armed", "method": "_remember"}
    ]
    assert caller.value("Purse", "cron", "cancel", "tick") is True
    assert caller.value("Purse", "cron", "jobs") == []


def test_a_job_that_failed_for_good_is_listed_and_can_be_tried_again_and_cancelled(caller: Caller) -> None:
    id_ = caller.value("Purse", "shut-out", "pay_in", "shut-2", 5)
    (note,) = until(lambda: caller.value("Purse", "shut-out", "notes"))
    assert note[3] == "ActorError"
    waits = caller.value("Purse", "later", "remind", 3600, "milk", "milk")
    path = "/v1/instances/Purse/later/jobs"

    (listed,) = caller.request("GET", path).value["jobs"]
    assert (listed["id"], listed["kind"], listed["state"], listed["key"]) == (waits, "run", "armed", "milk")
    assert caller.request("GET", f"/v1/instances/Purse/shut-out/jobs/{id_}").status == 404
    shown = caller.request("GET", f"{path}/{waits}").value
    assert shown["payload"]["v"] == [["milk"], {}]
    assert (shown["method"], shown["outcome"]) == ("_remember", None)
    every = caller.request("GET", "/v1/jobs?state=armed&type=Purse").value["jobs"]
    assert waits in {each["id"] for each in every}
    assert caller.request("POST", f"{path}/{waits}/retry").value["state"] == "armed"
    assert until(lambda: caller.value("Purse", "later", "notes")) == [["milk", 0, 0]]
    again = caller.value("Purse", "later", "remind", 3600, "bread")
    assert caller.request("DELETE", f"{path}/{again}").value["deleted"] is True
    assert caller.request("DELETE", f"{path}/{again}").error == "UnknownJobError"
    assert caller.request("GET", "/v1/jobs?state=odd").status == 400


def test_an_operator_sees_jobs_from_the_command_line(jobs_host: HostProcess, caller: Caller) -> None:
    id_ = caller.value("Purse", "shown", "remind", 3600, "milk")
    run = CliRunner()

    def said(*words: str) -> str:
        result = run.invoke(group, ["job", *words, "--host", jobs_host.url])
        assert result.exit_code == 0, result.output
        return result.output

    assert f"armed      Purse/shown  {id_}  run _remember" in said("list", "--of", "Purse", "shown")
    assert id_ in said("list", "--state", "armed", "--type", "Purse")
    assert '["milk"]' in said("show", "Purse", "shown", id_)
    assert said("retry", "Purse", "shown", id_).startswith(f"The job {id_} of Purse/shown is due now.")
    until(lambda: caller.value("Purse", "shown", "notes"))
    metrics = caller.request("GET", "/metrics").text
    assert re.search(r'holdfast_jobs_total{[^}]*outcome="ok"[^}]*} [1-9]', metrics)


@pytest.mark.slow
def test_jobs_survive_the_death_of_every_process(tmp_path: Path) -> None:
    """A hundred of them, some under way: each has run once when the host is back."""
    with HostProcess(tmp_path / "data", "--workers", "2", *GRANTS) as host:
        deploy(host, components.built(JOBS))
        with host.caller() as caller:
            for number in range(100):
                caller.value("Purse", f"s{number % 10}", "remind", number / 100, f"{number}")
            host.kill_all()
        host.restart()
        with host.caller() as caller:
            names = [f"s{number}" for number in range(10)]
            until(lambda: not any(caller.value("Purse", name, "jobs") for name in names))
            told = [note[0] for name in names for note in caller.value("Purse", name, "notes")]
    assert sorted(told, key=int) == [f"{number}" for number in range(100)]


def test_a_clone_runs_what_was_scheduled_and_leaves_requests_with_the_instance_that_made_them(caller: Caller) -> None:
    caller.value("Purse", "moved", "remind", 3600.0, "milk", "k")
    caller.value("Purse", "moved", "tick", "0 0 1 1 *")
    caller.value("Purse", "moved", "tell", "http://127.0.0.1:9/nobody-listens")
    caller.value("Purse", "moved", "remind", 1.0, "soon")

    answer = caller.request("POST", "/v1/instances/Purse/moved/clone", b'{"name":"clone"}').value

    assert (answer["jobs"], answer["jobs_left_out"]) == (3, 1)

    def scheduled(name: str) -> list[Any]:
        listed = caller.request("GET", f"/v1/instances/Purse/{name}/jobs").value["jobs"]
        return sorted([job["due"], job["key"], job["method"]] for job in listed if job.get("key"))

    assert scheduled("clone") == scheduled("moved")
    for name in ("clone", "moved"):
        assert until(partial(caller.value, "Purse", name, "notes")) == [["soon", 0, 0]]
    assert [job["kind"] for job in caller.value("Purse", "clone", "jobs")] == ["run", "run"]
    exported = caller.request("GET", "/v1/instances/Purse/moved/export").text.splitlines()
    kinds = sorted(json.loads(line)["job"]["kind"] for line in exported if line.startswith('{"job"'))
    assert kinds == ["http", "run", "run"]
    caller.request("DELETE", "/v1/instances/Purse/moved")
