"""What runs in `make test` and what in `make test-long`: each test in one of both, something of all in the first."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.costs import Costs
from tests.harness.components import PROJECT

TESTS = PROJECT / "tests"
LATER = {"slow", "alone", "packages", "builds", "dist"}  # what `make test` leaves out of what runs beside others
FOLDERS = sorted(each.name for each in TESTS.iterdir() if any(each.rglob("test_*.py")))
GUARANTEES = sorted(path.name for path in (TESTS / "guarantees").glob("test_*.py"))


def quick_tests(module: Path) -> Iterator[str]:
    """The functions of a module that have no mark that keeps all their cases out of the quick part."""
    tree = ast.parse(module.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark" and _marks(node.value) & LATER:
            return
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test"):
            whole = [each for each in function.decorator_list if not ast.unparse(each).startswith("pytest.mark.param")]
            if not {mark for each in whole for mark in _marks(each)} & LATER:
                yield function.name


def _marks(code: ast.expr) -> set[str]:
    return set(re.findall(r"pytest\.mark\.(\w+)", ast.unparse(code)))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_tests_in_the_quick_part(folder: str) -> None:
    assert any(any(quick_tests(module)) for module in (TESTS / folder).rglob("test_*.py"))


@pytest.mark.parametrize("module", GUARANTEES)
def test_every_guarantee_has_tests_in_the_quick_part(module: str) -> None:
    assert any(quick_tests(TESTS / "guarantees" / module))


def commands_of(target: str) -> str:
    """What `make TARGET` runs, as make itself says."""
    return subprocess.run(["make", "-n", target], cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def expressions_of(target: str) -> list[str]:
    """What it selects tests by."""
    return re.findall(r'-m "([^"]+)"', commands_of(target))


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_a_test_runs_in_one_of_both_parts_once(slow: bool, alone: bool) -> None:
    marks = {"slow": slow, "alone": alone, "packages": False, "builds": False, "dist": False}
    expressions = [*expressions_of("test"), *expressions_of("test-long")]

    assert [eval(each, dict(marks)) for each in expressions].count(True) == 1, expressions


def test_what_runs_alone_is_marked_in_its_own_file_where_make_looks_for_it() -> None:
    """A mark that a helper gave would be in no file that is loaded for it, and its test in no part."""
    marking = {path for path in TESTS.rglob("*.py") if "mark.alone" in path.read_text()} - {Path(__file__)}
    loaded = re.findall(r"tests/\S+\.py", commands_of("test"))

    assert all(path.name.startswith("test_") for path in marking)
    assert {PROJECT / each for each in loaded} >= marking


def test_what_ci_runs_is_both_parts_and_the_distribution() -> None:
    assert "make --keep-going test test-long dist\n" in (PROJECT / ".ci" / "run").read_text()


def test_a_function_whose_cases_cost_too_much_together_is_named() -> None:
    costs = Costs(quick_max_s=3.0)
    costs.processor_s.update({"a.py::one[x]": 1.6, "a.py::one[y]": 1.6, "a.py::two": 2.9})

    assert [*costs.over()] == ["a.py::one"]
