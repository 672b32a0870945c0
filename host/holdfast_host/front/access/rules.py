"""What a route says of each of its handlers: who may use it, and what the audit log calls a change.

A scope stands here, beside the route, and nowhere else: the API's description, its tests and the docs read it from
here. `admin` may use everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from holdfast_host.core.errors import ForbiddenError
from holdfast_host.core.tenants import TENANT_HEADER
from holdfast_host.core.tokens import Scope

if TYPE_CHECKING:
    from holdfast_host.front.access.callers import Caller

# A handler gets the exchange, the raw segments that stand at its pattern's places, and the raw query. What an exchange
# is, is HTTP's to say, which is above this room.
RouteHandler = Callable[[Any, tuple[str, ...], str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A handler of a route, with who may use it.

    Attributes:
        handler: what serves.
        scopes: of tokens that may; none for a handler that needs no token.
        of_host: it is about what is of no tenant: for tokens of the host, where they name no tenant.
        changes: of one that changes something, its name in the audit log and in the API's description; else empty.
    """

    handler: RouteHandler
    scopes: tuple[Scope, ...]
    changes: str = ""
    of_host: bool = False

    def check(self, caller: Caller, *, whole_host: bool = True) -> None:
        """Return when the caller may use it; `whole_host` where it acts for no tenant.

        Raises:
            ForbiddenError: its token has another scope, or this is of the whole host.
        """
        if self.of_host and not whole_host:
            raise ForbiddenError(f"this is of the whole host: for a token of the host, without {TENANT_HEADER}")
        if self.scopes and caller.scope not in self.scopes:
            wanted = " or ".join(self.scopes)
            raise ForbiddenError(f"{caller.label} has the scope {caller.scope}, and this takes one of {wanted}")


def public(handler: RouteHandler) -> Guarded:
    """For everybody."""
    return Guarded(handler, ())


def anyone(handler: RouteHandler) -> Guarded:
    """For every token of the host."""
    return Guarded(handler, tuple(Scope))


def call(handler: RouteHandler) -> Guarded:
    """It calls an instance; which types a token is for is asked where the type is known."""
    return Guarded(handler, (Scope.ADMIN, Scope.CALL))


def look(handler: RouteHandler, *further: Scope) -> Guarded:
    """It shows something, and changes nothing: for `read`, and further scopes."""
    return Guarded(handler, (Scope.ADMIN, Scope.READ, *further))


def administer(handler: RouteHandler) -> Guarded:
    """It shows what is the administrator's alone."""
    return Guarded(handler, (Scope.ADMIN,))


def of_host(guarded: Guarded) -> Guarded:
    """It is about the host as a whole, so it is no tenant's."""
    return replace(guarded, of_host=True)


def change(name: str, handler: RouteHandler, *further: Scope) -> Guarded:
    """It changes something, and is audited under that name: for `admin`, and further scopes."""
    return Guarded(handler, (Scope.ADMIN, *further), name)
