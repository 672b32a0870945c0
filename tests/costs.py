"""`-p tests.costs`: at the end of a run of pytest, what its tests cost in processor time, by folder and by test.

The clock on the wall says how busy the machine was; this says what a test takes from it. Counted are user and system
time of the process that tests and of all it has waited for, so a host counts with the test that stops it.
"""

from __future__ import annotations

import json
import os
import resource
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

_SHOWN = 40
_KEY = "processor_s"


def _used_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


class Costs:
    """Sums what the reports bring; with xdist, in the process that reports."""

    def __init__(self) -> None:
        self.processor_s: defaultdict[str, float] = defaultdict(float)
        self.wall_s: defaultdict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note where the test begins."""
        item.stash[_BEGAN] = _used_s()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Each phase's report says what it took."""
        report = yield
        now = _used_s()
        report.user_properties.append((_KEY, now - item.stash[_BEGAN]))
        item.stash[_BEGAN] = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add it up."""
        took = [value for name, value in report.user_properties if name == _KEY]
        if took:
            self.processor_s[report.nodeid] += float(str(took[-1]))
            self.wall_s[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The two tables."""
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


_BEGAN = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.pluginmanager.register(Costs())
