"""Processes die in every way; the host stays, or goes as a whole."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import processes
from tests.unit.supervisor.fake_compile import component_text
from tests.unit.supervisor.running import RunningHost, wait_until


def test_the_url_is_announced_when_every_process_is_ready(host: RunningHost) -> None:
    host.misbehave("worker start-slowly")

    announced = host.start()

    assert announced["url"].startswith("http://127.0.0.1:")
    assert host.who()["pid"] == host.pids("front")[0]
    assert sorted(host.events()) == ["front0 starts", "worker0 starts"]


def test_a_killed_worker_is_replaced_on_the_same_socket(host: RunningHost) -> None:
    host.start()
    first = host.worker(0)["pid"]
    processes.send(first, signal.SIGKILL)

    second = host.worker(0)["pid"]  # waits in the backlog until the successor accepts

    assert second != first
    assert not processes.is_running(first)
    assert host.who()["pid"] == host.pids("front")[0]


def test_a_stopped_worker_is_killed_and_waited_for_before_its_successor_starts(host: RunningHost) -> None:
    host.start()
    first = host.worker(0)["pid"]
    processes.send(first, signal.SIGSTOP)

    wait_until(lambda: len(host.pids("worker")) == 2)

    log = host.text()
    assert not Path(f"/proc/{first}").exists()
    assert "worker 0 hangs: killed" in log
    assert log.index("worker 0 died") < log.index(f"worker 0 started pid={host.pids('worker')[1]}")
    assert host.worker(0)["pid"] == host.pids("worker")[1]


def test_a_worker_that_is_silent_but_runs_is_replaced(host: RunningHost) -> None:
    host.start()
    host.misbehave("worker ignore-pings")
    wait_until(lambda: len(host.pids("worker")) == 2)
    host.misbehave()

    assert "worker 0 hangs: killed" in host.text()
    assert host.worker(0)["pid"]


def test_a_killed_front_is_replaced_on_the_same_port(host: RunningHost) -> None:
    host.start()
    first = host.who()["pid"]
    processes.send(first, signal.SIGKILL)

    assert host.who()["pid"] != first
    assert len(host.pids("worker")) == 1


def test_a_supervisor_that_was_itself_stopped_for_a_while_kills_nobody(host: RunningHost) -> None:
    host.start()
    host.signal(signal.SIGSTOP)
    time.sleep(1.2)  # longer than a worker may be silent
    host.signal(signal.SIGCONT)

    assert host.worker(0)["pid"] == host.pids("worker")[0]
    assert host.stop() == 0
    assert "hangs" not in host.text()


def test_a_killed_supervisor_leaves_no_process(host: RunningHost) -> None:
    host.start()
    children = [*host.pids("worker"), *host.pids("front")]
    assert host.process is not None
    host.process.kill()

    wait_until(lambda: not any(processes.is_running(pid) for pid in children))


def test_a_killed_supervisor_leaves_no_stopped_process_either(host: RunningHost) -> None:
    host.start()
    worker = host.worker(0)["pid"]
    processes.send(worker, signal.SIGSTOP)
    assert host.process is not None
    host.process.kill()

    wait_until(lambda: not processes.is_running(worker))


def test_a_process_whose_parent_is_gone_already_ends_at_once() -> None:
    script = (
        "import os; from holdfast_host.core import child_process as its; its.die_with_parent(os.getppid() + 1); print()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (1, b"")


def test_a_supervisor_killed_while_its_children_start_leaves_no_process(host: RunningHost) -> None:
    host.misbehave("worker never-ready")
    host.start(wait=False)
    wait_until(lambda: host.pids("worker"))
    children = [*host.pids("worker"), *host.pids("front")]
    assert host.process is not None
    host.process.kill()

    wait_until(lambda: not any(processes.is_running(pid) for pid in children))


def test_the_sockets_of_a_killed_host_are_removed_by_the_next_one(host: RunningHost) -> None:
    host.start()
    left = host.runtime()
    host.kill()
    assert left.exists()

    host.start()
    current = host.runtime()

    assert not left.exists()
    assert current.exists()
    assert host.stop() == 0
    assert not current.exists()


def test_a_worker_that_keeps_dying_is_tried_again_less_and_less_often(host: RunningHost) -> None:
    host.start()
    host.misbehave("worker die-at-start")
    processes.send(host.worker(0)["pid"], signal.SIGKILL)
    wait_until(lambda: host.text().count("worker 0 keeps dying") >= 3)
    delays = [line.rpartition("=")[2] for line in host.text().splitlines() if "keeps dying" in line]
    host.misbehave()

    assert delays[:3] == sorted(delays[:3])
    assert len(set(delays[:3])) == 3
    assert host.worker(0)["pid"]


def test_a_host_whose_worker_never_starts_says_so_and_ends(host: RunningHost) -> None:
    host.misbehave("worker die-at-start")
    host.start(wait=False)

    assert host.wait() == 1
    assert "worker 0 does not start" in host.text()
    assert host.events().count("worker0 dies") == 3


def test_a_successor_starts_with_what_is_deployed(host: RunningHost) -> None:
    host.start()
    host.deploy("account", component_text("Account"))
    processes.send(host.worker(0)["pid"], signal.SIGKILL)

    assert host.worker(0)["runs"] == {"account": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_children_ignore_the_signals_that_stop_the_host(host: RunningHost, number: signal.Signals) -> None:
    host.start()
    worker = host.worker(0)["pid"]
    processes.send(worker, number)

    assert host.worker(0)["pid"] == worker
