"""What was set out to be reached, and whether a run reached it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.results import Results, Spread

COLUMNS: Final = ["target", "wanted", "seen", ""]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure by its name, and the bound that its median has to keep."""

    what: str
    figure: str
    least: float | None = None
    most: float | None = None
    unit: str = "x"

    def row(self, results: Results) -> list[str]:
        """The target as a line of the table."""
        seen = results.find(self.figure)
        wanted = f"at least {self.least:,g}{self.unit}" if self.most is None else f"at most {self.most:,g}{self.unit}"
        if seen is None:
            return [self.what, wanted, "", "not measured"]
        return [self.what, wanted, f"{seen}{self.unit}", "met" if self.is_met(seen) else "**missed**"]

    def row_of(self, machines: Mapping[str, Results]) -> list[str]:
        """The target with what was seen on each kind of machine, and a verdict on the worst of them."""
        seen = [each.find(self.figure) for each in machines.values()]
        cells = ["" if each is None else f"{each}{self.unit}" for each in seen]
        return [*self.row(Results())[:2], *cells, self._verdict(self.worst_first(machines))]

    def short_row(self, machines: Mapping[str, Results]) -> list[str]:
        """The same with all that was seen in one place, the worst first."""
        found = self.worst_first(machines)
        told = "; ".join(f"{seen}{self.unit} {kind}" for kind, seen in found)
        return [*self.row(Results())[:2], told, self._verdict(found)]

    def worst_first(self, machines: Mapping[str, Results]) -> list[tuple[str, Spread]]:
        """The kinds of machine that it was measured on, each with what was seen."""
        found = [(kind, seen) for kind, each in machines.items() if (seen := each.find(self.figure)) is not None]
        return sorted(found, key=lambda each: each[1].median, reverse=self.most is not None)

    def _verdict(self, found: Sequence[tuple[str, Spread]]) -> str:
        if not found:
            return "not measured"
        return "met" if all(self.is_met(seen) for _, seen in found) else "**missed**"

    def is_met(self, seen: Spread) -> bool:
        """Whether the median keeps the bound."""
        if self.least is not None and seen.median < self.least:
            return False
        return self.most is None or seen.median <= self.most


def _against(server: str, load: str, what: str = "ratio") -> str:
    return f"{load}/{server}/{what}"


def _message(role: str) -> str:
    return f"sockets/deposit/{role}/cpu_ratio"


def _three(load: str, what: str = "ratio") -> str:
    return f"cluster/{load}/three nodes/{what}"


TARGETS: Final = [
    Target("durable deposit against workerd, 200 names, 32 clients", _against("workerd", "deposit/200/32"), least=4),
    Target("its p99 against workerd's", "deposit/200/32/workerd/p99_ratio", most=0.25),
    Target("one hot name against workerd, 32 clients", _against("workerd", "deposit/1/32"), least=4.5),
    Target("one client against workerd, 200 names", _against("workerd", "deposit/200/1"), least=1.5),
    Target("empty method against workerd, 200 names, 32 clients", _against("workerd", "empty/200/32"), least=4.5),
    Target(
        "CPU of a durable call against aiohttp's empty handler (asyncio)",
        _against("aiohttp empty (asyncio)", "deposit/200/32", "cpu_ratio"),
        most=2.5,
    ),
    Target(
        "CPU of a durable call against aiohttp's empty handler (uvloop)",
        _against("aiohttp empty (uvloop)", "deposit/200/32", "cpu_ratio"),
        most=2.5,
    ),
    Target("durable deposit against C by hand, 32 clients", _against("C by hand", "deposit/200/32"), least=0.45),
    Target("calls that failed in all of these", "errors", most=0, unit=""),
    Target("warm call through the sandbox without imports", "sandbox/without_imports/ours_us", most=20, unit=" us"),
    Target("deposit inside the sandbox", "sandbox/deposit/ours_us", most=40, unit=" us"),
    Target(
        "deposit through a function against the actor itself, 32 clients",
        "function/32/deposit/through_the_function/ratio",
        least=0.5,
    ),
    Target("from `holdfast deploy` of changed sources to the switch", "deploy/command/changed_s", most=5, unit=" s"),
    Target("the same of a project that was never built here", "deploy/command/first_s", most=12, unit=" s"),
    Target("a kept version on the host's disk", "deploy/disk/kept_mib", most=15, unit=" MiB"),
    Target("CPU of a keyed deposit against a plain one", "keys/deposit/keyed/cpu_ratio", most=1.25),
    Target("CPU of a keyed read against a plain one", "keys/read/keyed/cpu_ratio", most=1.1),
    Target("an actor's request outside over a bare client's, p50", "outbound/actor/more_ms", most=0.3, unit=" ms"),
    Target("runs of jobs a second, of instances in memory", "jobs/warm/per_s", least=5_000, unit="/s"),
    Target("lateness of 1,000 runs a second, p99", "jobs/lateness/p99_ms", most=50, unit=" ms"),
    Target("memory of the worker for a job that waits", "jobs/waiting/bytes_each", most=16, unit=" bytes"),
    Target("runs of jobs a second against deposits, of instances in memory", "jobs/warm/of_deposits", least=0.8),
    Target("lateness at half as many runs a second as there can be, p99", "jobs/half/p99_ms", most=50, unit=" ms"),
    Target("CPU of the front for a socket's message and answer against a call's", _message("front"), most=1),
    Target("CPU of the worker for a socket's message and answer against a call's", _message("worker"), most=1),
    Target("memory of a front for an idle socket", "sockets/idle/front_bytes", most=2_048, unit=" bytes"),
    Target("memory of the worker for an idle socket", "sockets/idle/worker_bytes", most=16, unit=" bytes"),
    Target("memory of an idle socket against workerd's", "sockets/idle/workerd/ratio", most=1),
    Target(
        "frames of a broadcast a second and core of a front",
        "sockets/broadcast/frames_per_core_s",
        least=150_000,
        unit="/s",
    ),
    Target("CPU of a broadcast's frame against workerd's", "sockets/broadcast/workerd/cpu_ratio", most=1),
    Target("look at 100,000 rows of sockets at a worker's start", "sockets/rows/start_ms", most=50, unit=" ms"),
    Target("read 10,000 sockets of a room for a first broadcast", "sockets/rows/room_ms", most=10, unit=" ms"),
    *(
        Target(f"p99 of a call beside {what}", f"neighbours/{how}/p99_ms", most=5, unit=" ms")
        for how, what in {
            "client": "a client that floods",
            "guest": "a guest that floods",
            "slow": "a client that takes nothing",
            "broadcast": "broadcasts to 20,000",
            "front": "the death of a front",
        }.items()
    ),
    *(
        Target(f"p99 of a deposit beside {what} against without", f"copies/{how}/p99_ratio", most=2)
        for how, what in {"backup": "a backup", "type": "an export", "instance": "exports of an instance"}.items()
    ),
    Target("durable deposit, PostgreSQL on three nodes, against files", _three("deposit/200/32"), least=0.6),
    Target("its p99 against that of files", _three("deposit/200/32", "p99_ratio"), most=3),
    Target("empty method, PostgreSQL on three nodes, against files", _three("empty/200/32"), least=0.4),
    Target("first call to a new name, p50", "first_call/p50_ms", most=5, unit=" ms"),
    Target("reactivation after eviction, p50", "reactivation/p50_ms", most=4, unit=" ms"),
    Target("private memory of an activation, 1,000 active", "memory/1000/mib_each", most=0.8, unit=" MiB"),
    Target("private memory of an activation, 5,000 active", "memory/5000/mib_each", most=0.8, unit=" MiB"),
    Target("active at once", "memory/5000/active", least=5_000, unit=""),
    Target("CPU per call, 100,000 instances on disk against 100", "flat/100000_instances/cpu_ratio", most=1.1),
    Target("calls/s, 100,000 instances on disk against 100", "flat/100000_instances/rate_ratio", least=0.9),
    Target("CPU per call, 10,000,000 instances on disk against 100", "flat/10000000_instances/cpu_ratio", most=1.1),
    Target("start of a host beside them", "start/10000000_instances_s", most=3, unit=" s"),
    Target("a page of a listing beside them, p50", "pages/10000000_instances_ms", most=10, unit=" ms"),
    Target("CPU per call, 1,000 keys per instance against 1", "flat/1000_keys/cpu_ratio", most=1.1),
    Target("calls/s, 1,000 keys per instance against 1", "flat/1000_keys/rate_ratio", least=0.9),
]


def rows(results: Results) -> list[list[str]]:
    """The table of all targets."""
    return [target.row(results) for target in TARGETS]
