"""What a method takes, in no language's notation: its parameters with JSON Schemas of the plain form that callers send.

Made of the same annotations that `conversion` checks by, once, while the component is built. An annotation that is not
known there asks for nothing here: the schema without a word.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, NotRequired, Required, Union, get_args, get_origin
from uuid import UUID

from holdfast._values.annotations import hints_of
from holdfast._values.codec import plain_text
from holdfast._values.conversion import CONTAINERS

Schema = dict[str, Any]

PARTS_MAX: Final = 1_000  # of one method's schemas: classes that hold each other twice would double with every level
SAID_CHARS_MAX: Final = 1_000  # of a default, or a member of an enumeration

_KINDS: Final = {
    Parameter.POSITIONAL_ONLY: "position",
    Parameter.POSITIONAL_OR_KEYWORD: "both",
    Parameter.KEYWORD_ONLY: "name",
    Parameter.VAR_POSITIONAL: "positions",
    Parameter.VAR_KEYWORD: "names",
}
_LEAVES: Final[dict[Any, Schema]] = {
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    time: {"type": "string", "format": "time"},
    timedelta: {"type": "number", "format": "timedelta"},
    Decimal: {"type": ["string", "integer"], "format": "decimal"},
    UUID: {"type": "string", "format": "uuid"},
}


def parameters_of(function: Callable[..., Any], parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
    """The parameters of a function, without `self`, as `wit/instance.wit` describes them."""
    hints, schemas = hints_of(function), _Schemas()
    found = []
    for each in parameters:
        kind = _KINDS[each.kind]
        facts: dict[str, Any] = {"name": each.name} if kind == "both" else {"name": each.name, "kind": kind}
        schema = schemas.of(hints[each.name]) if each.name in hints else {}
        if each.default is None and schema:
            schema = _any_of([schema, _LEAVES[NoneType]])
        if each.default is not each.empty:
            facts["required"] = False
            facts |= _default(each.default)
        found.append({**facts, "schema": schema})
    return found


def _default(value: Any) -> dict[str, Any]:
    """What is left out stands for this, where JSON can say it in a few words."""
    return {"default": value} if _is_sayable(value) else {}


def _is_sayable(value: Any) -> bool:
    text = plain_text(value)
    return text is not None and len(text) <= SAID_CHARS_MAX and "\\ud" not in text  # half a character is no UTF-8


def _any_of(schemas: Sequence[Schema]) -> Schema:
    if not all(schemas):
        return {}
    flat = [part for each in schemas for part in (each["anyOf"] if each.keys() == {"anyOf"} else [each])]
    once = [each for at, each in enumerate(flat) if each not in flat[:at]]
    return once[0] if len(once) == 1 else {"anyOf": once}


class _Schemas:
    """Makes the schemas of one method."""

    def __init__(self) -> None:
        self._left = PARTS_MAX
        self._open: list[type] = []  # a class that holds itself is an object there, and no more is said

    def of(self, annotation: Any) -> Schema:
        """What an annotation asks for; empty where that is nothing, or not known here."""
        self._left -= 1
        if self._left < 0:
            return {}
        if isinstance(annotation, type) and annotation in _LEAVES:
            return _LEAVES[annotation]
        if annotation is None:
            return _LEAVES[NoneType]
        if isinstance(annotation, NewType):
            return self.of(annotation.__supertype__)
        alias = getattr(typing, "TypeAliasType", None)
        if alias is not None and isinstance(annotation, alias):
            return self.of(annotation.__value__)
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Annotated, Required, NotRequired):
            return self.of(arguments[0])
        if origin is Literal:
            return _enum(each.value if isinstance(each, Enum) else each for each in arguments)
        if origin is Union or origin is UnionType:
            return _any_of([self.of(each) for each in arguments])
        kind = CONTAINERS.get(origin or annotation) if isinstance(origin or annotation, type) else None
        if kind is not None:
            return self._container(kind, arguments)
        return self._class(annotation) if isinstance(annotation, type) else {}

    def _container(self, kind: type, arguments: tuple[Any, ...]) -> Schema:
        if kind is dict:
            part = self.of(arguments[1]) if arguments else {}
            return {"type": "object", **({"additionalProperties": part} if part else {})}
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            parts = [self.of(each) for each in arguments if each != ()]
            return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
        part = self.of(arguments[0]) if arguments else {}
        schema = {"type": "array", **({"items": part} if part else {})}
        return {**schema, "uniqueItems": True} if kind in (set, frozenset) else schema

    def _class(self, kind: type) -> Schema:
        if issubclass(kind, Enum):
            plain = (str, int, float, bool, NoneType)
            return _enum(each.value if isinstance(each.value, plain) else each.name for each in kind)
        if kind in self._open:
            return {"type": "object"}
        if is_dataclass(kind):
            own = [each for each in fields(kind) if each.init]
            required = {each.name for each in own if each.default is MISSING and each.default_factory is MISSING}
            return self._record(kind, [each.name for each in own], required)
        if typing.is_typeddict(kind):
            hints = hints_of(kind)
            required = set(kind.__required_keys__)  # type: ignore[attr-defined]
            required |= {name for name, hint in hints.items() if get_origin(hint) is Required}
            required -= {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
            return self._record(kind, [*hints], required)
        return {}

    def _record(self, kind: type, names: Sequence[str], required: set[str]) -> Schema:
        self._open.append(kind)
        try:
            hints = hints_of(kind)
            properties = {name: self.of(hints[name]) if name in hints else {} for name in names}
        finally:
            self._open.pop()
        needed = [name for name in names if name in required]
        schema = {"type": "object", "title": kind.__name__, "properties": properties, "required": needed}
        return {**schema, "additionalProperties": False}


def _enum(values: Iterable[Any]) -> Schema:
    """Its members, where JSON has them all."""
    plain = list(values)
    return {"enum": plain} if plain and all(map(_is_sayable, plain)) else {}
