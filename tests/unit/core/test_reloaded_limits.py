"""A limit that SIGHUP changes holds for what begins afterwards: it is read where it is used, and kept nowhere."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import holdfast_host
from holdfast_host.core.limits import RELOADED, Limits

HOST = Path(holdfast_host.__file__).parent
AT_THE_START = {"__init__", "__post_init__", "open", "open_resources"}  # of what lives as long as its process


def reads(code: ast.AST, of: str = "") -> Iterator[tuple[str, str]]:
    """Each limit that is read, with the function that does so; what a lambda reads is read when that is called."""
    for node in ast.iter_child_nodes(code):
        inside = of
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = node.name
        elif isinstance(node, ast.Lambda):
            inside = "lambda"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2].lstrip("_") == "limits":
            yield node.attr, inside
        yield from reads(node, inside)


@functools.cache
def all_reads() -> list[tuple[str, str, str]]:
    """Limit, function and module of all reads of the host, but for those of commands and builds, which end."""
    found = []
    for path in sorted(HOST.rglob("*.py")):
        module = str(path.relative_to(HOST))
        if not module.startswith(("cli/", "build/")):
            found += [(name, function, module) for name, function in reads(ast.parse(path.read_text()))]
    return found


def test_none_is_copied_when_a_process_starts() -> None:
    copied = [each for each in all_reads() if each[0] in RELOADED and each[1] in {*AT_THE_START, ""}]

    assert copied == []


def test_each_is_read_somewhere() -> None:
    assert RELOADED - {name for name, _, _ in all_reads()} == set()


def test_a_copy_at_the_start_would_be_found() -> None:
    code = ast.parse("class A:\n    def __init__(self):\n        self._s = limits.queue_timeout_s\n")

    assert [*reads(code)] == [("queue_timeout_s", "__init__")]


def test_taking_changes_those_and_no_others_for_all_who_hold_them() -> None:
    limits, before = Limits(), asdict(Limits())
    wanted = Limits(**{each.name: before[each.name] + 1 for each in fields(Limits)})
    held = limits
    limits.take(wanted)

    assert {name for name, value in asdict(held).items() if value != before[name]} == RELOADED
    assert all(getattr(held, name) == getattr(wanted, name) for name in RELOADED)
