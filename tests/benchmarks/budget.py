"""The budget of one call: microseconds of CPU in each stage, in the front and in the worker.

The time of a call in a process is its CPU time under load over the calls. In the worker, what of it commits and guests
take is counted by threads' clocks (`metered`), for a thread that waits for the disk looks busy to a sampler. The rest,
and what happens inside the sandbox, falls to the stages as py-spy samples them. All are runs of the same load.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks import metered
from tests.benchmarks.load import Load, measure, run_wrk
from tests.benchmarks.results import Section, Spread
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import MissingToolError, Server, holdfast, holdfast_of
from tests.benchmarks.stages import METERED, stage_of
from tests.harness.processes import cpu_s

PROJECT: Final = Path(__file__).resolve().parents[2]
NOW: Final = "budget"  # where the figures' names begin
BEFORE: Final = "before"
LOADS = {"deposit": Load.deposit(200, 32), "empty": Load.empty(200, 32)}
_ROLES = ("front", "worker")
_RATE_HZ = 100


def run(section: Section, scale: Scale) -> None:
    """Measure, then sample, both loads; beside an earlier commit where there is one, in turns."""
    py_spy = _py_spy()
    hosts = {NOW: holdfast}
    if scale.before is not None:
        hosts[BEFORE] = partial(holdfast_of, scale.before)
        section.note(f"before is commit {_commit(scale.before)}, measured in turns with now")
    spent: dict[_Part, Spread] = {}
    sampled: dict[_Part, Counter[str]] = {}
    with ExitStack() as stack:
        servers = {when: stack.enter_context(host("--workers", "1", "--fronts", "1")) for when, host in hosts.items()}
        for server in servers.values():
            measure(server, LOADS["deposit"], scale.seconds)
        seen: dict[_Part, list[float]] = {}
        for _ in range(scale.rounds):
            for (name, load), (when, server) in itertools.product(LOADS.items(), servers.items()):
                for role, cpu_us in _cpu_us_per_call(server, load, scale.seconds).items():
                    seen.setdefault(_Part(when, name, role), []).append(cpu_us)
        for part, values in seen.items():
            spent[part] = section.figure(f"{part}/cpu_us", values)
        for (name, load), (when, server) in itertools.product(LOADS.items(), servers.items()):
            for role, counted in _sampled(py_spy, server, load, scale.profile_s).items():
                sampled[_Part(when, name, role)] = counted
    section.note(
        f"the budget's shares come from at least {min(map(Counter.total, sampled.values())):,} samples of a process"
    )
    python = {NOW: sys.executable, BEFORE: str((scale.before or PROJECT) / ".venv" / "bin" / "python")}
    counts = {when: _metered(host, python[when], scale) for when, host in hosts.items()}
    shares = {
        part: _shares(counted, counts[part.when][part.load] if part.role == "worker" else {})
        for part, counted in sampled.items()
    }
    for part, role_shares in shares.items():
        for stage, share in role_shares.items():
            section.figure(f"{part}/{stage}", [spent[part].median * share])


class _Part(NamedTuple):
    """A process under a load, of the host as it is now or as it was before; as text, where its figures begin."""

    when: str
    load: str
    role: str

    def __str__(self) -> str:
        return "/".join(self)


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


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


def _metered(
    host: Callable[..., AbstractContextManager[Server]], python: str, scale: Scale
) -> dict[str, dict[str, float]]:
    """What part of the worker's CPU time its commits and guests take under each load."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "meters"
        command = metered.command(file, python)
        with host("--workers", "1", "--fronts", "1", command=command) as server:
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
