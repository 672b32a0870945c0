"""`python -m tests.benchmarks.alarms`: how late alarms are, what waiting ones cost, and many that are due at once.

Many alarms are written into a stopped host's data directory, for setting them one by one over HTTP would take longer
than all that is measured. What came of them is read there too.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from holdfast_host.core.limits import Limits
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Alarm, Batch, Changes
from tests.harness import components, processes
from tests.harness.caller import Caller
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.load import percentile

GUEST: Final = components.PROJECT / "tests" / "harness" / "guests" / "alarms"
LATENESS_TARGET_S: Final = 0.050
START_TARGET_S: Final = 2.0
_LIMITS: Final = Limits()
_GROUP_ROWS: Final = 1000


def name_of(number: int) -> bytes:
    """The instances that are written directly."""
    return b"n%06d" % number


def write_alarms(data: Path, type_id: int, due_us: list[int]) -> None:
    """Arm instances of a host that is stopped."""
    store = LmdbStore.open(data, [0], _LIMITS)
    (_, group) = store.reached()[0]
    for first in range(0, len(due_us), _GROUP_ROWS):
        group += 1
        batches = [
            Batch(
                store.locate(type_id, name_of(first + place)),
                Changes(alarm=Alarm(due, scheduled_us=due), alarm_changed=True),
            )
            for place, due in enumerate(due_us[first : first + _GROUP_ROWS])
        ]
        store.commit(group, batches)
    store.close()


def read_outcome(data: Path, type_id: int, count: int) -> tuple[Counter[int], int, list[float]]:
    """How many instances had how many deliveries, how many still have an alarm, and the lateness of each in seconds."""
    store = LmdbStore.open(data, [0], _LIMITS)
    deliveries: Counter[int] = Counter()
    left = 0
    lateness_s = []
    for number in range(count):
        stored = store.locate(type_id, name_of(number))
        sides = {int(store.get(stored, key) or b"0") for key in (b"left", b"delivered", b"right")}
        assert len(sides) == 1, f"half a turn in {stored.name!r}: {sides}"
        deliveries[sides.pop()] += 1
        left += store.alarm(stored) is not None
        lateness_s.append(float(store.get(stored, b"lateness_s") or b"nan"))
    store.close()
    return deliveries, left, lateness_s


class Bench:
    """Hosts on copies of one data directory in which the guest is deployed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._empty = folder / "empty" / "data"
        self._copies = 0
        with HostProcess(self._empty, "--workers", "1") as host, host.caller() as caller:
            deploy(host, components.built(GUEST))
            caller.value("Timer", "anybody", "arm", 3600.0)
            [row] = caller.request("GET", "/v1/alarms").value["alarms"]
            self.type_id: int = row["type_id"]

    def data(self) -> Path:
        """A copy of its own."""
        self._copies += 1
        data = self._folder / f"host-{self._copies}" / "data"
        shutil.copytree(self._empty, data)
        return data

    def lateness(self, count: int, seconds: float) -> None:
        """Alarms at random moments on a host that does nothing else, half of them of instances in memory."""
        chance = random.Random(1)
        with HostProcess(self.data(), "--workers", "1") as host, host.caller() as caller:
            begin = time.time() + 1.0 + count * 0.01
            for number in range(count):
                caller.value("Timer", f"r{number}", "arm_at", begin + chance.random() * seconds)
                if number % 2:
                    caller.request("POST", f"/v1/instances/Timer/r{number}/evict")
            time.sleep(max(0.0, begin + seconds + 2.0 - time.time()))
            late = [caller.value("Timer", f"r{number}", "facts")["lateness_s"] for number in range(count)]
        assert None not in late, "an alarm did not run"
        p99_s = percentile(late, 0.99)
        print(
            f"lateness of {count} alarms over {seconds:g} s: p50 {percentile(late, 0.5) * 1e3:.1f} ms, "
            f"p99 {p99_s * 1e3:.1f} ms, max {max(late) * 1e3:.1f} ms; target p99 {LATENESS_TARGET_S * 1e3:g} ms: "
            f"{_verdict(p99_s <= LATENESS_TARGET_S)}"
        )

    def waiting(self, count: int, seconds: float) -> None:
        """What alarms cost that wait: CPU of the worker, memory and time to start, beside none."""
        figures = []
        for armed in (0, count):
            data = self.data()
            far_us = time.time_ns() // 1000 + 86_400_000_000
            write_alarms(data, self.type_id, [far_us + number * 1000 for number in range(armed)])
            with HostProcess(data, "--workers", "1") as host:
                host.stop()
                start_s = host.restart()
                [worker] = host.pids()["worker"]
                time.sleep(1.0)
                before_s = processes.cpu_s(worker)
                time.sleep(seconds)
                cpu_s = processes.cpu_s(worker) - before_s
                figures.append((start_s, cpu_s / seconds, processes.anonymous_bytes(worker) / (1 << 20)))
            print(
                f"{armed} armed alarms: ready after {figures[-1][0]:.2f} s, the worker uses "
                f"{figures[-1][1] * 100:.2f} % of a core and {figures[-1][2]:.1f} MiB"
            )
        print(f"  target: ready in {START_TARGET_S:g} s: {_verdict(figures[1][0] < START_TARGET_S)}")

    def due_together(self, count: int, kills: int) -> None:
        """Alarms that are due within one second, through kills of the worker in the middle."""
        data = self.data()
        begin_us = time.time_ns() // 1000 + 4_000_000
        write_alarms(data, self.type_id, [begin_us + number * 1_000_000 // count for number in range(count)])
        with HostProcess(data, "--workers", "1") as host, host.caller() as caller:
            time.sleep(max(0.0, begin_us / 1e6 - time.time()))
            began_s = time.monotonic()
            for _ in range(kills):
                time.sleep(0.3 + count * 0.0002)
                host.kill("worker")
            for state in ("armed", "retrying", "armed"):
                while _any_in(caller, state):
                    time.sleep(0.05)
            took_s = time.monotonic() - began_s
            cpu_s = processes.cpu_s(host.pids()["worker"][0])
            abandoned = _any_in(caller, "abandoned")
        deliveries, left, lateness_s = read_outcome(data, self.type_id, count)
        met = deliveries == {1: count} and not left and not abandoned
        print(
            f"{count} alarms due within a second, {kills} kills of the worker: all done after {took_s:.1f} s "
            f"({count / took_s:.0f}/s, CPU of the last worker {cpu_s:.1f} s), deliveries that count: "
            f"{dict(deliveries)}, alarms left: {left}, latest {max(lateness_s):.1f} s: {_verdict(met)}"
        )


def _any_in(caller: Caller, state: str) -> bool:
    rows = caller.request("GET", f"/v1/alarms?state={state}&limit=2").value["alarms"]
    return any(row["name"] != "anybody" for row in rows)


def _verdict(good: bool) -> str:
    return "met" if good else "MISSED"


def main() -> None:
    """Measure all of it and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    quick = parser.parse_args().quick
    share = 10 if quick else 1
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.lateness(500 // share, 30.0 / share)
        bench.waiting(100_000 // share, 20.0 / share)
        bench.due_together(10_000 // share, kills=0)
        bench.due_together(10_000 // share, kills=3)


if __name__ == "__main__":
    main()
