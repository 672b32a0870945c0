"""What is run a second time, and what the run says in the end."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness.host import PROJECT
from tests.second_look import Failures, main

FLAKY = """
import pathlib

def test_that_needs_a_second_look():
    been = pathlib.Path(__file__).with_name("been")
    seen = been.exists()
    been.touch()
    assert seen
"""


@pytest.mark.slow
def test_a_test_that_passes_alone_passes_and_is_named(tmp_path: Path) -> None:
    """A real run over two processes, and a real second look."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    done = subprocess.run(
        [sys.executable, "-m", "tests.second_look", "-n", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout
    assert "MEND THE CAUSE" in done.stdout
    assert "    test_flaky.py::test_that_needs_a_second_look\n" in done.stdout


class Looks:
    """Stands in for both runs of pytest; `seen` is what was looked at again."""

    def __init__(self, code: int, failed: list[str], passes_alone: str = "") -> None:
        self.seen: list[str] = []
        self._first = code, failed
        self._passes_alone = passes_alone

    def run(self) -> int:
        return main(["tests"], lambda arguments: self._first, self._again)

    def _again(self, name: str) -> int:
        self.seen.append(name)
        return int(name != self._passes_alone)


def test_a_test_that_fails_again_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    looks = Looks(1, ["test_bad.py::test_bad[a b]", "test_flaky.py::test_it"], passes_alone="test_flaky.py::test_it")

    assert looks.run() == 1
    assert looks.seen == ["test_bad.py::test_bad[a b]", "test_flaky.py::test_it"]
    before, _, named = capsys.readouterr().out.partition("MEND THE CAUSE")
    assert "second look" in before
    assert "    test_flaky.py::test_it\n" in named
    assert "test_bad.py" not in named


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        (pytest.ExitCode.TESTS_FAILED, [f"test_bad.py::test_{number}" for number in range(6)]),
        (pytest.ExitCode.INTERRUPTED, ["test_bad.py::test_it"]),
        (pytest.ExitCode.TESTS_FAILED, []),  # as after errors of a plugin
        (pytest.ExitCode.INTERNAL_ERROR, []),
        (pytest.ExitCode.NO_TESTS_COLLECTED, []),
        (pytest.ExitCode.OK, []),
    ],
)
def test_many_failures_whatever_else_ends_a_run_and_a_good_run_get_no_second_look(
    code: pytest.ExitCode, failed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    looks = Looks(int(code), failed)

    assert looks.run() == code
    assert looks.seen == []
    assert capsys.readouterr().out == ""


def test_a_failure_is_noted_once_whichever_of_its_parts_fails() -> None:
    failures = Failures()
    parts = [("a", "setup", "failed"), ("b", "call", "failed"), ("b", "teardown", "failed"), ("c", "call", "passed")]
    for name, when, outcome in parts:
        report: Any = SimpleNamespace(nodeid=name, when=when, failed=outcome == "failed")
        failures.pytest_runtest_logreport(report)

    assert failures.names == ["a", "b"]
