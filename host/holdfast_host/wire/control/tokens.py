"""What fronts are told of tokens: enough to let a request in, and no token."""

from __future__ import annotations

from msgspec import Struct

from holdfast_host.wire.control.messages import Message, Question


class TokenFacts(Struct, frozen=True):
    """One token."""

    id: str
    digest: str  # core.tokens.digest_of
    name: str
    scope: str  # core.tokens.Scope
    types: tuple[str, ...] = ()  # of scope call: only these; none for all
    expires_us: int | None = None  # since 1970
    tenant: str | None = None  # whose it is; None: the host's


class KnownTokens(Struct, frozen=True):
    """All there are. `asked_for`: requests need one, even where none is left."""

    asked_for: bool = False
    tokens: tuple[TokenFacts, ...] = ()


class NewTokens(Question, tag="tokens"):
    """To fronts: which tokens are let in from now on; what was opened with others is over. Answered with Done."""

    tokens: KnownTokens


class TokensUsed(Message, tag="tokens_used"):
    """From a front: requests were let in with these tokens, by their ids, in the last seconds."""

    ids: list[str]
