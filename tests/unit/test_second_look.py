"""What is run a second time, and what the run says in the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.host import PROJECT

FLAKY = """
import pathlib

def test_that_needs_a_second_look():
    been = pathlib.Path(__file__).with_name("been")
    seen = been.exists()
    been.touch()
    assert seen
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of its own, with one good test."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_good.py").write_text("def test_good(): pass\n")
    return tmp_path


def look(suite: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.second_look", *arguments],
        cwd=suite,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_test_that_passes_alone_passes_and_is_named(suite: Path, workers: str) -> None:
    (suite / "test_flaky.py").write_text(FLAKY)
    done = look(suite, "-n", workers)

    assert done.returncode == 0, done.stdout
    assert "MEND THE CAUSE" in done.stdout
    assert "    test_flaky.py::test_that_needs_a_second_look\n" in done.stdout


def test_a_test_that_fails_again_fails_the_run(suite: Path) -> None:
    (suite / "test_flaky.py").write_text(FLAKY)
    (suite / "test_bad.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', ['a b'])\ndef test_bad(x): assert 0\n"
    )
    done = look(suite)

    assert done.returncode == 1
    assert "second look" in done.stdout
    assert "test_bad.py::test_bad[a b]\n" not in done.stdout.partition("MEND THE CAUSE")[2]


@pytest.mark.parametrize(
    "module",
    ["import nowhere\n", "import pytest\n@pytest.mark.parametrize('x', range(6))\ndef test_bad(x): assert 0\n"],
)
def test_many_failures_and_a_module_that_cannot_be_read_get_no_second_look(suite: Path, module: str) -> None:
    (suite / "test_bad.py").write_text(module)
    done = look(suite)

    assert done.returncode != 0
    assert "second look" not in done.stdout


def test_a_good_suite_is_not_remarked_on(suite: Path) -> None:
    done = look(suite)

    assert done.returncode == 0
    assert "second look" not in done.stdout
