"""A method's parameters, as a description has them for programs, written for people and as Python.

For methods whose signature is missing, or is in the notation of another language. What a host says may be anything:
what is no schema or no name in Python becomes `Any`, and never Python of somebody else's.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping, Sequence
from typing import Any, Final

_FORMATS: Final = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "timedelta": "timedelta",
    "decimal": "Decimal",
    "uuid": "UUID",
}
_TYPES: Final = {"null": "None", "boolean": "bool", "integer": "int", "number": "float", "string": "str"}


def parameters_text(parameters: Sequence[Mapping[str, Any]]) -> str:
    """`(amount: integer, note: string = "")`: in JSON's words, for people."""
    return f"({', '.join(map(_shown, parameters))})"


def python_signature(parameters: Sequence[Mapping[str, Any]]) -> str | None:
    """`(amount: int, *, note: str = ...) -> Any`, for after `def name`; None where Python cannot say it."""
    by_kind: dict[str, list[str]] = {"position": [], "both": [], "positions": [], "name": [], "names": []}
    may_be_missing: list[bool] = []
    for each in parameters:
        name, kind = each.get("name"), each.get("kind", "both")
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or kind not in by_kind:
            return None
        mark = {"positions": "*", "names": "**"}.get(kind, "")
        missing = each.get("required") is False and not mark
        if kind in ("position", "both"):
            may_be_missing.append(missing)
        by_kind[kind].append(f"{mark}{name}: {annotation_of(each.get('schema'))}{' = ...' if missing else ''}")
    if may_be_missing != sorted(may_be_missing):
        return None  # a parameter with a default before one without
    slash = ["/"] if by_kind["position"] else []
    star = ["*"] if by_kind["name"] and not by_kind["positions"] else []
    parts = [*by_kind["position"], *slash, *by_kind["both"], *by_kind["positions"], *star, *by_kind["name"]]
    return f"({', '.join([*parts, *by_kind['names']])}) -> Any"


def annotation_of(schema: Any) -> str:
    """What a schema is in Python; `Any` where it says nothing that is known here."""
    if not isinstance(schema, Mapping):
        return "Any"
    choices = schema.get("anyOf")
    if isinstance(choices, list) and choices:
        return " | ".join(dict.fromkeys(map(annotation_of, choices)))
    members = schema.get("enum")
    if isinstance(members, list) and members and all(type(each) in (str, int, bool, type(None)) for each in members):
        return f"Literal[{', '.join(map(repr, members))}]"
    if schema.get("contentEncoding") == "base64":
        return "bytes"
    form, kind = schema.get("format"), schema.get("type")
    if isinstance(form, str) and form in _FORMATS:
        return _FORMATS[form]
    if kind == "array":
        part = annotation_of(schema.get("items"))
        return f"set[{part}]" if schema.get("uniqueItems") is True else f"list[{part}]"
    if kind == "object":
        return f"dict[str, {annotation_of(schema.get('additionalProperties'))}]"
    return _TYPES.get(kind, "Any") if isinstance(kind, str) else "Any"


def _shown(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema")
    kind = {"positions": "...", "names": "...: by name"}.get(str(parameter.get("kind")), "")
    said = f": {_word(schema)}" if isinstance(schema, Mapping) and schema else ""
    given = f" = {json.dumps(parameter['default'], ensure_ascii=False)}" if "default" in parameter else ""
    optional = "?" if parameter.get("required") is False and not kind and not given else ""
    return f"{parameter.get('name')}{optional}{said}{kind}{given}"


def _word(schema: Mapping[str, Any]) -> str:
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return " or ".join(_word(each) if isinstance(each, Mapping) else "anything" for each in choices)
    if isinstance(schema.get("enum"), list):
        return " or ".join(json.dumps(each, ensure_ascii=False) for each in schema["enum"])
    kind = schema.get("format") or schema.get("title") or schema.get("type") or "anything"
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
