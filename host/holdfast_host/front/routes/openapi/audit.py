"""The API's description, of the audit log."""

from __future__ import annotations

from typing import Any

from holdfast_host.front.routes.openapi.parts import ANY, LINES, operation, parameter


def describe_audit() -> dict[str, Any]:
    """The API's description of it."""
    audit = operation(
        "readAudit",
        "What was changed through this API, by whom, and what became of it; one JSON object a line, by number.",
        parameters=[
            parameter("after", "Only lines with larger numbers.", "query", type="integer", minimum=0),
            parameter("limit", "So many lines at most.", "query", type="integer", minimum=1),
            parameter("follow", "Go on as lines are written.", "query", type="boolean", default=False),
        ],
    )
    audit["responses"]["200"] = {"description": "Lines.", "content": {LINES: {"schema": ANY}}}
    return {"/v1/audit": {"get": audit}}
