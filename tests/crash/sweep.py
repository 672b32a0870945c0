"""The crash sweep: a host under two seeded workloads is killed at every step of its commits, and at random instants."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from holdfast_host.core.limits import Limits
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from tests.crash.connected import CLIENTS, Connected
from tests.crash.model import FEW_ROWS, Workload
from tests.faults.shim import Faults
from tests.harness import components, processes
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.partitions import faults_of

WAIT_S = 60.0
_Found = TypeVar("_Found")

# One way to end processes while a workload runs; says whether the host must be started again.
Kill = Callable[[HostProcess, Faults], bool]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep did and what it found wrong."""

    kills: int
    acknowledged: int
    unknown: int
    rung: int
    connected: Counter[str]  # how many of what kind was acknowledged, and how often sockets ended by which code
    faults: list[str]


def sweep(
    data: Path,
    folder: Path,
    kills: list[Kill],
    seed: int,
    *,
    command: Sequence[str] = (HOLDFAST,),
    clients: int = Workload.clients,
    connections: int = CLIENTS,
) -> Sweep:
    """Kill in all these ways, one after the other, under both workloads; each says whether the host must be started.

    `clients` are those of the states, `connections` those with sockets and jobs: where few call, the others get more
    done.
    """
    faults = Faults(folder / "rules")
    host = HostProcess(data, "--workers", "2", *FEW_ROWS, command=command, environment=faults.environment)
    host.start()
    done = 0
    try:
        deploy(host, components.built(components.HALL))
        with Workload(host.url, seed, clients) as workload, Connected(host.url, seed, connections) as connected:
            for kill in kills:
                workload.wait_for(20)
                connected.wait_for(10 if connections else 0)
                if workload.faults or connected.faults:
                    break
                if kill(host, faults):
                    host.wait()
                    host.assert_nothing_left()
                    host.start()
                done += 1
            workload.wait_for(20)
        found = workload.look_at_all() + connected.look_at_all()
        host.stop()
        found += _look_at_rows(data)
    finally:
        host.kill_all()
    return Sweep(done, workload.acknowledged, workload.unknown, workload.rung, connected.counts, found)


def _look_at_rows(data: Path) -> list[str]:
    store = LmdbStore.open(data, [0, 1], Limits(map_bytes=1 << 30))
    try:
        return faults_of(store)
    finally:
        store.close()


def at_step(step: int, *, whole_host: bool) -> Kill:
    """Kill the worker (and the supervisor, with which all die) before the system call of that number on its files."""

    def kill(host: HostProcess, faults: Faults) -> bool:
        faults.kill("data.mdb", after=step, parent=whole_host)
        _wait(lambda: faults.are_over, "no worker came to that step")
        return whole_host

    return kill


def at_random(chance: random.Random, role: str) -> Kill:
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


def stopped_at_step(step: int) -> Kill:
    """Stop a worker before the system call of that number on its files until it has been replaced, then continue it.

    It must neither commit nor answer: its successor starts when it has been killed and waited for.
    """

    def stop(host: HostProcess, faults: Faults) -> bool:
        before = host.pids()["worker"]
        faults.stop("data.mdb", after=step)
        _wait(lambda: faults.are_over, "no worker came to that step")
        [stopped] = _until(lambda: [pid for pid in before if processes.is_stopped(pid)], "no worker was stopped")

        def is_replaced() -> bool:
            workers = host.pids()["worker"]  # looked at once: it changes
            return len(workers) == len(before) and stopped not in workers

        _wait(is_replaced, "not replaced")
        assert not processes.is_running(stopped), "its successor started while it could still go on"
        with contextlib.suppress(ProcessLookupError):
            processes.send(stopped, signal.SIGCONT)
        return False

    return stop


def stopped_for(seconds: float) -> Kill:
    """Stop a worker for a while in which nobody replaces it; it goes on where it was."""

    def stop(host: HostProcess, faults: Faults) -> bool:
        stopped = host.kill("worker", signal.SIGSTOP)
        time.sleep(seconds)  # a pause is what is tested
        processes.send(stopped, signal.SIGCONT)
        return False

    return stop


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    _until(until, otherwise)


def _until(look: Callable[[], _Found], otherwise: str) -> _Found:
    """What it returns once that is true."""
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.005)
    return found
