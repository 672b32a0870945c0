"""/v1/secrets: set, list, delete. No route reads a value back, and no error repeats one."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.ids import check_identifier
from holdfast_host.core.limits import KIB
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.audit import only
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.http.paths import decode_segment
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import DeleteSecret, ListSecrets, SetSecret

_BODY_BYTES_MAX: Final = 512 * KIB  # a value of 64 KiB, each of its characters escaped


class SecretRoutes:
    """The handlers. One per front."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/v1/secrets", GET=look(self._list, Scope.DEPLOY)),
            Route.of("/v1/secrets/{}", PUT=change("setSecret", self._set), DELETE=change("deleteSecret", self._delete)),
        ]

    async def _list(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ListSecrets(exchange.tenant)))

    async def _set(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        name = check_identifier("secret", decode_segment(found[0]))
        facts = await read_object(exchange, _BODY_BYTES_MAX)
        value, sealed_for = facts.get("value"), facts.get("sealed_for")
        if not {"value"} <= set(facts) <= {"value", "sealed_for"} or not isinstance(value, str):
            raise BadRequestError('the body must be {"value": "..."}: the secret, a text')
        if sealed_for is not None and not isinstance(sealed_for, str):
            raise BadRequestError('sealed_for must be an origin, like "https://api.example.com"')
        result = await self._control.request(SetSecret(exchange.tenant, name, value, sealed_for))
        exchange.details = only(result, "sealed_for")
        return json_answer(result, 201 if result.pop("created") else 200)

    async def _delete(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(DeleteSecret(exchange.tenant, decode_segment(found[0]))))
