"""What a description says of parameters, for programs: JSON Schemas made of annotations."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Literal, NotRequired, TypedDict
from uuid import UUID

import pytest

from holdfast._values.schemas import parameters_of


class Size(StrEnum):
    SMALL = "s"
    LARGE = "l"


class Colour(Enum):
    RED = object()


@dataclass
class Item:
    name: str
    price: Decimal
    tags: list[str] = field(default_factory=list)


@dataclass
class Tree:
    value: int
    below: list[Tree]


class Order(TypedDict):
    item: Item
    note: NotRequired[str]


ITEM = {
    "type": "object",
    "title": "Item",
    "properties": {
        "name": {"type": "string"},
        "price": {"type": ["string", "integer"], "format": "decimal"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "price"],
    "additionalProperties": False,
}


def schema_of(annotation: Any) -> Any:
    def method(value: Any) -> None: ...

    method.__annotations__["value"] = annotation
    [parameter] = parameters_of(method, inspect.signature(method).parameters.values())
    return parameter["schema"]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (None, {"type": "null"}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (date, {"type": "string", "format": "date"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (time, {"type": "string", "format": "time"}),
        (timedelta, {"type": "number", "format": "timedelta"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | Any, {}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (Size, {"enum": ["s", "l"]}),
        (Colour, {"enum": ["RED"]}),
        (Literal["\ud800"], {}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, Any], {"type": "array", "prefixItems": [{"type": "integer"}, {}], "minItems": 2, "maxItems": 2}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (dict, {"type": "object"}),
        (Item, ITEM),
        (
            Order,
            {
                "type": "object",
                "title": "Order",
                "required": ["item"],
                "additionalProperties": False,
                "properties": {"item": ITEM, "note": {"type": "string"}},
            },
        ),
        (
            Tree,
            {
                "type": "object",
                "title": "Tree",
                "required": ["value", "below"],
                "additionalProperties": False,
                "properties": {"value": {"type": "integer"}, "below": {"type": "array", "items": {"type": "object"}}},
            },
        ),
        (object, {}),
    ],
)
def test_an_annotation_becomes_the_schema_of_its_plain_form(annotation: Any, schema: Any) -> None:
    assert schema_of(annotation) == schema


def test_a_default_is_told_where_json_can_say_it() -> None:
    def method(a, b=1, c=None, d=object(), e=float("nan"), f="\ud800", g="x" * 1_001, h=10**5_000): ...  # type: ignore[no-untyped-def]  # noqa: B008

    found = parameters_of(method, inspect.signature(method).parameters.values())

    assert found[0] == {"name": "a", "schema": {}}
    assert [each.get("default", "none") for each in found[1:]] == [1, None, "none", "none", "none", "none", "none"]
    assert all(each["required"] is False for each in found[1:])


def test_what_none_stands_for_may_be_none() -> None:
    def method(until: date = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    [until] = parameters_of(method, inspect.signature(method).parameters.values())
    assert until["schema"] == {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}


def test_classes_that_hold_others_twice_do_not_double_with_every_level() -> None:
    held: Any = int
    for level in range(30):
        held = make_dataclass(f"Level{level}", [("left", held), ("right", held)])

    assert len(json.dumps(schema_of(held))) < 200_000
