"""What an instance costs in its life: its first call, its memory, its return after eviction, values of every size."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import Server, holdfast
from tests.harness.caller import Caller
from tests.harness.host import HostProcess
from tests.harness.load import percentile
from tests.harness.processes import anonymous_bytes

MIB = 1 << 20
_CHUNKS = 5  # a latency's median is taken over each, for the spread
_ACTIVE_CHECKED = 50


def run(section: Section, scale: Scale) -> None:
    """Everything, on hosts of their own."""
    with holdfast("--limit", "idle_eviction_s=3600", "--limit", f"worker_memory_bytes={16 << 30}") as server:
        _first_calls(section, server, scale.active)
    with holdfast() as server:
        _returns(section, server, scale.calls)
        _sizes(section, server, max(10, scale.calls // 10))


def _first_calls(section: Section, server: Server, active: Sequence[int]) -> None:
    """Activate names one after another; nothing is evicted."""
    host = _host(server)
    rows: list[list[object]] = []
    first_ms: list[float] = []
    warm_ms: list[float] = []
    with host.caller() as caller:
        _timed(caller, "warm-up", "empty")
        before_bytes = _private_bytes(host)
        for upto in active:
            for number in range(len(first_ms), upto):
                first_ms.append(_timed(caller, f"n{number}", "deposit", 5))
                warm_ms.append(_timed(caller, f"n{number}", "deposit", 5))
            for number in range(0, upto, max(1, upto // _ACTIVE_CHECKED)):
                facts = caller.request("GET", f"/v1/instances/Account/n{number}").value
                assert facts["active"], f"n{number} of {upto} instances is not active any more"
            private = section.figure(f"memory/{upto}/mib_each", [(_private_bytes(host) - before_bytes) / upto / MIB])
            section.figure(f"memory/{upto}/active", [upto])
            rows.append([f"{upto:,}", private])
    section.table("private memory of the workers", ["active at once", "MiB each"], rows)
    _latencies(section, "first call to a new name", {"first_call": first_ms, "warm_deposit": warm_ms})


def _returns(section: Section, server: Server, calls: int) -> None:
    host = _host(server)
    back_ms, warm_ms = [], []
    with host.caller() as caller:
        for number in range(calls):
            _timed(caller, f"n{number}", "deposit", 5)
        for number in range(calls):
            answer = caller.request("POST", f"/v1/instances/Account/n{number}/evict")
            assert answer.status == 200, answer
            back_ms.append(_timed(caller, f"n{number}", "balance"))
            warm_ms.append(_timed(caller, f"n{number}", "balance"))
    _latencies(section, "a call after eviction", {"reactivation": back_ms, "warm_read": warm_ms})


def _sizes(section: Section, server: Server, times: int) -> None:
    asked: dict[str, tuple[str, tuple[object, ...]]] = {"list of 1,000 entries": ("list_all", ())}
    for size_kib in (1, 64, 1000):
        asked[f"put of {size_kib:,} KB"] = ("put", (size_kib << 10,))
        asked[f"get of {size_kib:,} KB"] = ("get", ())
    seen: dict[str, list[float]] = {what: [] for what in asked}
    with _host(server).caller() as caller:
        caller.value("Account", "sizes", "fill", 1000, 20)
        for _ in range(times):
            for what, (method, arguments) in asked.items():
                seen[what].append(_timed(caller, "sizes", method, *arguments))
    _latencies(section, "calls by size, one client", seen)


def _latencies(section: Section, title: str, seen: dict[str, list[float]]) -> None:
    """Median (over chunks of the calls) and p99 (over all)."""
    rows = []
    for name, times_ms in seen.items():
        key = name.replace(" ", "_")
        size = max(1, len(times_ms) // _CHUNKS)
        chunks = [times_ms[first : first + size] for first in range(0, len(times_ms), size)]
        p50 = section.figure(f"{key}/p50_ms", [percentile(chunk, 0.5) for chunk in chunks])
        p99 = section.figure(f"{key}/p99_ms", [percentile(times_ms, 0.99)])
        rows.append([name.replace("_", " "), f"{len(times_ms):,}", p50, p99])
    section.table(title, ["call", "calls", "p50 ms", "p99 ms"], rows)


def _timed(caller: Caller, name: str, method: str, *arguments: object) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    answer = caller.call("Account", name, method, *arguments)
    took_ms = (time.perf_counter() - started) * 1000
    assert answer.status == 200, answer
    return took_ms


def _private_bytes(host: HostProcess) -> int:
    return sum(anonymous_bytes(pid) for pid in host.pids()["worker"])


def _host(server: Server) -> HostProcess:
    assert server.host is not None
    return server.host
