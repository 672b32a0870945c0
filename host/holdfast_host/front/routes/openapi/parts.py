"""What every part of the API's description is made of."""

from __future__ import annotations

from typing import Any, Final

JSON: Final = "application/json"
TYPED: Final = "application/vnd.holdfast+json"
LINES: Final = "application/x-ndjson"
ANY: Final[dict[str, Any]] = {}


def operation(name: str, summary: str, *statuses: int, **further: Any) -> dict[str, Any]:
    """One operation; each status answers JSON, every other one the error."""
    responses: dict[str, Any] = {
        str(status): {"description": "Done.", "content": {JSON: {"schema": ANY}}} for status in statuses
    }
    error = {"schema": {"$ref": "#/components/schemas/Error"}}
    request_id = {"description": "Under what the host's log has it.", "schema": {"type": "string"}}
    responses["default"] = {
        "description": "Refused or failed; the name says why.",
        "headers": {"Holdfast-Request-Id": request_id},
        "content": {JSON: error},
    }
    return {"operationId": name, "summary": summary, **further, "responses": responses}


def typed_body(subject: str) -> str:
    """What a body's description says of its other form.

    It is said in words: of two types with one schema, generated clients send the second one only, or none.
    """
    return f"{subject} plain JSON; under the Content-Type {TYPED} values with $hf are read as typed."


def parameter(name: str, description: str, place: str = "path", **schema: Any) -> dict[str, Any]:
    """A parameter, in the path unless said otherwise; text unless a schema is given."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema or {"type": "string"},
    }
