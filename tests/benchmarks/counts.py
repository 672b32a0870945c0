"""Instructions and cycles of a call, as `perf stat` counts them in the processor: no clock, so no drift.

Instructions say how much there is to do, and hardly change from run to run. Cycles for each of them say how much of the
time is spent waiting for memory: a deposit to one of many instances finds that instance's memory cold.

Where the processor gives no counters, valgrind counts the instructions of our own processes (`emulated`).
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.benchmarks import emulated
from tests.benchmarks.load import Load, measure, run_wrk
from tests.benchmarks.results import Section, machine
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import MissingToolError, Server, aiohttp_empty, hand_rolled, holdfast, workerd
from tests.harness.processes import children_of

EVENTS = ("instructions:u", "cycles:u", "cache-misses:u", "dTLB-load-misses:u")
NAMES = (1, 50, 200, 1_000)
_COLUMNS = ["process", "load", "thousand instructions", "thousand cycles", "cycles each", "cache misses", "TLB misses"]
_ATTACH_S = 0.5  # perf says nothing when it has begun


def run(section: Section, scale: Scale) -> None:
    """Each server under the load of the targets; then our own with its work spread over more and more instances."""
    if not _perf_counts():
        emulated.run(section, scale)
        return
    section.note(f"counted by perf in this {machine()['cpu']}")
    rows = []
    with ExitStack() as stack:
        ours = stack.enter_context(holdfast("--workers", "1", "--fronts", "1"))
        for load in (Load.deposit(200, 32), Load.empty(200, 32)):
            rows += [_row(section, f"holdfast, {role}", ours, pids, load, scale) for role, pids in _roles(ours).items()]
            for start in (workerd(), hand_rolled(), aiohttp_empty("uvloop")):
                with start as server:
                    rows.append(_row(section, server.name, server, _tree(server.pid), load, scale))
        section.table("instructions and cycles of a call", _COLUMNS, rows)
        worker = _roles(ours)["worker"]
        loads = [Load.deposit(names, 32) for names in NAMES]
        rows = [_row(section, "holdfast, worker", ours, worker, load, scale) for load in loads]
        section.table("a worker's, over more and more instances", _COLUMNS, rows)


def _perf_counts() -> bool:
    """Whether the processor counts instructions for us; in most virtual machines it does not."""
    perf = shutil.which("perf")
    if perf is None:
        return False
    tried = subprocess.run(
        [perf, "stat", "-x", ",", "-e", EVENTS[0], "true"], capture_output=True, text=True, check=False
    )
    return tried.stderr.partition(",")[0].strip().isdigit()


def _row(section: Section, what: str, server: Server, pids: Sequence[int], load: Load, scale: Scale) -> list[object]:
    measure(server, load, scale.seconds)
    seen: dict[str, list[float]] = {event: [] for event in EVENTS}
    for _ in range(scale.rounds):
        for event, count in _counted(pids, server, load, scale.seconds).items():
            seen[event].append(count)
    each = [
        cycles / instructions for cycles, instructions in zip(seen["cycles:u"], seen["instructions:u"], strict=True)
    ]
    begin = f"counts/{load.key}/{what}"
    in_thousands = [[count / 1_000 for count in seen[event]] for event in EVENTS[:2]]
    return [
        what,
        f"{load.method}, {load}",
        section.figure(f"{begin}/kilo_instructions", in_thousands[0]),
        section.figure(f"{begin}/kilo_cycles", in_thousands[1]),
        section.figure(f"{begin}/cycles_per_instruction", each),
        section.figure(f"{begin}/cache_misses", seen[EVENTS[2]]),
        section.figure(f"{begin}/tlb_misses", seen[EVENTS[3]]),
    ]


def _counted(pids: Sequence[int], server: Server, load: Load, seconds: float) -> dict[str, float]:
    """What these processes count during a run of the load, for each call."""
    command = ["perf", "stat", "-x", ",", "-e", ",".join(EVENTS), "-p", ",".join(map(str, pids))]
    watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(_ATTACH_S)
        found = re.search(r"(\d+) requests in", run_wrk(server.url, load, seconds))
        watcher.send_signal(signal.SIGINT)
        _, text = watcher.communicate(timeout=30)
    finally:
        watcher.kill()
    counts = [line.partition(",")[0] for line in text.splitlines() if line.count(",") > 2]  # in the order of EVENTS
    if found is None or len(counts) != len(EVENTS) or not all(map(str.isdigit, counts)):
        raise MissingToolError(f"perf counts nothing here: {text.strip()[-300:]}")
    return {event: int(count) / max(1, int(found[1])) for event, count in zip(EVENTS, counts, strict=True)}


def _roles(server: Server) -> dict[str, list[int]]:
    assert server.host is not None
    return {role: server.host.pids()[role] for role in ("front", "worker")}


def _tree(root: int) -> list[int]:
    return [root, *(each for child in children_of(root) for each in _tree(child))]


if __name__ == "__main__":
    from tests.benchmarks.__main__ import main

    main(["--only", "counts"])
