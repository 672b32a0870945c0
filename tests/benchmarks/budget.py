"""The budget of one call: microseconds of CPU in each stage, in the front and in the worker.

The time of a call in a process is its CPU time under load over the calls. In the worker, what of it commits and guests
take is counted by threads' clocks (`metered`), for a thread that waits for the disk looks busy to a sampler. The rest,
and what happens inside the sandbox, falls to the stages as py-spy samples them. All are runs of the same load.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.benchmarks import metered
from tests.benchmarks.load import Load, measure, run_wrk
from tests.benchmarks.results import Section, Spread
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import MissingToolError, Server, holdfast
from tests.benchmarks.stages import METERED, stage_of, stages_of
from tests.harness.processes import cpu_s

LOADS = {"deposit": Load.deposit(200, 32), "empty": Load.empty(200, 32)}
_ROLES = ("front", "worker")
_RATE_HZ = 100


def run(section: Section, scale: Scale) -> None:
    """Measure, then sample, both loads."""
    py_spy = _py_spy()
    spent: dict[tuple[str, str], Spread] = {}
    sampled: dict[tuple[str, str], Counter[str]] = {}
    with holdfast("--workers", "1", "--fronts", "1") as server:
        measure(server, LOADS["deposit"], scale.seconds)
        seen: dict[tuple[str, str], list[float]] = {}
        for _ in range(scale.rounds):
            for name, load in LOADS.items():
                for role, cpu_us in _cpu_us_per_call(server, load, scale.seconds).items():
                    seen.setdefault((name, role), []).append(cpu_us)
        for (name, role), values in seen.items():
            spent[name, role] = section.figure(f"budget/{name}/{role}/cpu_us", values)
        for name, load in LOADS.items():
            for role, counted in _sampled(py_spy, server, load, scale.profile_s).items():
                sampled[name, role] = counted
    counts = _metered(scale)
    samples = min(counted.total() for counted in sampled.values())
    section.note(f"the budget's shares come from at least {samples:,} samples of a process")
    shares = {key: _shares(counted, counts[key[0]] if key[1] == "worker" else {}) for key, counted in sampled.items()}
    rows: list[list[object]] = []
    for role in _ROLES:
        for stage in stages_of(role):
            cells = [_us(section, name, role, stage, spent, shares) for name in LOADS]
            if any(cells):
                rows.append([f"{role}: {stage}", *(f"{each:.1f}" for each in cells)])
        rows.append([f"**{role}, all**", *(spent[name, role] for name in LOADS)])
    section.table(
        "the budget of one call, microseconds of CPU",
        ["stage", *(f"{name}, {load}" for name, load in LOADS.items())],
        rows,
    )


def _us(
    section: Section,
    name: str,
    role: str,
    stage: str,
    spent: dict[tuple[str, str], Spread],
    shares: dict[tuple[str, str], dict[str, float]],
) -> float:
    value = spent[name, role].median * shares[name, role].get(stage, 0.0)
    section.figure(f"budget/{name}/{role}/{stage}", [value])
    return value


def _shares(counted: Counter[str], meters: dict[str, float]) -> dict[str, float]:
    """What part of a process's CPU time each stage takes: metered stages as counted, the others as sampled."""
    groups = {meter: [stage for stage in counted if METERED.get(stage) == meter] for meter in meters}
    groups["rest"] = [stage for stage in counted if METERED.get(stage) not in meters]
    parts = {**meters, "rest": max(0.0, 1.0 - sum(meters.values()))}
    shares: dict[str, float] = {}
    for group, stages in groups.items():
        samples = sum(counted[stage] for stage in stages)
        shares |= {stage: parts[group] * counted[stage] / samples for stage in stages}
    return shares


def _metered(scale: Scale) -> dict[str, dict[str, float]]:
    """What part of the worker's CPU time its commits and guests take under each load."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "meters"
        with holdfast("--workers", "1", "--fronts", "1", command=metered.command(file)) as server:
            measure(server, LOADS["deposit"], scale.seconds)
            for name, load in LOADS.items():
                pid = _pids(server)["worker"]
                before, before_s = metered.read(file), cpu_s(pid)
                run_wrk(server.url, load, scale.profile_s)
                after, spent_s = metered.read(file), cpu_s(pid) - before_s
                found[name] = {meter: (after[meter] - before[meter]) / spent_s for meter in metered.METERS}
    return found


def _cpu_us_per_call(server: Server, load: Load, seconds: float) -> dict[str, float]:
    pids = _pids(server)
    before_s = {role: cpu_s(pid) for role, pid in pids.items()}
    text = run_wrk(server.url, load, seconds)
    spent_s = {role: cpu_s(pid) - before_s[role] for role, pid in pids.items()}
    found = re.search(r"(\d+) requests in", text)
    assert found is not None, text
    return {role: each_s / max(1, int(found[1])) * 1e6 for role, each_s in spent_s.items()}


def _sampled(py_spy: str, server: Server, load: Load, seconds: float) -> dict[str, Counter[str]]:
    """Samples by stage of each process, one after the other, for the sampler wants a core too."""
    counted = {}
    with tempfile.TemporaryDirectory() as folder:
        for role, pid in _pids(server).items():
            file = Path(folder) / f"{role}.txt"
            command = [py_spy, "record", "--pid", str(pid), "--format", "raw", "--output", str(file)]
            # Without pausing the process: a paused commit would look slow, and its leader be replaced.
            command += ["--nonblocking", "--full-filenames", "--rate", str(_RATE_HZ), "--duration", f"{seconds:.0f}"]
            watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                run_wrk(server.url, load, seconds + 1)
                _, complaint = watcher.communicate(timeout=60)
            finally:
                watcher.kill()
            if watcher.returncode:
                raise MissingToolError(f"py-spy may not look into our processes here: {complaint.strip()[-300:]}")
            counted[role] = _counted(role, file.read_text())
    return counted


def _counted(role: str, text: str) -> Counter[str]:
    """Samples by stage, of lines `frame;frame;frame count`."""
    counted: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        stage = stage_of(role, stack.split(";"))
        if stage is not None:
            counted[stage] += int(count)
    return counted


def _pids(server: Server) -> dict[str, int]:
    assert server.host is not None
    pids = server.host.pids()
    return {role: pids[role][0] for role in _ROLES}


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise MissingToolError("no py-spy: pip install -e '.[bench]'")
    return found
