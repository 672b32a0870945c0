"""/v1/tokens: make, list, rotate, revoke. Each token is shown once, in the answer that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import BadRequestError, ForbiddenError, UnknownTenantError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import KIB
from holdfast_host.core.tenants import check_tenant_name
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.rules import administer, anyone, change
from holdfast_host.front.access.tokens import Tokens
from holdfast_host.front.app import Route
from holdfast_host.front.audit import only
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.http.paths import decode_segment
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import CreateToken, ListTokens, RevokeToken, RotateToken

_BODY_BYTES_MAX: Final = 16 * KIB
_KEYS: Final = ("scope", "name", "types", "expires_s", "tenant")
_UNKEPT: Final = b"Cache-Control: no-store\r\n"


class TokenRoutes:
    """The handlers. One per front."""

    def __init__(self, control: ControlChannel, tokens: Tokens, view: Callable[[], CatalogView]) -> None:
        self._control = control
        self._view = view
        self._tokens = tokens

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/v1/token", GET=anyone(self._show_own)),
            Route.of("/v1/tokens", GET=administer(self._list), POST=change("createToken", self._create)),
            Route.of("/v1/tokens/{}", DELETE=change("revokeToken", self._revoke)),
            Route.of("/v1/tokens/{}/rotate", POST=change("rotateToken", self._rotate)),
        ]

    async def _show_own(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        caller = exchange.caller
        expires = None if caller.expires_us is None else utc_text(caller.expires_us)
        facts: JsonObject = {"id": caller.id, "name": caller.name, "scope": caller.scope, "tenant": _whose(exchange)}
        return json_answer({**facts, "types": sorted(caller.types or ()), "expires_at": expires})

    async def _list(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ListTokens(_whose(exchange))))

    async def _create(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        if not self._tokens.required:
            raise ForbiddenError(
                "this host asks nobody for a token: start it with HOLDFAST_TOKEN or --token-file first, its token for "
                "administrators, under which others are made"
            )
        operation = self._read_wish(exchange, await read_object(exchange, _BODY_BYTES_MAX))
        return self._told(exchange, await self._control.request(operation), 201)

    async def _revoke(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return self._told(
            exchange, await self._control.request(RevokeToken(_whose(exchange), decode_segment(found[0])))
        )

    async def _rotate(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return self._told(
            exchange, await self._control.request(RotateToken(_whose(exchange), decode_segment(found[0])))
        )

    def _told(self, exchange: Exchange, token: JsonObject, status: int = 200) -> web.StreamResponse:
        exchange.details = {"of": only(token, "id", "name", "scope", "types", "tenant")}
        return json_answer(token, status, _UNKEPT)

    def _read_wish(self, exchange: Exchange, facts: dict[str, Any]) -> CreateToken:
        """What is asked for: a token of the request's tenant, or, of the host, of the one that the body names."""
        tenant = facts.get("tenant")
        if tenant is None:
            return _read_wish(facts, _whose(exchange))
        if not isinstance(tenant, str):
            raise BadRequestError("tenant must be the name of a tenant")
        check_tenant_name(tenant)
        if not exchange.whole_host and tenant != exchange.tenant:
            raise ForbiddenError(f"this acts for the tenant {exchange.tenant!r}, and makes no tokens of others")
        if tenant not in self._view().tenants:
            raise UnknownTenantError(f"there is no tenant {tenant!r}: holdfast tenant create {tenant}")
        return _read_wish(facts, tenant)


def _read_wish(facts: dict[str, Any], tenant: str | None) -> CreateToken:
    """What is asked for, by its types; what the values may be is the supervisor's to say."""
    unknown = facts.keys() - set(_KEYS)
    if unknown:
        raise BadRequestError(f"unknown key {min(unknown)[:40]!r}: a token takes {', '.join(_KEYS)}")
    scope, name, types, expires_s = (facts.get(key) for key in _KEYS[:-1])
    if scope not in [*Scope]:
        raise BadRequestError(f"the scope is {str(scope)[:40]!r}: write one of {', '.join(Scope)}")
    if not isinstance(name, str | None):
        raise BadRequestError("the name must be a text, a label for people")
    if not isinstance(types, list | None) or any(not isinstance(each, str) for each in types or ()):
        raise BadRequestError('types must be a list of actor types, like ["Account"]')
    if isinstance(expires_s, bool) or not isinstance(expires_s, int | None):
        raise BadRequestError("expires_s must be a whole number of seconds")
    return CreateToken(tenant, str(scope), name or "", types or [], expires_s)


def _whose(exchange: Exchange) -> str | None:
    """Of which tenant tokens are meant; None for all of them, and those of the host."""
    return None if exchange.whole_host else exchange.tenant
