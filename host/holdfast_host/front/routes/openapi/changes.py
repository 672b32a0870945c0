"""The API's description, of what is read from the archive."""

from __future__ import annotations

from typing import Any

from holdfast_host.front.routes.openapi.parts import ANY, JSON, LINES, operation, parameter


def describe_changes() -> dict[str, Any]:
    """The API's description of them."""
    changes = operation(
        "readChanges",
        "What was committed, turn by turn and in order, from the archive; one JSON object a line.",
        parameters=[
            parameter("type", "Only changes of this type's instances.", "query"),
            parameter(
                "after",
                "Only what follows: the position of a line; or `now`, which is told as the first line.",
                "query",
            ),
            parameter("limit", "So many lines at most.", "query", type="integer", minimum=1),
            parameter("follow", "Go on as it is committed.", "query", type="boolean", default=False),
        ],
    )
    changes["responses"]["200"] = {"description": "Lines.", "content": {LINES: {"schema": ANY}}}
    revert = operation(
        "revertInstance",
        "Give an instance the keys that it had at a moment, by the archive, in a turn of its own; all else stays.",
        200,
        requestBody={
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "required": ["at"],
                        "additionalProperties": False,
                        "properties": {
                            "at": {
                                "description": "A date and time with an offset, or seconds since 1970.",
                                "type": ["string", "number"],
                            }
                        },
                    }
                }
            },
        },
    )
    return {
        "/v1/changes": {"get": changes},
        "/v1/instances/{type}/{name}/revert": {
            "parameters": [parameter("type", "The actor type."), parameter("name", "The instance, percent-encoded.")],
            "post": revert,
        },
    }
