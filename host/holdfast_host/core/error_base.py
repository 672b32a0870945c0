"""What every error of the host is, and how one crosses from process to process: the classes themselves are `errors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

# Those that cross: a class of another module is known to one process alone.
_TREE: Final = (__name__, "holdfast_host.core.errors")


class HoldfastError(Exception):
    """Base of all; its class name is the error's name on every wire."""

    default_status: ClassVar[int] = 500
    default_retryable: ClassVar[bool] = False
    _named: ClassVar[dict[str, type[HoldfastError]]] = {}

    def __init_subclass__(cls) -> None:
        """Its name stands for it on every wire."""
        super().__init_subclass__()
        if cls.__module__ in _TREE:
            HoldfastError._named[cls.__name__] = cls

    def __init__(self, message: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = self.default_status if status is None else status
        self.retryable = self.default_retryable

    @property
    def name(self) -> str:
        """The error's name on the wire."""
        return type(self).__name__

    def to_json(self) -> bytes:
        """The body of an HTTP answer: compact JSON, ASCII only so that lone surrogates pass."""
        return json.dumps({"error": self.facts()}, separators=(",", ":")).encode()

    def facts(self) -> dict[str, Any]:
        """`name`, `message`, `retryable`, and `code` where there is one."""
        facts: dict[str, Any] = {"name": self.name, "message": self.message, "retryable": self.retryable}
        if self.code is not None:
            facts["code"] = self.code
        return facts

    @staticmethod
    def named(name: str) -> type[HoldfastError] | None:
        """The class that goes by this name on the wire; None for a name that is not ours."""
        return HoldfastError._named.get(name)

    @staticmethod
    def from_facts(facts: Mapping[str, Any], status: int | None = None) -> HoldfastError:
        """The error that another process of this host reported.

        Args:
            facts: what `facts` made of it there, and `status` where it has another than its class; `name` and
                `message` are there.
            status: that of its answer, where the facts do not say.

        Returns:
            An error of the class that goes by the name. What no class of ours goes by is our bug: InternalError, which
            quotes name and message.
        """
        name, message = str(facts["name"]), str(facts["message"])
        kind = HoldfastError.named(name)
        if kind is None:
            return InternalError(f"{name}: {message}")
        return kind(message, code=facts.get("code"), status=facts.get("status", status))


class InternalError(HoldfastError):
    """Our bug."""
