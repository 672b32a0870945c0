"""The API's description of what `GET /v1/actors` lists: types, methods and parameters, in no language's notation."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_PARAMETER: Final = {
    "type": "object",
    "required": ["name", "kind", "required", "schema"],
    "properties": {
        "name": _TEXT,
        "kind": {"type": "string", "enum": ["both", "position", "name", "positions", "names"]},
        "required": {"type": "boolean"},
        "schema": {"description": "A JSON Schema of the plain form that callers send."},
        "default": {"description": "What is taken where it is left out."},
    },
}
_METHOD: Final = {
    "type": "object",
    "required": ["name", "signature", "doc"],
    "properties": {
        "name": _TEXT,
        "signature": {"type": "string", "description": "For people, in the notation of its language."},
        "doc": _TEXT,
        "parameters": {"type": "array", "items": _PARAMETER},
    },
}
_TYPE: Final = {
    "type": "object",
    "required": ["type", "function", "version", "doc", "methods"],
    "properties": {
        "type": _TEXT,
        "function": _TEXT,
        "version": {"type": "integer"},
        "doc": _TEXT,
        "language": _TEXT,
        "handlers": {"type": "array", "items": _TEXT},
        "methods": {"type": "array", "items": _METHOD},
    },
}


def types_schema() -> dict[str, Any]:
    """The schema of the whole answer; what is not required is missing where a component does not say it."""
    return {
        "type": "object",
        "required": ["actors"],
        "properties": {"actors": {"type": "array", "items": _TYPE}},
    }
