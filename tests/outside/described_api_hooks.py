"""What schemathesis is told of us, in its own process: see test_described_api."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook("before_call")
def end_what_never_ends(context: Any, case: Any, kwargs: Any) -> None:
    """A log that is followed goes on until the client leaves; whether that is so has tests of its own."""
    if case.path in {"/v1/logs", "/v1/audit"} and str((case.query or {}).get("follow")).lower() in {"true", "1"}:
        case.query["follow"] = "false"


@schemathesis.check
def no_bug_of_the_host(context: Any, response: Any, case: Any) -> None:
    """A method that raises is a 500 too, and a full host a 503: only `InternalError` says that it is ours."""
    assert b'"InternalError"' not in response.content, response.content
