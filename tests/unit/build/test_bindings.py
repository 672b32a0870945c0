"""The types that `holdfast types` writes, from descriptions."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.build.bindings import BoundType, render_bindings
from holdfast_host.build.parameters import parameters_text


def method(signature: str) -> str:
    """The line of a method with this signature."""
    text = render_bindings([BoundType("CART", "Cart", ({"name": "add", "signature": signature, "doc": ""},))], [])
    ast.parse(text)
    return next(line.strip() for line in text.splitlines() if "def add" in line)


@pytest.mark.parametrize(
    ("signature", "written"),
    [
        ("(amount: int) -> dict", "(self, amount: int) -> dict"),
        ("(by: int = 1, /, *, note='x') -> None", "(self, by: int = ..., /, *, note: Any = ...) -> None"),
        ("(*prices: Decimal, **more) -> list[Decimal]", "(self, *prices: Decimal, **more: Any) -> list[Decimal]"),
        ("(at: datetime.datetime, for_: 'Optional[UUID]')", "(self, at: datetime, for_: Optional[UUID]) -> Any"),
        ("(item: Item, items: list[Item], box: Box[int]) -> app.Item | None",
         "(self, item: Any, items: list[Any], box: Any) -> Any | None"),
        ("(mode: Literal['up', 'down'] = 'up')", "(self, mode: Literal['up', 'down'] = ...) -> Any"),
        ("(kind: 'not an annotation at all')", "(self, kind: Any) -> Any"),
        ("", "(self, *args: Any, **kwargs: Any) -> Any"),
        ("(amount, ...rest) -> x?", "(self, *args: Any, **kwargs: Any) -> Any"),
        ("(x): 1\nimport os\ndef f(y)", "(self, *args: Any, **kwargs: Any) -> Any"),
    ],
)  # fmt: skip
def test_a_signature_is_written_as_its_author_wrote_it_where_its_names_are_known(signature: str, written: str) -> None:
    assert method(signature) == f"def add{written}:"


PARAMETERS = [
    {"name": "at", "kind": "position", "required": True, "schema": {"type": "string", "format": "date-time"}},
    {"name": "items", "kind": "both", "required": False, "schema": {"type": "array", "items": {"enum": ["a", 1]}}},
    {"name": "by", "kind": "name", "required": True, "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    {"name": "note", "kind": "name", "required": False, "default": "-", "schema": {"type": "string"}},
    {"name": "more", "kind": "names", "required": False, "schema": True},
]


def described_as(parameters: list[dict[str, Any]], language: str) -> str:
    entry = {"name": "add", "signature": "(at: Date, items?: string[]): void", "parameters": parameters}
    text = render_bindings([BoundType("CART", "Cart", (entry,), language)], [])
    ast.parse(text)
    return next(line.strip() for line in text.splitlines() if "def add" in line)


def test_a_reference_that_is_not_deployed_yet_is_a_namespace_of_any_methods() -> None:
    text = render_bindings([BoundType("LEDGER", "Ledger", is_known=False)], [])

    assert "    LEDGER: holdfast.ActorNamespace\n" in text
    assert "class LedgerStub" not in text


def test_a_method_in_another_language_is_typed_by_its_parameters() -> None:
    assert described_as(PARAMETERS, "javascript") == (
        "def add(self, at: datetime, /, items: list[Literal['a', 1]] = ..., *, by: int | None, note: str = ..., "
        "**more: Any) -> Any:"
    )


@pytest.mark.parametrize(
    "parameters",
    [
        [{"name": "x) -> None: import os #"}],
        [{"name": "class"}],
        [{"name": "a", "required": False}, {"name": "b"}],
        [{"name": "a", "kind": 7}],
        [{"name": ["a"]}],
    ],
)
def test_parameters_that_python_cannot_say_are_anything(parameters: list[dict[str, Any]]) -> None:
    assert described_as(parameters, "javascript") == "def add(self, *args: Any, **kwargs: Any) -> Any:"


def test_parameters_are_shown_in_the_words_of_json() -> None:
    assert parameters_text(PARAMETERS) == (
        '(at: date-time, items?: array, by: integer or null, note: string = "-", more...: by name)'
    )


def test_a_docstring_cannot_end_its_quotes() -> None:
    described = {"name": "add", "signature": "()", "doc": '"""\nimport os'}
    text = render_bindings([BoundType("CART", "Cart", (described,))], ["GREETING"])

    ast.parse(text)
    assert "\nimport os" not in text
    assert "GREETING: str" in text


def test_two_bindings_of_one_type_share_its_classes() -> None:
    methods = ({"name": "add", "signature": "()", "doc": ""},)
    text = render_bindings([BoundType("A", "Cart", methods), BoundType("B", "Cart", methods)], [])

    assert text.count("class CartStub") == 1
    assert "A: CartNamespace\n    B: CartNamespace" in text


def test_mypy_is_strict_with_it(tmp_path: Path) -> None:
    methods = ({"name": "add", "signature": "(amount: int) -> dict[str, int]", "doc": "Adds."},)
    (tmp_path / "bindings.py").write_text(
        render_bindings([BoundType("CART", "Cart", methods)], ["GREETING"], ["API_KEY"])
    )
    (tmp_path / "app.py").write_text(
        "from bindings import Env\n\n\ndef use(env: Env) -> str:\n"
        "    cart = env.CART.id_from_name('a')\n    cart.add(amount=1)['n']\n    cart.add('1')\n    cart.ad()\n"
        "    env.CARD.new_unique_id()\n    return env.GREETING + env.API_KEY + cart.name\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "app.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    found = [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line]
    assert found == ["7", "8", "9"], done.stdout
