"""What a description says of a method's parameters, checked: names, kinds, defaults and JSON Schemas.

They are a guest's, and end in what this host tells everybody. So the keywords that readers act upon have their shape,
and nothing refers to what is elsewhere; keywords that are not known here are handed on as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

PARAMETERS_MAX: Final = 255
NAME_CHARS_MAX: Final = 256
_KINDS: Final = frozenset({"both", "position", "name", "positions", "names"})
_REST: Final = frozenset({"positions", "names"})
_TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


class BadParametersError(Exception):
    """What is wrong, as the end of a sentence: `'amount': its 'required' is neither true nor false`."""


def check_parameters(told: Any) -> list[dict[str, Any]]:
    """The parameters with every member but `default`, which may be missing; BadParametersError."""
    if not isinstance(told, list):
        raise BadParametersError("they are no list")
    if len(told) > PARAMETERS_MAX:
        raise BadParametersError(f"there are {len(told)}, the limit is {PARAMETERS_MAX}")
    checked = [_check_parameter(each) for each in told]
    for what in ("name", "kind"):
        values = [each[what] for each in checked if what == "name" or each["kind"] in _REST]
        twice = next((value for at, value in enumerate(values) if value in values[:at]), None)
        if twice is not None:
            raise BadParametersError(f"the {what} {twice!r} is there twice")
    return checked


def _check_parameter(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise BadParametersError("one is no JSON object")
    name = entry.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARS_MAX:
        raise BadParametersError(f"one has no name of 1 to {NAME_CHARS_MAX} characters")
    kind = entry.get("kind", "both")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadParametersError(f"{name!r} is of no kind that there is ({', '.join(sorted(_KINDS))})")
    required = entry.get("required", kind not in _REST and "default" not in entry)
    if type(required) is not bool:
        raise BadParametersError(f"{name!r} has a 'required' that is neither true nor false")
    if required and ("default" in entry or kind in _REST):
        raise BadParametersError(f"{name!r} is required, but may be left out")
    schema = entry.get("schema", {})
    _check_schema(schema, f"the schema of {name!r}")
    checked = {"name": name, "kind": kind, "required": required, "schema": schema}
    return {**checked, "default": entry["default"]} if "default" in entry else checked


def _check_schema(schema: Any, what: str) -> None:
    if type(schema) is bool:
        return
    if not isinstance(schema, dict):
        raise BadParametersError(f"{what} is neither an object nor true or false")
    for keyword, value in schema.items():
        if keyword.startswith("$"):
            raise BadParametersError(f"{what} has {keyword!r:.80}: it has to stand for itself")
        check = _KEYWORDS.get(keyword)
        if check is not None:
            check(value, f"{keyword!r} of {what}")


def _check_type(value: Any, what: str) -> None:
    names = value if isinstance(value, list) and value else [value]
    if not all(isinstance(each, str) and each in _TYPES for each in names):
        raise BadParametersError(f"{what} is no type of JSON")


def _check_text(value: Any, what: str) -> None:
    if not isinstance(value, str):
        raise BadParametersError(f"{what} is no text")


def _check_array(value: Any, what: str) -> None:
    if not isinstance(value, list):
        raise BadParametersError(f"{what} is no array")


def _check_texts(value: Any, what: str) -> None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadParametersError(f"{what} is no array of texts")


def _check_schemas(value: Any, what: str) -> None:
    if not isinstance(value, list) or not value:
        raise BadParametersError(f"{what} is no array of schemas")
    for each in value:
        _check_schema(each, what)


def _check_properties(value: Any, what: str) -> None:
    if not isinstance(value, dict):
        raise BadParametersError(f"{what} is no object")
    for name, each in value.items():
        _check_schema(each, f"{name!r:.80} in {what}")


def _check_count(value: Any, what: str) -> None:
    if type(value) is not int or value < 0:
        raise BadParametersError(f"{what} is no count")


def _check_flag(value: Any, what: str) -> None:
    if type(value) is not bool:
        raise BadParametersError(f"{what} is neither true nor false")


_KEYWORDS: Final[dict[str, Callable[[Any, str], None]]] = {
    "type": _check_type,
    **dict.fromkeys(("format", "contentEncoding", "title", "description"), _check_text),
    "enum": _check_array,
    "required": _check_texts,
    **dict.fromkeys(("items", "additionalProperties", "not"), _check_schema),
    **dict.fromkeys(("prefixItems", "anyOf", "oneOf", "allOf"), _check_schemas),
    "properties": _check_properties,
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), _check_count),
    "uniqueItems": _check_flag,
}
