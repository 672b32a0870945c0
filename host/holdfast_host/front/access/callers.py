"""Who a request comes from, as far as the host cares: the token that it showed."""

from __future__ import annotations

from typing import Final

from holdfast_host.core.errors import ForbiddenError
from holdfast_host.core.tokens import ANONYMOUS, BOOTSTRAP, Scope
from holdfast_host.wire.control.tokens import TokenFacts

_NAMED_MAX: Final = 10  # types that a refusal names


class Caller:
    """One token, as long as it holds in this front; requests, sockets and streams keep theirs."""

    __slots__ = ("digest", "ended", "expires_us", "id", "name", "scope", "tenant", "types", "types_in_paths")

    def __init__(self, facts: TokenFacts) -> None:
        self.id = facts.id
        self.digest = facts.digest
        self.name = facts.name
        self.scope = facts.scope
        self.expires_us = facts.expires_us
        self.tenant = facts.tenant  # None: it is the host's
        self.types = frozenset(facts.types) or None  # None: all
        self.types_in_paths = frozenset(each.encode() for each in facts.types) or None
        self.ended = False  # revoked, rotated or expired

    @property
    def label(self) -> str:
        """For sentences."""
        return f"the token {self.name!r} ({self.id})" if self.name else f"the token {self.id}"

    def check_type(self, actor_type: str) -> None:
        """Return when it may call instances of that type, whether there is such a one or not.

        Raises:
            ForbiddenError: it is for others.
        """
        if self.types is not None and actor_type not in self.types:
            named = sorted(self.types)
            more = ", ..." if len(named) > _NAMED_MAX else ""
            raise ForbiddenError(
                f"{self.label} may call {', '.join(named[:_NAMED_MAX])}{more} and no other type: "
                f"{actor_type[:40]!r} is not among them"
            )


# Of a host without a token.
NOBODY: Final = Caller(TokenFacts(ANONYMOUS, "", "", Scope.ADMIN))
# Who has the token that the host was started with.
OPERATOR: Final = Caller(TokenFacts(BOOTSTRAP, "", "", Scope.ADMIN))
