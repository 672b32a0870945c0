"""What a host refuses before code runs, or once it has: calls, and what they carry, in the host's words."""

from __future__ import annotations

from holdfast._contract import HANDLER_NAMES
from holdfast._describe import Component
from holdfast._http import body_bytes
from holdfast._methods import private_names
from holdfast.testing._failures import RefusedError
from holdfast.testing._limits import Limits
from holdfast.testing._records import bytes_of


class Checks:
    """Those of one host; each returns, or raises RefusedError."""

    def __init__(self, component: Component, limits: Limits) -> None:
        self._component = component
        self._limits = limits

    def arguments(self, caller: str, arguments: str) -> None:
        """Refuse what is too large to be passed."""
        limit = self._limits.arguments_bytes_max
        size = bytes_of(arguments)
        if size > limit:
            text = f"{caller}: arguments of {size} bytes, the limit is {limit} bytes"
            raise RefusedError("LimitError", text)

    def body(self, what: str, message: str) -> None:
        """Refuse a fetch's request or response with too large a body."""
        limit = self._limits.fetch_body_bytes_max
        size = body_bytes(message)
        if size > limit:
            raise RefusedError("LimitError", f"{what} with a body of {size} bytes, the limit is {limit} bytes")

    def result(self, what: str, text: str) -> None:
        """Refuse a result that is too large."""
        limit = self._limits.result_bytes_max
        size = bytes_of(text)
        if size > limit:
            raise RefusedError("LimitError", f"{what} returned {size} bytes, the limit of a result is {limit} bytes")

    def method(self, actor_type: str, method: str) -> None:
        """Refuse what callers may not call."""
        methods = self._component.methods[actor_type]
        if method in methods:
            return
        if method.startswith("_") or method in private_names(self._component.actors[actor_type]):
            text = f"{actor_type}.{method} is not callable from outside: {_why_private(method)}"
            raise RefusedError("ActorPrivateMethodError", text)
        known = ", ".join(sorted(methods)) or "none"
        raise RefusedError("ActorUnknownMethodError", f"{actor_type} has no method {method!r}; it has: {known}")


def _why_private(method: str) -> str:
    """What a name that a type has, and callers may not call, must be: as the host says it."""
    if method.startswith("_"):
        return "its name begins with an underscore"
    if method in HANDLER_NAMES:
        return "it is a handler, which the host runs" + (": use stub.fetch(request)" if method == "fetch" else "")
    return "it is no method of an instance: a property, a static or class method, an attribute, or every actor's own"
