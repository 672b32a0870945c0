"""The part of the API's description that is about jobs."""

from __future__ import annotations

from typing import Any

from holdfast_host.front.routes.openapi.parts import operation, parameter

_STATES = {"type": "string", "enum": ["armed", "retrying", "waiting", "abandoned", "parked"]}
_PAGE = [
    parameter("limit", "How many, 100 by default.", "query", type="integer", minimum=1, maximum=1000),
    parameter("cursor", "Where the last page ended.", "query"),
]
_INSTANCE = [parameter("type", "The actor type."), parameter("name", "The instance, percent-encoded.")]
_JOB = [*_INSTANCE, parameter("id", "The job: 32 hexadecimal digits.", pattern="^[0-9a-f]{32}$")]


def describe_jobs() -> dict[str, Any]:
    """The paths."""
    again = parameter("again", "Also one whose effect nobody knows.", "query", type="boolean", default=False)
    return {
        "/v1/jobs": {
            "get": operation(
                "listJobs",
                "Jobs by state; null as the cursor ends the listing, a page before may be short.",
                200,
                parameters=[
                    parameter("state", "Only those in this state.", "query", **_STATES),
                    parameter("type", "Only those of instances of this type.", "query"),
                    *_PAGE,
                ],
            )
        },
        "/v1/instances/{type}/{name}/jobs": {
            "parameters": _INSTANCE,
            "get": operation(
                "listInstanceJobs", "The instance's jobs, in no order that means anything.", 200, parameters=_PAGE
            ),
        },
        "/v1/instances/{type}/{name}/jobs/{id}": {
            "parameters": _JOB,
            "get": operation("getJob", "A job, with what it is called with or sends, and its outcome.", 200),
            "delete": operation("cancelJob", "Cancel it; a turn. What is under way may still happen.", 200),
        },
        "/v1/instances/{type}/{name}/jobs/{id}/retry": {
            "parameters": _JOB,
            "post": operation("retryJob", "Have it tried now, from its first try on; a turn.", 200, parameters=[again]),
        },
    }
