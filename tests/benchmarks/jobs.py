"""`python -m tests.benchmarks.jobs`: how many runs a second, what waiting jobs cost, and many that are due at once.

As for alarms (`tests.benchmarks.alarms`) jobs are written into a stopped host's data directory, and what came of them
is read there. What is due at a start is written down before it runs, so each of these takes two commits.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from holdfast_host.core.limits import Limits
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from tests.benchmarks.alarms import name_of
from tests.harness import components, processes
from tests.harness.caller import Caller
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

GUEST: Final = components.PROJECT / "tests" / "harness" / "guests" / "jobs"
RUNS_TARGET: Final = 5_000  # a second
_GRANTS: Final = ("--workers", "1", "--outbound", "http://*")
_FACTS: Final = b'{"method":"receive"}\n{"$hf":"arguments","v":[[1],{}]}'
_LIMITS: Final = Limits()
_GROUP_ROWS: Final = 1000


class Bench:
    """Hosts on copies of one data directory in which the guest is deployed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._empty = folder / "empty" / "data"
        self._copies = 0
        with HostProcess(self._empty, *_GRANTS) as host, host.caller() as caller:
            deploy(host, components.built(GUEST))
            caller.value("Purse", "anybody", "remind", 86_400.0, "never")
            [row] = caller.request("GET", "/v1/jobs").value["jobs"]
            self._type_id: int = row["type_id"]

    def due_together(self, instances: int, each: int, kills: int) -> None:
        """Runs that are due at once, so many of each instance, through kills of the worker in the middle."""
        data = self._data()
        count = instances * each
        self._write(data, instances, each, time.time_ns() // 1000)
        with HostProcess(data, *_GRANTS) as host, host.caller() as caller:
            began_s = time.monotonic()
            for _ in range(kills):
                time.sleep(0.2 + count * 0.00005)
                while not host.pids()["worker"]:
                    time.sleep(0.02)
                host.kill("worker")
            while any(_jobs_in(caller, state) for state in ("armed", "retrying", "armed")):
                time.sleep(0.02)
            took_s = time.monotonic() - began_s
            cpu_s = processes.cpu_s(host.pids()["worker"][0])
        effects = self._read(data, instances)
        print(
            f"{count} runs of {instances} instances due at once, {kills} kills of the worker: {count / took_s:.0f}/s, "
            f"CPU of the last worker {cpu_s:.1f} s, effects by instance: {dict(effects)}: "
            f"{'met' if effects == {each: instances} and (kills or count / took_s >= RUNS_TARGET) else 'MISSED'}"
        )

    def waiting(self, instances: int, each: int, seconds: float) -> None:
        """What jobs cost that wait: CPU of the worker and memory, beside none."""
        for jobs in (0, each):
            data = self._data()
            self._write(data, instances, jobs, time.time_ns() // 1000 + 86_400_000_000)
            with HostProcess(data, *_GRANTS) as host:
                [worker] = host.pids()["worker"]
                time.sleep(1.0)
                before_s = processes.cpu_s(worker)
                time.sleep(seconds)
                cpu_s = processes.cpu_s(worker) - before_s
                memory = processes.anonymous_bytes(worker) / (1 << 20)
            print(f"{instances * jobs} jobs that wait: {cpu_s / seconds * 100:.2f} % of a core, {memory:.1f} MiB")

    def _data(self) -> Path:
        self._copies += 1
        data = self._folder / f"host-{self._copies}" / "data"
        shutil.copytree(self._empty, data)
        return data

    def _write(self, data: Path, instances: int, each: int, due_us: int) -> None:
        store = LmdbStore.open(data, [0], _LIMITS)
        (_, group) = store.reached()[0]
        for first in range(0, instances, _GROUP_ROWS):
            group += 1
            batches = [
                Batch(
                    store.locate(self._type_id, name_of(number)),
                    Changes(jobs={new_id(""): Job("run", due_us, due_us, facts=_FACTS) for _ in range(each)}),
                )
                for number in range(first, min(first + _GROUP_ROWS, instances))
            ]
            store.commit(group, batches)
        store.close()

    def _read(self, data: Path, instances: int) -> Counter[int]:
        store = LmdbStore.open(data, [0], _LIMITS)
        stored = [store.locate(self._type_id, name_of(number)) for number in range(instances)]
        found = Counter(int(store.get(each, b"balance") or b"0") for each in stored)
        store.close()
        return found


def _jobs_in(caller: Caller, state: str) -> bool:
    rows = caller.request("GET", f"/v1/jobs?state={state}&limit=2").value["jobs"]
    return any(row["name"] != "anybody" for row in rows)


def main() -> None:
    """Measure all of it and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    share = 10 if parser.parse_args().quick else 1
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.due_together(200, 200 // share, kills=0)
        bench.due_together(10_000 // share, 1, kills=0)
        bench.due_together(200, 200 // share, kills=3)
        bench.waiting(1_000, 100 // share, 10.0 / share)


if __name__ == "__main__":
    main()
