"""The crash sweep: a host under a seeded workload is killed at every step of its commits, and at random instants."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.crash.model import Workload
from tests.faults.shim import Faults
from tests.harness import processes
from tests.harness.host import HostProcess

WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep did and what it found wrong."""

    kills: int
    acknowledged: int
    unknown: int
    faults: list[str]


def sweep(data: Path, folder: Path, kills: list[Callable[[HostProcess, Faults], bool]], seed: int) -> Sweep:
    """Kill in all these ways, one after the other, under one workload; each says whether the host must be started."""
    faults = Faults(folder / "rules")
    host = HostProcess(data, "--workers", "2", environment=faults.environment)
    host.start()
    done = 0
    try:
        with Workload(host.url, seed) as workload:
            for kill in kills:
                workload.wait_for(20)
                if workload.faults:
                    break
                if kill(host, faults):
                    host.wait()
                    host.assert_nothing_left()
                    host.start()
                done += 1
            workload.wait_for(20)
        found = workload.look_at_all()
        host.stop()
    finally:
        host.kill_all()
    return Sweep(done, workload.acknowledged, workload.unknown, found)


def at_step(step: int, *, whole_host: bool) -> Callable[[HostProcess, Faults], bool]:
    """Kill the worker (and the supervisor, with which all die) before the system call of that number on its files."""

    def kill(host: HostProcess, faults: Faults) -> bool:
        faults.kill("data.mdb", after=step, parent=whole_host)
        _wait(lambda: faults.are_over, "no worker came to that step")
        return whole_host

    return kill


def at_random(chance: random.Random, role: str) -> Callable[[HostProcess, Faults], bool]:
    """SIGKILL of one process, or of `all`, after a random while."""
    pause_s = chance.uniform(0.0, 0.2)

    def kill(host: HostProcess, faults: Faults) -> bool:
        time.sleep(pause_s)  # the moment is what is random
        if role == "all":
            host.kill_all()
            return True
        _wait(lambda: len(host.pids()[role]) >= (2 if role == "worker" else 1), f"no {role} came back")
        host.kill(role, index=chance.randrange(2) if role == "worker" else 0)
        return role == "supervisor"

    return kill


def stop_and_continue(host: HostProcess, faults: Faults) -> bool:
    """SIGSTOP a worker until it has been replaced, then SIGCONT: it must neither commit nor answer."""
    stopped = host.kill("worker", signal.SIGSTOP)
    _wait(lambda: stopped not in host.pids()["worker"], "a stopped worker was never replaced")
    with contextlib.suppress(ProcessLookupError):  # killed and waited for before its successor began
        processes.send(stopped, signal.SIGCONT)
    assert not processes.is_running(stopped)
    return False


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not until():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.005)
