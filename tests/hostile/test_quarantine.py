"""What can still kill a worker: it is restarted, the instance is named, and one that does it again is kept away."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from holdfast_host.supervisor.quarantine import DEATHS_MAX, Quarantine
from holdfast_host.wire.running_page import RECORDS, UNNOTED, RunningPage
from tests.harness.background import CallUnderWay
from tests.harness.caller import Caller
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.mutants import host as mutants

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
        assert "died while these ran: Probe/deadly-name" in host.log
        assert "Probe/deadly-name has killed workers again and again" in host.log
        assert 'holdfast_worker_deaths_total{worker="0"} 3.0' in caller.request("GET", "/metrics").text

        released = caller.request("POST", "/v1/instances/Probe/deadly-name/release")
        assert released.value == {"released": True}
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


def test_the_share_of_a_death_is_divided_and_another_version_starts_clean(tmp_path: Path) -> None:
    quarantine = Quarantine.open(tmp_path / "quarantine.json")
    versions = {1: 7}
    beside = [(1, b"neighbour-%d" % number) for number in range(3)]
    for number in range(3):
        assert quarantine.blame([(1, b"killer"), beside[number]], versions) == []
    assert quarantine.blame([(1, b"killer")], versions) == []
    assert quarantine.blame([(1, b"killer")], versions) == [(1, b"killer")]

    again = Quarantine.open(tmp_path / "quarantine.json")
    assert again.listed(versions) == [(1, b"killer")]
    assert again.listed({1: 8}) == again.listed({}) == []
    assert again.release((1, b"killer"))
    assert again.listed(versions) == []


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
