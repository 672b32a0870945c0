"""How a turn or a call fails, as facts: the names, statuses and words of a real host."""

from __future__ import annotations

import json
from typing import Any, Final

# Statuses of the errors that a local host knows; any other name is 500.
_STATUSES: Final = {
    "ActorError": 400,
    "BadArgumentsError": 400,
    "BadRequestError": 400,
    "InvalidNameError": 400,
    "ActorPrivateMethodError": 403,
    "ActorUnknownMethodError": 404,
    "UnknownActorTypeError": 404,
    "UnknownBindingError": 404,
    "UnknownFunctionError": 404,
    "ActorDeadlockError": 409,
    "ActorReentrancyError": 409,
    "PayloadTooLargeError": 413,
    "IdempotencyConflictError": 422,
    "OutboundUnreachableError": 502,
    "HostUnavailableError": 503,
    "OutboundBusyError": 503,
    "ActorFetchTimeoutError": 504,
    "ActorMethodTimeoutError": 504,
    "OutboundTimeoutError": 504,
}
_RETRYABLE: Final = frozenset({"ActorDeadlockError", "HostUnavailableError", "OutboundBusyError"})

# What an actor may say of itself; any other name is a method that raised.
_FROM_GUESTS: Final = frozenset(
    {
        "ActorError", "ActorPrivateMethodError", "ActorUnknownMethodError", "BadArgumentsError", "CodecError",
        "LimitError", "ActorReentrancyError", "ActorDeadlockError",
    }
)  # fmt: skip
MESSAGE_CHARS_MAX: Final = 4_000
CODE_CHARS_MAX: Final = 200


class RefusedError(Exception):
    """One error of the host; `name` is what callers see it by."""

    def __init__(self, name: str, message: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.code = code
        self.status = _STATUSES.get(name, 500) if status is None else status
        self.retryable = name in _RETRYABLE

    def facts(self) -> dict[str, Any]:
        """`name`, `message`, `retryable`, and `code` where there is one: what a caller over HTTP reads."""
        facts: dict[str, Any] = {"name": self.name, "message": self.message, "retryable": self.retryable}
        if self.code is not None:
            facts["code"] = self.code
        return facts

    def wire(self) -> str:
        """As an import returns it to an actor."""
        facts = {**self.facts(), "code": self.code, "status": self.status}
        return json.dumps(facts, separators=(",", ":"))


class TurnEndedError(BaseException):
    """The host ended the turn; no `except Exception` of an actor stops it, and catching it does not help."""


def failure_of_guest(facts: dict[str, Any]) -> tuple[RefusedError, str]:
    """What an actor's own error says, as far as it may, and the traceback for its log."""
    name, message = facts["name"], facts["message"][:MESSAGE_CHARS_MAX]
    code, trace = facts.get("code"), facts.get("traceback") or ""
    code = code[:CODE_CHARS_MAX] if isinstance(code, str) else None
    if name == "ActorError":
        return RefusedError(name, message, code=code, status=facts.get("status")), trace
    if name == "CodecError" and facts.get("status") == _STATUSES["BadArgumentsError"]:
        return RefusedError(name, message, code=code, status=facts["status"]), trace
    return RefusedError(name if name in _FROM_GUESTS else "ActorMethodError", message, code=code), trace


def failure_of_dead_host(label: str, *, left: bool) -> RefusedError:
    """What the caller of a turn is told whose host died under it; `left`: something of it was outside already."""
    if left:
        text = f"{label}: the host died while the call ran: its outcome is unknown, part of it had left already"
        return RefusedError("ActorOutputGateError", text)
    return RefusedError("HostUnavailableError", f"{label}: the host died while the call ran; it committed nothing")


def failure_of_constructor(failure: RefusedError) -> RefusedError:
    """What a caller is told of a constructor that failed."""
    if failure.name != "ActorMethodError":
        return failure
    return RefusedError("ActorInitError", failure.message, code=failure.code)
