"""The API's description of exports, imports and clones."""

from __future__ import annotations

from typing import Any, Final

from holdfast_host.front.routes.openapi.parts import ANY, JSON, LINES, operation, parameter

_TYPE: Final = parameter("type", "The actor type.")
_NAME: Final = parameter("name", "The instance, percent-encoded.")


def describe_transfers() -> dict[str, Any]:
    """The paths."""
    one = "/v1/instances/{type}/{name}"
    return {
        f"{one}/export": {"parameters": [_TYPE, _NAME], "get": _export()},
        f"{one}/import": {"parameters": [_TYPE, _NAME], "post": _import()},
        f"{one}/clone": {"parameters": [_TYPE, _NAME], "post": _clone()},
        "/v1/export/{type}": {"parameters": [_TYPE], "get": _export_type()},
    }


def _export() -> dict[str, Any]:
    return _lines(
        operation(
            "exportInstance",
            "Keys with typed values, alarm and jobs of one instance, as of one moment, one JSON object a line; the "
            "last line is the end, or an error.",
        )
    )


def _export_type() -> dict[str, Any]:
    return _lines(
        operation(
            "exportType",
            "Name, key and value of every key of a type's instances, in no order of the names, from one snapshot of "
            "each partition; the last line is the end, or an error.",
            parameters=[parameter("prefix", "Only instances whose names begin with this.", "query")],
        )
    )


def _import() -> dict[str, Any]:
    # Under the type of lines no generated client could send any.
    lines = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    body = {"required": True, "description": "What an export answers, whatever the Content-Type.", "content": lines}
    return operation(
        "importInstance",
        "Make an instance what an export says, in one turn, whatever its size.",
        200,
        parameters=[
            parameter(
                "replace", "Also where it has something stored, which goes.", "query", type="boolean", default=False
            )
        ],
        requestBody=body,
    )


def _clone() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "replace": {"type": "boolean", "default": False}},
    }
    body = {"required": True, "content": {JSON: {"schema": schema}}}
    return operation("cloneInstance", "Export an instance, and import it under another name.", 200, requestBody=body)


def _lines(described: dict[str, Any]) -> dict[str, Any]:
    described["responses"]["200"] = {"description": "Lines.", "content": {LINES: {"schema": ANY}}}
    return described
