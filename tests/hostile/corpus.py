"""The whole corpus against one real host, and what must be true of the host afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from holdfast_host.core.limits import MIB
from holdfast_host.worker.threads.leadership import PARKED_MAX
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.hostile.cases import Case, call_cases, crowd_cases, deploy_cases, wat_cases
from tests.hostile.connecting import connecting_cases
from tests.hostile.stage import P99_S_MAX, Footprint, Neighbour, Row, run_cases, settle, warm_up
from tests.hostile.streaming import streaming_cases
from tests.hostile.texts import text_cases

GUEST = Path(__file__).parent / "guests" / "hostile"
COMPONENT_BYTES_MAX = 32 * MIB
LIMITS = {
    "compile_cpu_s": 15,
    "method_timeout_s": 2,
    "alarm_timeout_s": 2,
    "idle_eviction_s": 2,
    "component_bytes_max": COMPONENT_BYTES_MAX,
    "fetch_timeout_s": 2,
}


@dataclass
class Report:
    """What became of a run."""

    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    idle_p99_s: float = 0.0
    p99_s: float = 0.0


def run(data: Path, *, quick: bool, at_once: int, workers: int) -> Report:
    """Deploy a good actor and the hostile ones to a new host, try everything, stop the host in order."""
    report = Report()
    options = [option for name, value in LIMITS.items() for option in ("--limit", f"{name}={value}")]
    with HostProcess(data, "--workers", str(workers), "--outbound", "http://*", *options) as host:
        good, hostile = components.built(components.ACCOUNT), components.built(GUEST)
        deploy(host, good)
        deploy(host, hostile)
        with Neighbour(host) as neighbour:
            _attack(host, neighbour, _cases(good.component.read_bytes(), quick=quick), at_once, report)
        report.faults += neighbour.faults
    return report


def _cases(real: bytes, *, quick: bool) -> tuple[list[Case], list[Case]]:
    cases = [
        *deploy_cases(COMPONENT_BYTES_MAX, real), *wat_cases(), *text_cases(), *call_cases(), *connecting_cases(),
        *streaming_cases(),
    ]  # fmt: skip
    chosen = [case for case in cases if case.quick or not quick]
    return chosen, [case for case in crowd_cases() if case.quick or not quick]


def _attack(
    host: HostProcess, neighbour: Neighbour, cases: tuple[list[Case], list[Case]], at_once: int, report: Report
) -> None:
    began = time.monotonic()
    run_cases(host, neighbour, cases[0][-3:], 1)
    warm_up(host)
    time.sleep(1.0)
    report.idle_p99_s = neighbour.p99_s(began) or 0.0
    before = Footprint.of(host)
    began = time.monotonic()
    # What goes on for ever waits its time out in company; what must reach an end of its own within it does so alone.
    endless = [case for case in cases[0] if "ActorMethodTimeoutError" in case.expected]
    report.rows += run_cases(host, neighbour, [case for case in cases[0] if case not in endless])
    report.rows += run_cases(host, neighbour, endless, at_once)
    report.rows += run_cases(host, neighbour, cases[1])
    report.p99_s = neighbour.p99_s(began) or 0.0
    report.faults += [f"{row.case}: {row.seen} instead of {row.expected}" for row in report.rows if not row.fits]
    if report.p99_s > max(P99_S_MAX, 3 * report.idle_p99_s):
        report.faults.append(f"the neighbour's p99 was {report.p99_s * 1000:.0f} ms")
    # Parked threads, compiled files of functions that stay deployed and a page of the allocator more are no leak; the
    # corpus has hundreds of cases.
    report.faults += settle(host, before, threads=PARKED_MAX + 2, descriptors=6, memory_bytes=96 * MIB)
