"""Jobs: runs a second, of instances in memory and of others, beside deposits; how late they are; what waits.

They are written into a stopped host's data directory: over HTTP that would take longer than they do. What is due when
a host starts is written down before it runs, for an earlier worker may have died of it: each of these takes two
commits. Every run is a deposit, so the balances say at the end whether each took effect once.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from holdfast_host.core.limits import Limits
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from tests.benchmarks.load import Load, measure
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import Server
from tests.benchmarks.stored import Stored
from tests.harness import processes
from tests.harness.host import HostProcess
from tests.harness.load import percentile

_LIMITS: Final = Limits()
_GROUP_ROWS: Final = 1_000
_NAMES: Final = 200
_AHEAD_S: Final = 20.0  # what is due then is written before the host starts, and its instances are called first
_NEXT_DAY_S: Final = 86_400.0
_PER_S: Final = 1_000  # of those whose lateness counts
_TIMEOUT_S: Final = 300.0
_LOOK_S: Final = 0.1
_DEPOSIT: Final = b'{"method":"deposit"}\n{"$hf":"arguments","v":[[5],{}]}'
_NOTE: Final = b'{"method":"note"}\n{"$hf":"arguments","v":[[],{}]}'
_COLUMNS: Final = ["runs", "a second", "of the deposits", "CPU of the worker, us each"]


def run(section: Section, scale: Scale) -> None:
    """Each on a host of its own, whose data directory begins as a copy of the same one."""
    count = 2_000 if scale.quick else 20_000
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(section, scale, Stored(Path(folder)))
        rows = [
            *bench.due_later(count),
            bench.due("of instances that must be activated", "cold", count // 10, 1, ahead_s=4.0),
            bench.due("overdue at a start: two commits each", "overdue", _NAMES, count // _NAMES, ahead_s=0.0),
            bench.due("the same through three deaths of the worker", "kills", _NAMES, count // _NAMES, kills=3),
        ]
        section.table(
            f"runs of jobs that are due at once, beside deposits by 32 clients ({_NAMES} names)", _COLUMNS, rows
        )
        seconds = 2 if scale.quick else 10
        section.table(
            "lateness of runs, by how many are due a second",
            ["a second", "p50 ms", "p99 ms", "most ms"],
            [bench.lateness("lateness", _PER_S, seconds), bench.lateness("half", bench.half_per_s, seconds)],
        )
        bench.waiting(count * 5)


class _Bench:
    """Hosts on copies of one data directory."""

    def __init__(self, section: Section, scale: Scale, stored: Stored) -> None:
        self._section = section
        self._scale = scale
        self._stored = stored
        self._deposits_per_s = self._runs_per_s = 0.0
        self._numbers = itertools.count()

    def due_later(self, count: int) -> list[list[object]]:
        """Of instances in memory, due when deposits have just been measured there."""
        data, due_s = self._data(), time.time() + _AHEAD_S
        self._write(data, _NAMES, count // _NAMES, itertools.repeat(due_s))
        with HostProcess(data, "--workers", "1") as host:
            measure(_server(host), Load.deposit(_NAMES, 32), 1.0)  # activates
            [worker] = host.pids()["worker"]
            cpu_s, seconds = processes.cpu_s(worker), self._scale.seconds
            measured = measure(_server(host), Load.deposit(_NAMES, 32), seconds)
            each_us = (processes.cpu_s(worker) - cpu_s) / (measured.calls_per_s * seconds) * 1e6
            deposits = self._section.figure("jobs/deposits_per_s", [measured.calls_per_s])
            self._deposits_per_s = deposits.median
            deposited = self._balances(host)
            _check_not_due(due_s)
            row = self._row("of instances in memory", "warm", host, count, due_s)
            self._runs_per_s = self._section.figures["jobs/warm/per_s"].median
            self._check(host, _NAMES, deposited + 5 * count)
        return [["deposits", deposits, "", self._section.figure("jobs/deposits/cpu_us", [each_us])], row]

    def due(
        self, what: str, place: str, instances: int, each: int, *, ahead_s: float = 0.0, kills: int = 0
    ) -> list[object]:
        """Of instances that are not in memory, through kills of the worker in the middle."""
        data, due_s = self._data(), time.time() + ahead_s
        self._write(data, instances, each, itertools.repeat(due_s))
        with HostProcess(data, "--workers", "1") as host:
            row = self._row(what, place, host, instances * each, due_s, kills)
            self._check(host, instances, 5 * instances * each)
        return row

    @property
    def half_per_s(self) -> int:
        """Half of the most that were run a second, so that as many come in a second to each name."""
        return max(1, round(self._runs_per_s / 2 / _NAMES)) * _NAMES

    def lateness(self, place: str, per_s: int, seconds: int) -> list[object]:
        """How late runs are of which so many are due in each second."""
        data, due_s, count = self._data(), time.time() + _AHEAD_S, per_s * seconds
        self._write(data, _NAMES, count // _NAMES, itertools.count(due_s, 1 / per_s), _NOTE)
        with HostProcess(data, "--workers", "1") as host:
            measure(_server(host), Load.deposit(_NAMES, 32), 1.0)
            _check_not_due(due_s)
            time.sleep(max(0.0, due_s + seconds - time.time()))  # who asks how many have run delays them
            _wait_done(host, count)
            with host.caller() as caller:
                late_ms = [
                    1_000 * late
                    for name in range(1, _NAMES + 1)
                    for late in caller.value("Account", f"a{name}", "late")
                ]
        assert len(late_ms) == count, f"{len(late_ms)} of {count} have run"
        return [
            f"{per_s:,}",
            *(
                self._section.figure(f"jobs/{place}/{name}_ms", [percentile(late_ms, share)])
                for name, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0))
            ),
        ]

    def waiting(self, count: int) -> None:
        """What jobs cost that wait: memory and CPU of the worker, beside none."""
        seen = []
        for jobs in (0, count):
            data = self._data()
            self._write(data, _NAMES * 5, jobs // _NAMES // 5, itertools.repeat(time.time() + _NEXT_DAY_S))
            with HostProcess(data, "--workers", "1") as host:
                [worker] = host.pids()["worker"]
                time.sleep(1.0)
                before_s = processes.cpu_s(worker)
                time.sleep(5 * self._scale.seconds)
                cpu_share = (processes.cpu_s(worker) - before_s) / (5 * self._scale.seconds)
                seen.append([jobs, 100 * cpu_share, processes.anonymous_bytes(worker) / (1 << 20)])
        self._section.figure("jobs/waiting/bytes_each", [(seen[1][2] - seen[0][2]) * (1 << 20) / count])
        rows = [[f"{jobs:,}", f"{share:.2f} %", f"{mib:.1f}"] for jobs, share, mib in seen]
        self._section.table("jobs that wait", ["jobs", "of a core", "MiB of the worker"], rows)

    def _row(self, what: str, place: str, host: HostProcess, count: int, due_s: float, kills: int = 0) -> list[object]:
        """Until all have run. A worker that died has taken its share of the processor's time along."""
        while (now_s := time.time()) < due_s:
            time.sleep(due_s - now_s)
        [worker] = host.pids()["worker"]
        began_s, cpu_s = max(due_s, time.time()), processes.cpu_s(worker)
        for _ in range(kills):
            time.sleep(0.5)
            while not host.pids()["worker"]:
                time.sleep(0.02)
            host.kill("worker")
        per_s = count / (_wait_done(host, 0 if kills else count) - began_s)
        rate = self._section.figure(f"jobs/{place}/per_s", [per_s])
        ratio = self._section.figure(f"jobs/{place}/of_deposits", [per_s / self._deposits_per_s])
        if kills:
            return [f"{count:,} {what}", rate, f"{ratio}x", "-"]
        each_us = (processes.cpu_s(worker) - cpu_s) / count * 1e6
        return [f"{count:,} {what}", rate, f"{ratio}x", self._section.figure(f"jobs/{place}/cpu_us", [each_us])]

    def _balances(self, host: HostProcess) -> int:
        with host.caller() as caller:
            return sum(caller.value("Account", f"a{name}", "balance")["balance"] for name in range(1, _NAMES + 1))

    def _check(self, host: HostProcess, instances: int, balance: int) -> None:
        """Stop it; each run took effect once, or the balances would say so."""
        host.stop()
        store = LmdbStore.open(host.data, [0], _LIMITS)
        places = [store.locate(self._stored.type_id, b"a%d" % name) for name in range(1, instances + 1)]
        found = sum(int(store.get(each, b"balance") or b"0") for each in places)
        store.close()
        if found != balance:
            raise RuntimeError(f"the balances are {found} in all, not {balance}: a run was lost, or took effect twice")

    def _data(self) -> Path:
        return self._stored.copy(f"jobs-{next(self._numbers)}")

    def _write(self, data: Path, instances: int, each: int, due_s: Iterator[float], facts: bytes = _DEPOSIT) -> None:
        """So many of the instances a1 to aN; the times go round the instances."""
        jobs: list[dict[bytes, Job | None]] = [{} for _ in range(instances)]
        for number in range(instances * each):
            due_us = round(next(due_s) * 1e6)
            jobs[number % instances][new_id("")] = Job("run", due_us, due_us, facts=facts)
        store = LmdbStore.open(data, [0], _LIMITS)
        ((_, group),) = store.reached().values()
        for first in range(0, instances, _GROUP_ROWS):
            group += 1
            store.commit(
                group,
                [
                    Batch(store.locate(self._stored.type_id, b"a%d" % (number + 1)), Changes(jobs=jobs[number]))
                    for number in range(first, min(first + _GROUP_ROWS, instances))
                ],
            )
        store.close()


def _check_not_due(due_s: float) -> None:
    if time.time() >= due_s:
        raise RuntimeError(
            f"what was to come first took longer than {_AHEAD_S:g} s: the machine is too busy to measure"
        )


def _server(host: HostProcess) -> Server:
    return Server("holdfast", host.url, host.pids()["supervisor"][0], host)


def _wait_done(host: HostProcess, count: int) -> float:
    """When so many have run, by the wall clock; of 0: when none is left, also of those that a dead worker has begun."""
    over_at = time.monotonic() + _TIMEOUT_S
    with host.caller() as caller:
        while time.monotonic() < over_at:
            if count:
                done = caller.metric("holdfast_jobs_total") >= count
            else:
                states = ("armed", "retrying", "armed")
                done = not any(caller.request("GET", f"/v1/jobs?state={each}&limit=1").value["jobs"] for each in states)
            if done:
                return time.time()
            time.sleep(_LOOK_S)
    raise RuntimeError(f"jobs that are due have not run within {_TIMEOUT_S:g} s")


if __name__ == "__main__":
    from tests.benchmarks.__main__ import main

    main(["--only", "jobs"])
