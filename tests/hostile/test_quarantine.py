"""What can still kill a worker: it is restarted, the instance is named, and one that does it again is kept away."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from holdfast_host.supervisor.crashes.quarantine import DEATHS_MAX, VERSION, VERSION_DEATHS_MAX, Instance, Quarantine
from holdfast_host.wire.pages.running_turns_page import RECORDS, UNNOTED, RunningPage
from tests.harness import components
from tests.harness.background import CallUnderWay
from tests.harness.caller import Answer, Caller
from tests.harness.commands import run
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, PROJECT, HostProcess
from tests.harness.mutants import host as mutants

WEB = PROJECT / "tests" / "harness" / "guests" / "web"
DEADLY = mutants.command("crash_in_deadly_names")


def kill_worker_by(host: HostProcess, caller: Caller, name: str) -> None:
    before = host.pids()["worker"]
    answer = caller.call("Probe", name, "increment")
    assert answer.error == "HostUnavailableError", answer
    assert answer.retryable
    assert host.pids()["worker"] != before


def test_an_instance_that_kills_workers_is_named_quarantined_and_released(start_probe_host: StartHost) -> None:
    host = start_probe_host(command=DEADLY)
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "increment") == 1
        for _ in range(int(DEATHS_MAX)):
            kill_worker_by(host, caller, "deadly-name")
        pids = host.pids()
        refused = caller.call("Probe", "deadly-name", "increment")

        assert refused.error == "ActorQuarantinedError"
        assert refused.status == 503
        assert "Probe/deadly-name" in refused.text
        assert caller.value("Probe", "alice", "increment") == 2
        assert host.pids() == pids
        listed = caller.request("GET", "/v1/quarantined").value
        assert [(each["type"], each["name"], each["version"]) for each in listed["quarantined"]] == [
            ("Probe", "deadly-name", 1)
        ]
        assert listed["cursor"] is None
        assert caller.request("GET", "/v1/instances/Probe/deadly-name").value["quarantined"] is True
        assert caller.request("GET", "/v1/instances/Probe/alice").value["quarantined"] is False
        assert "quarantined" in run(host, "inspect", "Probe", "deadly-name")
        assert run(host, "quarantined").endswith("probe version 1  Probe/deadly-name\n")
        assert "died while these ran: Probe/deadly-name" in host.log
        assert "Probe/deadly-name has killed workers again and again" in host.log
        assert 'holdfast_worker_deaths_total{worker="0"} 3.0' in caller.request("GET", "/metrics").text

        assert run(host, "release", "Probe", "deadly-name") == "Probe/deadly-name is released.\n"
        assert run(host, "quarantined") == ""
        assert caller.request("GET", "/v1/instances/Probe/deadly-name").value["quarantined"] is False
        assert caller.request("POST", "/v1/instances/Probe/deadly-name/release").value == {"released": False}
        kill_worker_by(host, caller, "deadly-name")


def test_a_quarantine_outlives_the_host(start_probe_host: StartHost) -> None:
    host = start_probe_host(command=DEADLY)
    with host.caller() as caller:
        for _ in range(int(DEATHS_MAX)):
            kill_worker_by(host, caller, "deadly-名前")
    host.kill_all()
    host.start()
    with host.caller() as caller:
        assert caller.call("Probe", "deadly-名前", "nothing").error == "ActorQuarantinedError"
        assert caller.value("Probe", "alice", "increment") == 1


def test_a_worker_killed_from_outside_is_held_against_nobody(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "nothing")
    deaths = 0
    while deaths <= DEATHS_MAX:
        running = CallUnderWay(host, "Probe", "alice", "spin", 2)
        time.sleep(0.3)  # most often it has begun by then; where it has not, it is sent again and this round is lost
        host.kill("worker")
        deaths += running.answer().error == "HostUnavailableError"
    assert host.log.count("died while these ran: Probe/alice") > DEATHS_MAX
    with host.caller() as caller:
        assert caller.call("Probe", "alice", "nothing").status == 200


def test_the_alarm_of_a_quarantined_instance_is_parked_until_it_is_released_or_a_new_version_comes(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    host = start_probe_host(command=DEADLY)
    with host.caller() as caller:
        for name in ("deadly-1", "deadly-2"):
            for _ in range(int(DEATHS_MAX)):
                kill_worker_by(host, caller, name)
            assert caller.request("PUT", _alarm(name)).status == 200
            _wait_for_alarm(caller, name, "parked")
        assert _metric(caller, 'holdfast_quarantined{kind="instance"}') == 2
        assert caller.value("Probe", "alice", "increment") == 1
    host.stop()
    host.command = (HOLDFAST,)
    host.start()
    with host.caller() as caller:
        for name in ("deadly-1", "deadly-2"):
            _wait_for_alarm(caller, name, "parked")  # a new worker looks at what is due a moment after its start

        assert caller.request("POST", "/v1/instances/Probe/deadly-1/release").value == {"released": True}
        _wait_for_alarm(caller, "deadly-1", None)
        assert caller.value("Probe", "deadly-1", "increment") == 1
        assert caller.request("GET", _alarm("deadly-2")).value["state"] == "parked"

        probe = components.built(components.PROBE)
        manifest = tmp_path / "holdfast.toml"
        manifest.write_text(f"{probe.manifest.read_text()}\n[limits]\nmethod_s = 29\n")
        deploy(host, TestComponent("probe", probe.project, manifest, probe.component))
        _wait_for_alarm(caller, "deadly-2", None)
        assert caller.value("Probe", "deadly-2", "increment") == 1
        assert _metric(caller, 'holdfast_quarantined{kind="instance"}') == 0


def test_a_function_that_kills_workers_is_quarantined_in_all_of_them_and_released(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    host = start_probe_host(command=DEADLY, workers=2)
    web = components.built(WEB)
    manifest = tmp_path / "holdfast.toml"
    manifest.write_text(web.manifest.read_text().partition("[deploy]")[0].replace('"web"', '"deadly"'))
    deploy(host, TestComponent("deadly", web.project, manifest, web.component))
    deploy(host, components.built(components.ACCOUNT))
    with host.caller() as caller:

        def ask(function: str) -> Answer:
            return caller.request("GET", f"/fn/{function}/health/liveness")

        for _ in range(int(DEATHS_MAX)):
            assert ask("deadly").error == "HostUnavailableError"
            _wait_for_workers(caller, 2)
        pids = host.pids()
        refused = [ask("deadly") for _ in range(6)]

        assert {answer.error for answer in refused} == {"ActorQuarantinedError"}
        assert host.pids() == pids
        assert ask("account").status == 200
        assert caller.value("Probe", "alice", "increment") == 1
        assert "the function 'deadly' has killed workers again and again" in host.log
        assert _metric(caller, 'holdfast_quarantined{kind="function"}') == 1

        assert caller.request("POST", "/v1/functions/nobody/release").error == "UnknownFunctionError"
        assert run(host, "quarantined").endswith("deadly version 1  its fetch handler\n")
        assert run(host, "release", "deadly") == "The function 'deadly' is released.\n"
        assert caller.request("POST", "/v1/functions/deadly/release").value == {"released": False}
        assert ask("deadly").error == "HostUnavailableError"


def test_code_that_kills_under_another_name_each_time_is_quarantined_whole_and_its_neighbours_go_on(
    start_probe_host: StartHost,
) -> None:
    """Twelve names, twelve deaths: none of them was the same one three times."""
    host = start_probe_host(command=DEADLY)
    deploy(host, components.built(components.ACCOUNT))
    with host.caller() as caller:
        for number in range(int(VERSION_DEATHS_MAX)):
            kill_worker_by(host, caller, f"deadly-{number}")
        pids = host.pids()
        refused = [caller.call("Probe", name, "increment") for name in ("deadly-12", "deadly-13", "alice")]

        assert {answer.error for answer in refused} == {"ActorQuarantinedError"}
        assert (
            "Probe/alice: the function 'probe', whichever of its instances ran, has killed workers" in refused[2].text
        )
        assert host.pids() == pids
        assert caller.value("Account", "bob", "deposit", 1) == {"balance": 1}
        assert caller.request("GET", "/v1/instances/Probe/alice").value["quarantined"] is True
        listed = caller.request("GET", "/v1/quarantined").value["quarantined"]
        assert [(each["function"], each["what"], each["type"], each["name"]) for each in listed] == [
            ("probe", "version", None, None)
        ]
        assert run(host, "quarantined").endswith("probe version 1  all of it\n")
        assert _metric(caller, 'holdfast_quarantined{kind="function"}') == 1
        assert "the function 'probe', whichever of its instances ran, has killed workers again and again" in host.log

        assert run(host, "release", "probe") == "The function 'probe' is released.\n"
        assert run(host, "quarantined") == ""
        assert caller.value("Probe", "alice", "increment") == 1


def _alarm(name: str) -> str:
    return f"/v1/instances/Probe/{name}/alarm"


def _wait_for_alarm(caller: Caller, name: str, state: str | None) -> None:
    """Until the alarm is in that state, or gone where it is None."""
    deadline = time.monotonic() + 30
    while ((alarm := caller.request("GET", _alarm(name)).value) and alarm["state"]) != state:
        assert time.monotonic() < deadline, alarm
        time.sleep(0.02)


def _wait_for_workers(caller: Caller, count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(_metric(caller, f'holdfast_worker_up{{worker="{number}"}}') for number in range(count)) < count:
        assert time.monotonic() < deadline, "the workers never were up again"
        time.sleep(0.02)


def _metric(caller: Caller, series: str) -> float:
    text = caller.request("GET", "/metrics").text
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(series))


def test_the_share_of_a_death_is_divided_and_another_version_starts_clean(tmp_path: Path) -> None:
    quarantine = Quarantine.open(tmp_path / "quarantine.json")
    deployed = {1: 7}

    def version_of(instance: Instance) -> tuple[str, int] | None:
        version = deployed.get(instance[0])
        return None if version is None else ("f", version)

    beside = [(1, b"neighbour-%d" % number) for number in range(3)]
    for number in range(3):
        assert quarantine.blame([(1, b"killer"), beside[number]], version_of) == []
    assert quarantine.blame([(1, b"killer")], version_of) == []
    assert quarantine.blame([(1, b"killer")], version_of) == [(1, b"killer")]

    again = Quarantine.open(tmp_path / "quarantine.json")
    assert list(again.listed(version_of)) == [(1, b"killer")]
    deployed[1] = 8
    assert list(again.listed(version_of)) == []
    del deployed[1]
    assert list(again.listed(version_of)) == []
    deployed[1] = 7
    assert again.release((1, b"killer"))
    assert list(again.listed(version_of)) == []


def test_one_name_does_not_make_its_version_bad_and_of_two_versions_one_is_caught_at_a_time(tmp_path: Path) -> None:
    quarantine = Quarantine.open(tmp_path / "quarantine.json")

    def deployed_of(instance: Instance) -> tuple[str, int]:
        return ("busy" if instance[0] == 1 else "bad", 1)

    for _ in range(20):
        quarantine.blame([(1, b"one")], deployed_of)
    assert list(quarantine.listed(deployed_of)) == [(1, b"one")]

    caught: list[list[Instance]] = []
    for number in range(2 * int(VERSION_DEATHS_MAX)):
        busy = [(1, b"%d-%d" % (number, each)) for each in range(9)]
        caught.append(quarantine.blame([*busy, (2, b"%d" % number)], deployed_of))
    assert [each for each in caught if each] == [[(VERSION, b"busy")], [(VERSION, b"bad")]]

    again = Quarantine.open(tmp_path / "quarantine.json")
    assert again.release((VERSION, b"busy"))
    assert list(again.listed(deployed_of)) == [(1, b"one"), (VERSION, b"bad")]


def test_a_page_shows_whose_turns_run_and_has_room_for_so_many() -> None:
    writer = RunningPage.create()
    reader = RunningPage(os.dup(writer.fd))
    records = [writer.note(number % 3, b"n%d" % number) for number in range(RECORDS)]
    assert writer.note(1, b"one more") == UNNOTED
    writer.clear(UNNOTED)
    for record in records[2:]:
        writer.clear(record)

    assert sorted(reader.names()) == [(0, b"n0"), (1, b"n1")]
    assert writer.note(5, b"x" * 256) != UNNOTED
    assert (5, b"x" * 256) in reader.names()
    reader.wipe()
    assert reader.names() == []
    reader.close()
    writer.close()


pytestmark = pytest.mark.slow
