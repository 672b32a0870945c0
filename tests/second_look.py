"""`python -m tests.second_look ARGUMENTS`: pytest, and once more, each alone, the few tests that failed in it.

A run of thousands of tests beside each other on two cores is to be red for a defect, not for a moment in which the
machine was elsewhere. So where at most five failed, these run again with nobody beside them, and what passes then is
named at the end in capitals: it depends on its neighbours, which is a defect of the test or of the product, and is to
be mended. What fails again fails the run, as do more failures, a collection that fails, and an interrupt.
"""

from __future__ import annotations

import subprocess
import sys

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


def main(arguments: list[str]) -> int:
    """Run pytest with these arguments; its exit code, or that of the second look where there was one."""
    failures = Failures()
    code = int(pytest.main(["-q", *arguments], plugins=[failures]))
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failures.names) <= FAILURES_MAX:
        return code
    print(f"\na second look, alone, at {', '.join(failures.names)}\n", flush=True)
    again = [
        subprocess.run([sys.executable, "-m", "pytest", "-q", name], check=False).returncode for name in failures.names
    ]
    passed = [name for name, code in zip(failures.names, again, strict=True) if code == pytest.ExitCode.OK]
    if passed:
        print("\n" + "!" * 100)
        print("FAILED BESIDE THE OTHERS, PASSED ALONE: MEND THE CAUSE, IT IS IN THE TEST OR IN WHAT IT TESTS")
        print("".join(f"    {name}\n" for name in passed) + "!" * 100, flush=True)
    return max(again)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
