"""What a call over HTTP fails with, beside what the host itself answers.

The host's own errors, those of an actor among them, are `ActorCallError`, as between actors.
"""

from __future__ import annotations

import json
from typing import Any

from holdfast._errors import ActorCallError


class HostUnreachableError(ActorCallError):
    """No host answered, or the connection to it broke. `retryable` says whether it is known that nothing was done."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__("HostUnreachableError", message, retryable=retryable)


class UnexpectedAnswerError(ActorCallError):
    """Something answered that is no Holdfast host: another server, or a proxy before one. The outcome is unknown."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__("UnexpectedAnswerError", message, status=status)


def refusal_of(status: int, body: bytes) -> ActorCallError | None:
    """The host's error as an exception; None for a body that is no error of a host."""
    try:
        error: Any = json.loads(body)["error"]
        name, message, code = error["name"], error["message"], error.get("code")
        retryable = error.get("retryable", False)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(name, str) or not isinstance(message, str) or not isinstance(code, str | None):
        return None
    return ActorCallError(name, message, code=code, retryable=retryable is True, status=status)
