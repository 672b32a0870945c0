"""A host under attack: the attacker's clients, a well-behaved actor beside them, and what is left afterwards."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from holdfast_host.worker.logs.ring import LANES
from tests.harness import processes
from tests.harness.caller import NoAnswerError
from tests.harness.host import HostProcess
from tests.harness.load import percentile
from tests.hostile.cases import Case, seen

P99_S_MAX = 0.1
NAMES = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `p99_s` is the neighbour's while the case ran."""

    case: str
    expected: str
    seen: str
    fits: bool
    p99_s: float | None
    took_s: float


@dataclass
class Neighbour:
    """A well-behaved actor that is called all the time, and must be right and quick. A context manager."""

    host: HostProcess
    pause_s: float = 0.004
    answers: list[tuple[float, float]] = field(default_factory=list)  # begun, took
    faults: list[str] = field(default_factory=list)

    def __enter__(self) -> Neighbour:
        """Begin to call."""
        self._stopping = threading.Event()
        self._balances = [0] * NAMES
        self._thread = threading.Thread(target=self._call)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Call no more, and look at every instance once again."""
        self._stopping.set()
        self._thread.join()
        with self.host.caller() as caller:
            for number, balance in enumerate(self._balances):
                answer = caller.call("Account", f"good-{number}", "balance")
                if answer.status != 200 or answer.value != {"balance": balance}:
                    self.faults.append(f"good-{number} had {balance} and now says {answer.text}")

    def p99_s(self, since_s: float = 0.0) -> float | None:
        """The 99th percentile of what began at that time or later; None where nothing did."""
        took = [took for began, took in self.answers[:] if began >= since_s]
        return percentile(took, 0.99) if took else None

    def _call(self) -> None:
        number = 0
        with self.host.caller() as caller:
            while not self._stopping.is_set():
                number = (number + 1) % NAMES
                began = time.monotonic()
                try:
                    answer = caller.call("Account", f"good-{number}", "deposit", 1)
                except NoAnswerError as error:
                    self.faults.append(f"good-{number}: {error}")
                    return
                self.answers.append((began, time.monotonic() - began))
                self._balances[number] += 1
                if answer.status != 200 or answer.value != {"balance": self._balances[number]}:
                    self.faults.append(f"good-{number}: {answer.text} instead of {self._balances[number]}")
                    return
                self._stopping.wait(self.pause_s)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the processes of a host hold."""

    pids: dict[str, list[int]]
    threads: dict[int, int]
    descriptors: dict[int, int]
    memory: dict[int, int]

    @classmethod
    def of(cls, host: HostProcess) -> Footprint:
        """Look at it now."""
        pids = host.pids()
        every = [pid for role in pids.values() for pid in role]
        return cls(
            pids,
            {pid: len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in every},
            {pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in every},
            {pid: processes.anonymous_bytes(pid) for pid in every},
        )

    def faults(self, before: Footprint, *, threads: int, descriptors: int, memory_bytes: int) -> list[str]:
        """Where this one, later, is more than the earlier one by more than that."""
        if self.pids != before.pids:
            return [f"other processes: {before.pids}, then {self.pids}"]
        found = []
        for what, then, now, more in (
            ("threads", before.threads, self.threads, threads),
            ("descriptors", before.descriptors, self.descriptors, descriptors),
            ("bytes", before.memory, self.memory, memory_bytes),
        ):
            for role, pids in self.pids.items():
                grown = (pid for pid in pids if now[pid] > then[pid] + more)
                found += [f"{role} {pid}: {then[pid]} {what}, then {now[pid]}" for pid in grown]
        return found


def warm_up(host: HostProcess, timeout_s: float = 60.0) -> None:
    """Have every worker open what it opens once and keeps: the lanes of its log, and its links to the others."""
    workers = host.pids()["worker"]
    deadline = time.monotonic() + timeout_s
    number = 0
    with host.caller() as caller:
        while number < NAMES * len(workers) or any(_open_lanes(pid) < LANES for pid in workers):
            assert time.monotonic() < deadline, "the workers never had all lanes of their logs open"
            caller.call("Hostile", f"warm-{number}", "odd_log_lines")
            caller.call("Hostile", f"warm-{number}", "long_method", 1)  # it calls instances of every worker
            number += 1


def _open_lanes(pid: int) -> int:
    return sum(re.search(r"/logs/w\d+/", target) is not None for target in processes.descriptors_of(pid).values())


def settle(host: HostProcess, before: Footprint, timeout_s: float = 20.0, **more: int) -> list[str]:
    """Wait until the host is back where it was; what is not when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        faults = Footprint.of(host).faults(before, **more)
        if not faults or time.monotonic() > deadline:
            return faults
        time.sleep(0.25)


def run_cases(host: HostProcess, neighbour: Neighbour, cases: Sequence[Case], at_once: int = 1) -> list[Row]:
    """Try them, so many at the same time."""

    def run(case: Case) -> Row:
        began = time.monotonic()
        with host.caller() as caller:
            try:
                answer = case.attempt(caller)
                text, fits = seen(answer), case.fits(answer)
                if not fits:
                    text = f"{answer.status} {answer.text[:300]}"
            except NoAnswerError as error:
                text, fits = f"no answer: {error}", False
        p99_s = neighbour.p99_s(began)
        return Row(case.name, " or ".join(case.expected), text, fits, p99_s, time.monotonic() - began)

    if at_once == 1:
        return [run(case) for case in cases]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, cases))


def show(rows: Iterable[Row]) -> str:
    """The table."""
    lines = [f"{'case':36} {'expected':44} {'seen':40} {'p99 ms':>7} {'s':>6}"]
    for row in rows:
        p99 = "-" if row.p99_s is None else f"{row.p99_s * 1000:.1f}"
        mark = " " if row.fits else "!"
        lines.append(f"{mark}{row.case:35.35} {row.expected:44.44} {row.seen:40.300} {p99:>7} {row.took_s:6.1f}")
    return "\n".join(lines)
