"""/v1/tenants: make, limit, list, delete. For the host's own administrators: a tenant knows nothing of others."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.limits import KIB
from holdfast_host.core.tenants import check_tenant_name
from holdfast_host.front.access.rules import administer, change, of_host
from holdfast_host.front.app import Route
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.http.paths import decode_segment
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import DeleteTenant, ListTenants, MakeTenant, ShowTenant

Found = tuple[str, ...]
_BODY_BYTES_MAX: Final = 4 * KIB


class TenantRoutes:
    """The handlers. One per front."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/v1/tenants", GET=of_host(administer(self._list))),
            Route.of(
                "/v1/tenants/{}",
                GET=of_host(administer(self._show)),
                PUT=of_host(change("makeTenant", self._make)),
                DELETE=of_host(change("deleteTenant", self._delete)),
            ),
        ]

    async def _list(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ListTenants()))

    async def _show(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ShowTenant(_name_in(found))))

    async def _make(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        limits = _read_limits(await read_object(exchange, _BODY_BYTES_MAX))
        result = await self._control.request(MakeTenant(_name_in(found), limits))
        exchange.details = {"limits": limits} if limits is not None else None
        return json_answer(result, 201 if result.pop("created") else 200)

    async def _delete(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(DeleteTenant(_name_in(found))))


def _name_in(found: Found) -> str:
    return check_tenant_name(decode_segment(found[0]))


def _read_limits(facts: dict[str, Any]) -> dict[str, int] | None:
    """What is to hold, by name; None where nothing is said. Which there are is the supervisor's to say."""
    limits = facts.get("limits")
    if facts.keys() - {"limits"} or ("limits" in facts and not isinstance(limits, dict)):
        raise BadRequestError(
            'the body is nothing, or {"limits": {"instances": 1000}}: what it leaves out has no limit'
        )
    for name, most in (limits or {}).items():
        if isinstance(most, bool) or not isinstance(most, int):
            raise BadRequestError(f"the limit {name[:40]!r} is {most!r:.40}: write a whole number")
    return limits
