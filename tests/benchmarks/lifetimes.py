"""What an instance costs in its life: its first call, its memory, its return after eviction, its rest on disk."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.load import Load, measure
from tests.benchmarks.report import Report, middle
from tests.benchmarks.servers import Server, holdfast
from tests.benchmarks.usage import anonymous_bytes
from tests.harness.caller import Caller
from tests.harness.host import HostProcess

MIB = 1 << 20


def run(report: Report, *, names: int, on_disk: int) -> None:
    """Everything, on hosts of their own."""
    with holdfast("--limit", "idle_eviction_s=3600", "--limit", f"worker_memory_bytes={16 << 30}") as server:
        _first_calls(report, server, names)
    with holdfast("--limit", "idle_eviction_s=0.5") as server:
        _returns(report, server)
    with holdfast("--limit", "idle_eviction_s=1") as server:
        _start(report, server, on_disk)
    with holdfast() as server:
        _sizes(report, server)


def _first_calls(report: Report, server: Server, names: int) -> None:
    host = _host(server)
    rows = []
    with host.caller() as caller:
        _timed(caller, "warm-up", "empty")
        before = _private(host)
        for upto in (names // 5, names):
            begin = 0 if upto == names // 5 else names // 5
            times = [_timed(caller, f"n{number}", "deposit", 5) for number in range(begin, upto)]
            private = (_private(host) - before) / upto
            ordered = sorted(times)
            rows.append(
                (
                    str(upto),
                    f"{middle(times):.2f}",
                    f"{ordered[int(len(ordered) * 0.99)]:.2f}",
                    f"{private / MIB:.2f}",
                )
            )
    report.table("first call to a new name", ("active names", "p50 ms", "p99 ms", "private MiB each"), rows)


def _returns(report: Report, server: Server) -> None:
    host = _host(server)
    with host.caller() as caller:
        for number in range(200):
            _timed(caller, f"n{number}", "deposit", 5)
        times: list[float] = []
        time.sleep(3.0)  # all of them are evicted by now
        times = [_timed(caller, f"n{number}", "balance") for number in range(200)]
    report.table(
        "reactivation after eviction",
        ("calls", "p50 ms", "p99 ms"),
        [("200", f"{middle(times):.2f}", f"{max(times):.2f}")],
    )


def _start(report: Report, server: Server, on_disk: int) -> None:
    host = _host(server)
    rows = []
    flat = measure(server, Load.deposit(100, 32), 3)
    with host.caller() as caller:
        for number in range(on_disk):
            caller.call("Account", f"disk{number}", "deposit", 5)
    after = measure(server, Load.deposit(100, 32), 3)
    host.stop()
    started = time.monotonic()
    host.start()
    rows.append(
        (
            f"{on_disk:,}",
            f"{time.monotonic() - started:.2f}",
            f"{flat.calls_per_s:.0f}",
            f"{after.calls_per_s:.0f}",
        )
    )
    report.table("instances on disk", ("instances", "start s", "deposits/s before", "deposits/s with them"), rows)


def _sizes(report: Report, server: Server) -> None:
    host = _host(server)
    rows = []
    with host.caller() as caller:
        caller.call("Account", "lists", "fill", 1000, 20)
        lists = [_timed(caller, "lists", "list_all") for _ in range(30)]
        rows.append(("list of 1,000 entries", f"{middle(lists):.2f}"))
        for size in (1 << 10, 64 << 10, 1000 << 10):
            puts = [_timed(caller, "sizes", "put", size) for _ in range(20)]
            gets = [_timed(caller, "sizes", "get") for _ in range(20)]
            rows.append((f"put a value of {size >> 10} KB", f"{middle(puts):.2f}"))
            rows.append((f"get a value of {size >> 10} KB", f"{middle(gets):.2f}"))
    report.table("sizes", ("what", "p50 ms"), rows)


def _timed(caller: Caller, name: str, method: str, *arguments: object) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    answer = caller.call("Account", name, method, *arguments)
    took = (time.perf_counter() - started) * 1000
    assert answer.status == 200, answer
    return took


def _private(host: HostProcess) -> int:
    return sum(anonymous_bytes(pid) for pid in host.pids()["worker"])


def _host(server: Server) -> HostProcess:
    assert server.host is not None
    return server.host


def data_bytes(directory: Path) -> int:
    """What a data directory takes on disk."""
    return sum(each.stat().st_blocks * 512 for each in directory.rglob("*") if each.is_file())
