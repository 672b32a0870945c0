"""`-p tests.costs`: at the end of a run of pytest, what its tests cost in processor time, by folder and by test.

The clock on the wall says how busy the machine was; this says what a test takes from it. Counted are user and system
time of the process that tests, of all that it has waited for, and of all that run below it: a host that serves many
tests counts with each. What is made once for all is nobody's: components, and the start of what lives for a session.

With `--quick-max-s 3` a function costs at most that, all its cases together: those that cost more are named, and fail
the run. `make costs` holds the quick part to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.harness import components

_SHOWN = 40
_KEY = "processor_s"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _used_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both) + _used_below_s(os.getpid())


def _used_below_s(root: int) -> float:
    """What all processes below one have used so far, with those that they have waited for."""
    used_s: dict[int, float] = {}
    below: defaultdict[int, list[int]] = defaultdict(list)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended: whoever waited for it has its time
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                used_s[int(process.name)] = sum(int(each) for each in fields[11:15]) * _TICK_S
                below[int(fields[1])].append(int(process.name))
    found = [*below[root]]
    for each in found:
        found += below[each]
    return sum(used_s[each] for each in found)


class Costs:
    """Sums what the reports bring; with xdist, in the process that reports."""

    def __init__(self, quick_max_s: float | None = None) -> None:
        self.processor_s: defaultdict[str, float] = defaultdict(float)
        self.wall_s: defaultdict[str, float] = defaultdict(float)
        self._quick_max_s = quick_max_s
        self._shared_s = 0.0  # of all that was used in this process, what is no test's own
        self._sharing = False

    def shared(self, made: Callable[..., Path]) -> Callable[..., Path]:
        """What a call of it takes is made for all tests, and counts for none."""

        def call(*arguments: object) -> Path:
            began = self._share()
            try:
                return made(*arguments)
            finally:
                self._end_of_share(began)

        return call

    def _share(self) -> float | None:
        """From now on; none where what is shared is part of something shared."""
        if self._sharing:
            return None
        self._sharing = True
        return _used_s()

    def _end_of_share(self, began: float | None) -> None:
        if began is not None:
            self._shared_s += _used_s() - began
            self._sharing = False

    def _own_s(self) -> float:
        """So far; looking costs some itself."""
        began, used_s = time.process_time(), _used_s()
        own_s = used_s - self._shared_s
        self._shared_s += time.process_time() - began
        return own_s

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """A fixture that lives for the session is no test's."""
        began = self._share() if fixturedef.scope == "session" else None
        try:
            return (yield)
        finally:
            self._end_of_share(began)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note where the test begins."""
        item.stash[_BEGAN] = self._own_s()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Each phase's report says what it took."""
        report = yield
        now = self._own_s()
        report.user_properties.append((_KEY, now - item.stash[_BEGAN]))
        item.stash[_BEGAN] = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add it up."""
        took = [value for name, value in report.user_properties if name == _KEY]
        if took:
            self.processor_s[report.nodeid] += float(str(took[-1]))
            self.wall_s[report.nodeid] += report.duration

    def over(self) -> dict[str, float]:
        """The functions that cost more than the quick part has for one, with what they cost."""
        functions: defaultdict[str, float] = defaultdict(float)
        for name, used_s in self.processor_s.items():
            functions[name.partition("[")[0]] += used_s
        return {name: used_s for name, used_s in functions.items() if used_s > (self._quick_max_s or float("inf"))}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A good run fails where a function costs too much."""
        if session.exitstatus == pytest.ExitCode.OK and self.over():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The tables."""
        folders: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
        for name, used_s in self.processor_s.items():
            parts = Path(name.split("::")[0]).parent.parts
            folder = "/".join(parts[:3] if "unit" in parts else parts[:2])
            row = folders[folder]
            row[0] += used_s
            row[1] += self.wall_s[name]
            row[2] += 1
        terminalreporter.section("processor seconds, seconds, tests")
        for folder, (used_s, wall_s, count) in sorted(folders.items(), key=lambda each: -each[1][0]):
            terminalreporter.line(f"{used_s:8.1f} {wall_s:8.1f} {count:6.0f}  {folder}")
        total = [sum(row[column] for row in folders.values()) for column in range(3)]
        terminalreporter.line(f"{total[0]:8.1f} {total[1]:8.1f} {total[2]:6.0f}  all")
        if (path := os.environ.get("COSTS")) is not None:
            rows = {name: [used_s, self.wall_s[name]] for name, used_s in self.processor_s.items()}
            Path(path).write_text(json.dumps(rows))
        for name, used_s in sorted(self.processor_s.items(), key=lambda each: -each[1])[:_SHOWN]:
            terminalreporter.line(f"{used_s:8.1f} {self.wall_s[name]:8.1f}  {name}")
        if over := self.over():
            terminalreporter.section(f"cost more than {self._quick_max_s} s: make them cheaper, or mark them slow")
            for name, used_s in sorted(over.items(), key=lambda each: -each[1]):
                terminalreporter.line(f"{used_s:8.1f}  {name}")


_BEGAN = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a function of the quick part may cost."""
    parser.addoption("--quick-max-s", type=float, help="processor seconds that all cases of a function may take")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    costs = Costs(config.getoption("--quick-max-s"))
    components.made_once = costs.shared(components.made_once)
    config.pluginmanager.register(costs)
