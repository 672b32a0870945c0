"""What may be done with tokens: list, make, rotate, revoke. What is done is on disk before the fronts hear of it.

The text of a token is in one answer, and nowhere else: neither in the file, nor in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import BadRequestError, HoldfastError, UnknownTokenError
from holdfast_host.core.ids import TYPE_CHARS_MAX, check_identifier
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tokens import Scope, digest_of, id_of, new_id, new_token
from holdfast_host.storage.records import MovedError, decided
from holdfast_host.supervisor.registry.registry import now_us
from holdfast_host.supervisor.tokens.token_store import Token, TokenStore
from holdfast_host.wire.control.operations import CreateToken, ListTokens, RevokeToken, RotateToken, TokenOperation
from holdfast_host.wire.control.tokens import KnownTokens

NAME_CHARS_MAX: Final = 64
TYPES_MAX: Final = 100
ALL_TYPES_MAX: Final = 10_000  # that all tokens name together: each change tells every front all of them
TENANT_TOKENS_MAX: Final = 100  # of one tenant, so that others have room too
TENANT_TYPES_MAX: Final = 1_000
LIFETIME_S_MAX: Final = 3_650 * 86_400
_MINUTE_US: Final = 60 * 1_000_000
_GIVEN_CHARS: Final = 14  # of an id that is none, in the sentence that says so: `hft_`, and an id

Tell = Callable[[KnownTokens], None]


class TokenOperations:
    """The tokens of a host; one per host, used by the event loop's thread."""

    def __init__(self, store: TokenStore, limits: Limits, tell: Tell, log: EventLog) -> None:
        """`tell(known)` tells every front what it lets in from now on."""
        self._store = store
        self._limits = limits
        self._tell = tell
        self._log = log

    def perform(self, operation: TokenOperation) -> JsonObject:
        """One operation.

        Raises:
            UnknownTokenError: there is no token of that id.
            BadRequestError, InvalidNameError: no token can be like that, or there are too many.
            StorageFullError, HostUnavailableError: the disk does not let us; nothing was changed.
        """
        return decided(lambda: self._perform(operation))

    def _perform(self, operation: TokenOperation) -> JsonObject:
        match operation:
            case ListTokens():
                found = self._store.all().values()
                return {"tokens": [_show(each) for each in found if operation.tenant in {None, each.tenant}]}
            case CreateToken():
                return self._create(operation)
            case RevokeToken():
                return self._revoke(operation)
            case RotateToken():
                return self._rotate(operation)

    async def forget(self, tenant: str) -> None:
        """A tenant is about to be forgotten, and its tokens before it.

        Raises:
            StorageFullError, HostUnavailableError: the disk does not let us; nothing was changed.
        """
        found = self._store.all()
        left = {number: each for number, each in found.items() if each.tenant != tenant}
        if len(left) < len(found):
            self._keep(left)

    def note_used(self, ids: list[str]) -> None:
        """A front has let in requests with these."""
        try:
            try:
                self._store.note_used(ids, now_us())
            except MovedError:
                self._store.reload()  # the next use is written over what they are now
        except OSError as error:
            self._log.warning("the last use of tokens cannot be written", error=error.strerror)
        except HoldfastError as error:
            self._log.warning("the last use of tokens cannot be written", error=error)

    async def follow(self) -> None:
        """Another host has changed them: tell every front.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        self._store.reload()
        self._tell(self._store.for_fronts())

    def _create(self, wish: CreateToken) -> JsonObject:
        found = self._store.all()
        own = [each for each in found.values() if wish.tenant in {None, each.tenant}]
        most = self._limits.tokens_max if wish.tenant is None else min(self._limits.tokens_max, TENANT_TOKENS_MAX)
        if len(own) >= most:
            raise BadRequestError(f"there are {len(own)} tokens, the limit is {most}: revoke those that nobody uses")
        if len(found) >= self._limits.tokens_max:
            raise BadRequestError("this host keeps no more tokens: its operator has to revoke those that nobody uses")
        _check(wish)
        named = sum(len(each.types) for each in own) + len(wish.types)
        most = ALL_TYPES_MAX if wish.tenant is None else TENANT_TYPES_MAX
        if named > most:
            raise BadRequestError(
                f"all tokens together would name {named} types, the limit is {most}: make one for all types, "
                "or revoke those that nobody uses"
            )
        token_id = new_id()
        while token_id in found:
            token_id = new_id()
        text = new_token(token_id)
        now = now_us()
        token = Token(
            token_id,
            digest_of(text),
            wish.name,
            Scope(wish.scope),
            tuple(dict.fromkeys(wish.types)),
            now,
            wish.expires_s,
            _expiry(now, wish.expires_s),
            tenant=wish.tenant,
        )
        self._keep({**found, token_id: token})
        self._log.info("token made", id=token_id, scope=token.scope)
        return {"token": text, **_show(token)}

    def _rotate(self, operation: RotateToken) -> JsonObject:
        token_id = operation.id
        found, token = self._named(operation)
        text = new_token(token_id)
        rotated = replace(token, digest=digest_of(text), expires_us=_expiry(now_us(), token.lifetime_s))
        self._keep({**found, token_id: rotated})
        self._log.info("token rotated", id=token_id)
        return {"token": text, **_show(rotated)}

    def _revoke(self, operation: RevokeToken) -> JsonObject:
        token_id = operation.id
        found, token = self._named(operation)
        del found[token_id]
        self._keep(found)
        self._log.info("token revoked", id=token_id)
        return _show(token)

    def _named(self, operation: RotateToken | RevokeToken) -> tuple[dict[str, Token], Token]:
        found, token_id = self._store.all(), operation.id
        if token_id not in found or operation.tenant not in {None, found[token_id].tenant}:
            given = id_of(token_id) or token_id[:_GIVEN_CHARS]  # nothing of a whole token's secret
            raise UnknownTokenError(f"there is no token {given!r}: the id is the ten letters in it after 'hft_'")
        return found, found[token_id]

    def _keep(self, found: dict[str, Token]) -> None:
        self._store.replace(found)
        self._tell(self._store.for_fronts())


def _check(wish: CreateToken) -> None:
    """Return when a token can be like that."""
    if len(wish.name) > NAME_CHARS_MAX or not wish.name.isprintable():
        raise BadRequestError(f"the name of a token has at most {NAME_CHARS_MAX} characters, which can be printed")
    if wish.types and wish.scope != Scope.CALL:
        raise BadRequestError(f"types are for tokens of the scope call, this one has {wish.scope}")
    if len(wish.types) > TYPES_MAX:
        raise BadRequestError(f"a token is for at most {TYPES_MAX} types, or for all of them")
    for each in wish.types:
        check_identifier("type", each, TYPE_CHARS_MAX)
    if wish.expires_s is not None and not 1 <= wish.expires_s <= LIFETIME_S_MAX:
        raise BadRequestError(f"a token holds for 1 to {LIFETIME_S_MAX} seconds, or for ever: not {wish.expires_s}")


def _expiry(now: int, lifetime_s: int | None) -> int | None:
    return None if lifetime_s is None else now + lifetime_s * 1_000_000


def _show(token: Token) -> JsonObject:
    """A token without its text; its last use to the minute."""
    used_us = None if token.used_us is None else token.used_us - token.used_us % _MINUTE_US
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.value,
        "types": list(token.types),
        "created_at": utc_text(token.created_us),
        "expires_at": None if token.expires_us is None else utc_text(token.expires_us),
        "expired": token.expires_us is not None and now_us() >= token.expires_us,
        "last_used_at": None if used_us is None else utc_text(used_us),
        "tenant": token.tenant,
    }
