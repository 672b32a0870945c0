"""The declarations for JavaScript that `holdfast types --client` writes, from descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_host.build.bindings import BoundType
from holdfast_host.build.client_declarations import render_declarations


def written(signature: str, name: str = "add", **further: Any) -> list[str]:
    """The lines of a method with this signature."""
    described = {"type": "Cart", "methods": [{"name": name, "signature": signature, "doc": "", **further}]}
    text = render_declarations([BoundType.of("", described)])
    _, _, rest = text.partition('  "Cart": {')
    return [line.strip() for line in rest.partition("} & holdfast.Actor")[0].strip().splitlines()]


@pytest.mark.parametrize(
    ("signature", "declared"),  # several lines stand apart by ;;
    [
        ("(amount: int, note: str = '') -> int", "add(amount: number | bigint, note?: string): Promise<number>"),
        ("(*prices: Decimal, **more) -> None", "add(...prices: holdfast.Decimal[]): Promise<null>"),
        ("(at: datetime, days: 'list[date | None]') -> datetime",
         "add(at: holdfast.DateTime | Date, days: readonly (holdfast.DateOnly | null)[]): Promise<holdfast.DateTime>"),
        ("(a: dict[str, bytes], b: dict[UUID, float]) -> dict[int, str]",
         "add(a: { [key: string]: Uint8Array }, b: ReadonlyMap<holdfast.Uuid, number>): "
         "Promise<Map<number, string> | Record<string, never>>"),
        ("(a: set[str], b: frozenset[int], c: tuple[int, ...]) -> tuple[int, str]",
         "add(a: ReadonlySet<string>, b: holdfast.FrozenSet<number | bigint>, c: holdfast.Tuple<number | bigint>): "
         "Promise<holdfast.Tuple<number | string>>"),
        ("(mode: Literal['a | b', 2, None, True])", 'add(mode: "a | b" | 2 | null | true): Promise<any>'),
        ("(item: Item, box: Box[int], x: Union[int, None], y: Optional[timedelta]) -> list[Item]",
         "add(item: holdfast.Sent, box: holdfast.Sent, x: number | bigint | null, y: holdfast.Duration | null): "
         "Promise<any[]>"),
        ("(new, class_, arguments, *, x=1)",
         "add(new_: holdfast.Sent, class_: holdfast.Sent, arguments_: holdfast.Sent): Promise<any>;;"
         'call(method: "add", args: { new: holdfast.Sent; class_: holdfast.Sent; '
         "arguments: holdfast.Sent; x?: holdfast.Sent }): Promise<any>"),
        ("(function: int, delete: list = [])", "add(function_: number | bigint, delete_?: readonly holdfast.Sent[]): "
         "Promise<any>"),
        ("(*, when: time)", 'call(method: "add", args: { when: holdfast.TimeOnly }): Promise<any>'),
        ("", "add(...args: holdfast.Sent[]): Promise<any>"),
        ("(x): 1\nimport os\ndef f(y)", "add(...args: holdfast.Sent[]): Promise<any>"),
    ],
)  # fmt: skip
def test_a_signature_is_declared_as_javascript_has_it(signature: str, declared: str) -> None:
    assert written(signature) == declared.split(";;")


@pytest.mark.parametrize("name", ["then", "with", "constructor", "_add", "toJSON"])
def test_a_name_that_the_client_has_itself_is_called_by_name(name: str) -> None:
    assert written("(a: str = '')", name) == [f'call(method: "{name}", args?: {{ a?: string }}): Promise<any>']
    assert written("()", name) == [f'call(method: "{name}", args?: {{}}): Promise<any>']
    assert written("(((", name) == []


@pytest.mark.parametrize("name", ["not a name", "x(): void }; evil", "", "*/"])
def test_what_is_no_name_is_left_out(name: str) -> None:
    assert written("()", name) == []


def test_a_docstring_ends_no_comment_and_parameters_of_another_language_are_declared() -> None:
    assert written("()", doc="Add */ evil()\nmore")[0] == "/** Add * / evil() */"
    text = render_declarations(
        [
            BoundType.of(
                "",
                {
                    "type": "Map",
                    "language": "rust",
                    "methods": [
                        {
                            "name": "get",
                            "signature": "fn get(key: u8)",
                            "parameters": [{"name": "key", "schema": {"type": "integer"}}],
                        }
                    ],
                },
            )
        ]
    )
    assert '  "Map": {\n    get(key: number | bigint): Promise<any>\n  } & holdfast.Actor\n' in text


def test_types_stand_in_the_order_of_their_names() -> None:
    types = [BoundType.of("", {"type": name, "methods": []}) for name in ("Room", "Cart")]

    assert render_declarations(types) == render_declarations(types[::-1])
    assert render_declarations(types).index("Cart") < render_declarations(types).index("Room")
