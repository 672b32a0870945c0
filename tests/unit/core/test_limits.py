"""That no limit is forgotten: each has a test at it and one past it, which says so by its mark."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

from holdfast_host.core.limits import Limits
from tests.hostile.test_limits import AT_AND_PAST

TESTS = Path(__file__).resolve().parents[2]

# They say how a worker shares its time. Nothing is refused past them, so nothing is "at" them.
PACES = {"promotion_after_s", "round_s", "round_batch_bytes", "slice_s"}


def _marked() -> set[str]:
    """The names in all marks `limit` of all tests."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        if "pytest.mark.limit(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.limit":
                    found |= {ast.literal_eval(argument) for argument in mark.args}
    return found


def test_every_limit_has_a_test_at_it_and_past_it() -> None:
    names = {field.name for field in fields(Limits)}
    tested = _marked() | AT_AND_PAST.keys()

    assert tested <= names, f"no limits: {sorted(tested - names)}"
    assert names - tested == PACES
