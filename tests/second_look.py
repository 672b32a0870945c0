"""`python -m tests.second_look ARGUMENTS`: pytest, and once more, each alone, the few tests that failed in it.

A run of thousands of tests beside each other on two cores is to be red for a defect, not for a moment in which the
machine was elsewhere. So where at most five failed, these run again with nobody beside them, and what passes then is
named at the end in capitals: it depends on its neighbours, which is a defect of the test or of the product, and is to
be mended. What fails again fails the run, as do more failures, a collection that fails, and an interrupt.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

FAILURES_MAX = 5


class Failures:
    """A plugin that notes which tests failed, in set-up, call or teardown; with xdist, in the process that reports."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note each failed test once."""
        if report.failed and report.nodeid not in self.names:
            self.names.append(report.nodeid)


def first_look(arguments: list[str]) -> tuple[int, list[str]]:
    """Run pytest with these arguments; its exit code, and what failed."""
    failures = Failures()
    return int(pytest.main(["-q", *arguments], plugins=[failures])), failures.names


def look_again(name: str) -> int:
    """Run one test with nobody beside it; pytest's exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", "-q", name], check=False).returncode


def main(
    arguments: list[str],
    first: Callable[[list[str]], tuple[int, list[str]]] = first_look,
    again: Callable[[str], int] = look_again,
) -> int:
    """Run pytest with these arguments; its exit code, or that of the second look where there was one."""
    code, names = first(arguments)
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(names) <= FAILURES_MAX:
        return code
    print(f"\na second look, alone, at {', '.join(names)}\n", flush=True)
    codes = {name: again(name) for name in names}
    passed = [name for name, code in codes.items() if code == pytest.ExitCode.OK]
    if passed:
        print("\n" + "!" * 100)
        print("FAILED BESIDE THE OTHERS, PASSED ALONE: MEND THE CAUSE, IT IS IN THE TEST OR IN WHAT IT TESTS")
        print("".join(f"    {name}\n" for name in passed) + "!" * 100, flush=True)
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
