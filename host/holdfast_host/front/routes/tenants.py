"""/v1/tenants: make, list, delete. For the host's own administrators: a tenant knows nothing of others."""

from __future__ import annotations

from aiohttp import web

from holdfast_host.core.tenants import check_tenant_name
from holdfast_host.front.access.rules import administer, change, of_host
from holdfast_host.front.app import Route
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.paths import decode_segment
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import DeleteTenant, ListTenants, MakeTenant, ShowTenant

Found = tuple[str, ...]


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
        result = await self._control.request(MakeTenant(_name_in(found)))
        return json_answer(result, 201 if result.pop("created") else 200)

    async def _delete(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(DeleteTenant(_name_in(found))))


def _name_in(found: Found) -> str:
    return check_tenant_name(decode_segment(found[0]))
