"""What pytest collects when it is given no path: every module of tests that there is."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.harness.components import PROJECT


def test_no_module_of_tests_lies_where_pytest_does_not_look(pytestconfig: pytest.Config) -> None:
    passed_over: list[str] = pytestconfig.getini("norecursedirs")
    roots = [PROJECT / folder for folder in pytestconfig.getini("testpaths")]
    modules = [path.relative_to(root) for root in roots for path in root.rglob("test_*.py")]

    assert Path("unit/build/test_build.py") in modules
    assert [
        str(module)
        for module in modules
        if any(fnmatch(folder, pattern) for folder in module.parts[:-1] for pattern in passed_over)
    ] == []
