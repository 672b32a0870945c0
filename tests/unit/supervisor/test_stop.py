"""The order in which a host stops."""

import asyncio
import signal
from pathlib import Path

import pytest

from holdfast_host.core.config import HostConfig
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.cluster.standby import Standby
from holdfast_host.supervisor.launching import FrontLaunch
from holdfast_host.supervisor.live_settings import LiveSettings
from holdfast_host.supervisor.processes.supervision import Phase, ProbeTimes, SupervisedProcess
from holdfast_host.supervisor.service_manager import ServiceManager
from holdfast_host.supervisor.startup import HostResources, open_resources
from tests.harness import processes
from tests.unit.supervisor.fake_compile import compile_json
from tests.unit.supervisor.running import RunningHost, wait_until


def test_workers_drain_before_anything_stops_and_fronts_stop_before_workers(host: RunningHost) -> None:
    host.workers = 2
    host.start()

    assert host.stop() == 0

    events = [each for each in host.events() if "starts" not in each]
    stops = [each for each in events if each.endswith("stop")]
    assert {each for each in events if each.endswith("drained")} == {
        "worker0 drained",
        "worker1 drained",
        "front0 drained",
    }
    assert events[-3:] == stops
    assert stops[0] == "front0 stop"
    assert not any(processes.is_running(pid) for pid in [*host.pids("worker"), *host.pids("front")])


def test_the_directory_is_free_after_a_stop(host: RunningHost) -> None:
    host.start()
    assert host.stop() == 0

    host.start()

    assert "did not stop in order" not in host.text()


@pytest.mark.limit("stop_timeout_s")
def test_a_worker_that_does_not_drain_in_time_is_killed(host: RunningHost) -> None:
    host.stop_s = 0.3
    host.start()
    host.misbehave("worker never-drain")

    assert host.stop() == 1
    assert "not stopped in time" in host.text()
    assert not any(processes.is_running(pid) for pid in host.pids("worker"))


def test_a_second_signal_kills_everything_at_once(host: RunningHost) -> None:
    host.start()
    host.misbehave("worker never-drain")
    host.signal(signal.SIGINT)
    wait_until(lambda: "worker0 drain" in host.events())
    host.signal(signal.SIGINT)

    assert host.wait() == 1
    assert not any(processes.is_running(pid) for pid in [*host.pids("worker"), *host.pids("front")])


def test_a_worker_that_dies_while_the_host_stops_is_not_replaced(host: RunningHost) -> None:
    host.start()
    host.misbehave("worker never-drain")
    host.signal(signal.SIGTERM)
    wait_until(lambda: "worker0 drain" in host.events())
    processes.send(host.pids("worker")[0], signal.SIGKILL)

    assert host.wait() == 0
    assert len(host.pids("worker")) == 1


def test_a_host_that_is_still_starting_stops_at_once(host: RunningHost) -> None:
    host.misbehave("worker never-ready")
    host.start(wait=False)
    wait_until(lambda: host.pids("worker"))

    assert host.stop() == 0


def test_a_front_whose_number_is_written_while_the_host_stops_is_not_started(tmp_path: Path) -> None:
    """Its listener is closed by then: that is no failure of its supervision."""

    async def run(resources: HostResources) -> SupervisedProcess:
        launch = FrontLaunch(0, config, resources, ("/bin/false",), LiveSettings(config, log))
        front = SupervisedProcess(
            "front 0",
            launch,
            log,
            probe_times=ProbeTimes(),
            on_message=lambda process, message: None,
            on_phase=lambda process: None,
        )
        running = asyncio.create_task(front.run())
        await asyncio.sleep(0)  # a thread takes its number
        resources.listener.close()
        await running
        launch.note_end()
        return front

    config = HostConfig.make(listen="127.0.0.1:0", data=str(tmp_path / "data"), workers=1)
    log = EventLog("info")
    with open_resources(config, log, Standby(ServiceManager({}), compile_json)) as resources:
        front = asyncio.run(run(resources))
        assert resources.front_numbers.live == []
    assert front.phase is Phase.OVER
    assert front.child is None


def test_a_failed_sync_stops_the_host_in_order_with_an_error(host: RunningHost) -> None:
    host.workers = 2
    host.start()
    host.worker(0, "fatal")

    assert host.wait() == 1
    assert "Input/output error" in host.text()
    assert len(host.pids("worker")) == 2
    assert "worker1 drained" in host.events()
