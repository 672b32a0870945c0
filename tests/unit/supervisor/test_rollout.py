"""A deploy over real processes: what is answered is what runs, whatever a worker does in between."""

import os
import re
import signal
import threading
from typing import Any

import pytest

from tests.unit.supervisor.fake_compile import component_text
from tests.unit.supervisor.running import RunningHost, wait_until

ONE = component_text("Account")
TWO = component_text("Account", remark="two")
THREE = component_text("Account", remark="three")


def test_every_worker_runs_the_new_version_when_the_answer_comes(host: RunningHost) -> None:
    host.workers = 2
    host.start()

    answer = host.deploy("account", ONE)

    assert answer["result"]["created"] is True
    assert answer["stages"] == ["checking", "compiling", "loading", "switching"]
    assert [host.worker(number)["runs"] for number in (0, 1)] == [{"account": 1}] * 2
    events = host.events()
    last_prepare = max(index for index, each in enumerate(events) if "prepare" in each)
    first_switch = min(index for index, each in enumerate(events) if "switch" in each)
    assert last_prepare < first_switch < events.index("front0 catalog 1")


def test_a_worker_that_refuses_to_load_calls_it_off_everywhere(host: RunningHost) -> None:
    host.workers = 2
    host.start()
    host.deploy("account", ONE)
    host.misbehave("worker refuse-prepare")

    answer = host.deploy("account", TWO)

    assert answer["error"] == {"name": "InvalidComponentError", "message": "refused", "code": None, "status": 422}
    assert [host.worker(number)["runs"] for number in (0, 1)] == [{"account": 1}] * 2
    assert host.ask("function", function="account")[0]["result"]["status"] == "failed"


def test_a_worker_that_dies_while_it_loads_calls_it_off(host: RunningHost) -> None:
    host.start()
    host.deploy("account", ONE)
    host.misbehave("worker die-at-prepare")

    answer = host.deploy("account", TWO)

    assert answer["error"]["name"] == "HostUnavailableError"
    assert host.worker(0)["runs"] == {"account": 1}


def test_a_worker_that_dies_at_the_switch_comes_back_with_the_new_version(host: RunningHost) -> None:
    host.start()
    host.deploy("account", ONE)
    host.misbehave("worker die-at-switch")

    answer = host.deploy("account", TWO)

    assert answer["result"]["version"] == 2
    assert host.worker(0)["runs"] == {"account": 2}


def test_a_worker_that_refuses_the_switch_is_replaced_by_one_that_runs_it(host: RunningHost) -> None:
    host.start()
    host.deploy("account", ONE)
    first = host.worker(0)["pid"]
    host.misbehave("worker refuse-switch")

    host.deploy("account", TWO)

    assert host.worker(0)["pid"] != first
    assert host.worker(0)["runs"] == {"account": 2}


def test_what_is_deployed_survives_the_death_of_every_process(host: RunningHost) -> None:
    host.start()
    host.deploy("account", ONE)
    func_id = host.ask("function", function="account")[0]["result"]["func_id"]
    for pid in [*host.pids("worker"), *host.pids("front")]:
        os.kill(pid, signal.SIGKILL)
    host.kill()

    host.start()

    assert host.worker(0)["runs"] == {"account": 1}
    assert host.ask("function", function="account")[0]["result"]["func_id"] == func_id


def test_a_deploy_under_way_is_answered_when_the_host_stops(host: RunningHost) -> None:
    host.start()
    component = component_text("Account", compile_s=60)
    upload = host.data / "uploads" / "slow"
    upload.write_text(component)
    lines = host.begin("deploy", function="account", component=str(upload), manifest=None)
    assert next(lines)["stage"] == "checking"
    host.signal(signal.SIGTERM)

    answers = list(lines)

    assert answers[-1]["error"]["name"] == "HostUnavailableError"
    assert host.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["deploy", "rollback", "delete"])
def test_what_is_recorded_when_the_host_is_told_to_stop_is_answered_as_done(host: RunningHost, operation: str) -> None:
    """A 503 would have its caller repeat it, and a repeated rollback goes back further."""
    host.start()
    for component in (ONE, TWO, THREE):
        host.deploy("account", component)
    upload = host.data / "uploads" / "next"
    upload.write_text(component_text("Account", remark="four"))
    arguments = {"component": str(upload), "manifest": None} if operation == "deploy" else {}
    step = "remove" if operation == "delete" else "switch"
    host.misbehave(f"worker wait-at-{step}")
    before = sum(step in each for each in host.events())
    lines = host.begin(operation, function="account", **arguments)
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.extend(lines))
    asking.start()
    wait_until(lambda: sum(step in each for each in host.events()) > before)
    host.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in host.text())
    host.misbehave()
    asking.join(30)

    assert answers[-1]["result"]["version"] == {"deploy": 4, "rollback": 2, "delete": 3}[operation]
    assert host.wait() == 0
    host.start()
    assert host.worker(0)["runs"] == {"deploy": {"account": 4}, "rollback": {"account": 2}, "delete": {}}[operation]


def test_what_cannot_be_done_is_refused_by_name(host: RunningHost) -> None:
    host.start()

    assert re.search("UnknownFunctionError", str(host.ask("delete", function="nobody")))


@pytest.mark.parametrize(
    ("operation", "arguments", "said"),
    [
        ("dance", {}, "Invalid value 'dance' - at `$.operation.operation`"),
        ("delete", {}, "missing required field `function` - at `$.operation`"),
        ("functions", {"of": "me"}, "unknown field `of` - at `$.operation`"),
    ],
)
def test_a_child_that_says_what_none_of_ours_says_is_replaced_and_the_log_says_what(
    host: RunningHost, operation: str, arguments: dict[str, str], said: str
) -> None:
    host.start()
    first = host.who()["pid"]

    assert host.ask(operation, **arguments) == []
    wait_until(lambda: len(host.pids("front")) == 2)
    assert host.who()["pid"] != first
    assert said in host.text()
