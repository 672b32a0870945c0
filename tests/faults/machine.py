"""A machine whose clock jumps, or that has no descriptors left."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.faults.case import END_S, Case, hosted
from tests.faults.shim import WallClock
from tests.harness.caller import NoAnswerError
from tests.harness.host import HostProcess


def _front_out_of_descriptors(data: Path, folder: Path) -> str:
    """New connections find none; the others go on, and new ones find some again once those are closed."""
    with hosted(data) as host, host.caller() as kept:
        assert kept.value("Probe", "alice", "increment") == 1
        _leave_descriptors(host.pids()["front"][0], 10)
        answered = 0
        with ExitStack() as opened:
            for caller in [opened.enter_context(host.caller(timeout_s=0.2)) for _ in range(40)]:
                with contextlib.suppress(NoAnswerError):
                    answered += caller.call("Probe", "alice", "nothing").status == 200
            assert 0 < answered < 40, answered
            assert kept.value("Probe", "alice", "increment") == 2
        _wait_until_answered(host, "alice")
    return f"{answered} of 40 connections answered; all well once they were closed"


def _supervisor_out_of_descriptors(data: Path, folder: Path) -> str:
    """A worker that dies cannot be replaced until there are some again; what was acknowledged is there then."""
    with hosted(data) as host:
        with host.caller() as caller:
            assert caller.value("Probe", "alice", "increment") == 1
        supervisor = host.pids()["supervisor"][0]
        before = _leave_descriptors(supervisor, 0)
        host.kill("worker")
        deadline = time.monotonic() + END_S
        while "worker 0 cannot be started" not in host.log:
            assert time.monotonic() < deadline, host.log
            time.sleep(0.01)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, before)
        _wait_until_answered(host, "alice")
        with host.caller() as caller:
            assert caller.value("Probe", "alice", "get", "n") == 1
    return "no successor meanwhile, said in the log; all well once there were some"


def _leave_descriptors(pid: int, left: int) -> tuple[int, int]:
    """Let a process have so many more open and none beyond; its limits before."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in range(1 << 20) if number not in taken)
    highest = [next(free) for _ in range(left + 1)][-1]  # the limit bounds numbers, and the lowest free one is taken
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest, before[1]))
    return before


def _wait_until_answered(host: HostProcess, name: str) -> None:
    deadline = time.monotonic() + END_S
    while True:
        assert time.monotonic() < deadline, "it never recovered"
        with contextlib.suppress(NoAnswerError), host.caller(timeout_s=5.0) as caller:
            if caller.call("Probe", name, "nothing").status == 200:
                return
        time.sleep(0.01)


def _clock(jump_s: float) -> Callable[[Path, Path], str]:
    """The wall clock jumps under load: budgets, queues and eviction go by the other one."""

    def run(data: Path, folder: Path) -> str:
        clock = WallClock(folder / "clock")
        with hosted(data, "--limit", "idle_eviction_s=30", **clock.environment) as host, host.caller() as caller:
            first = caller.value("Probe", "alice", "activation_id")
            assert caller.value("Probe", "alice", "increment") == 1
            clock.jump(jump_s)
            time.sleep(0.6)  # two rounds of housekeeping
            assert caller.value("Probe", "alice", "increment") == 2
            assert caller.value("Probe", "alice", "activation_id") == first, "it was evicted by the wall clock"
            assert caller.call("Probe", "alice", "spin", 0.3).status == 200, "a budget went by the wall clock"
            clock.jump(-jump_s)
            assert caller.value("Probe", "alice", "increment") == 3
        return "nothing noticed"

    return run


CASES = [
    Case("front out of descriptors", "recovers", _front_out_of_descriptors),
    Case("supervisor out of descriptors", "recovers", _supervisor_out_of_descriptors),
    Case("clock jumps a year ahead", "nothing noticed", _clock(365 * 86_400.0)),
    Case("clock jumps an hour back", "nothing noticed", _clock(-3_600.0)),
]
