"""Who may not run for having killed workers again and again: listed, and released."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from holdfast_host.core.ids import check_function_name, check_instance_name
from holdfast_host.core.limits import Limits
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.paths import cursor_of, decode_segment, read_cursor, read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.instances import PAGE_ENTRIES
from holdfast_host.wire.control.operations import ListQuarantined, ReleaseFunction, ReleaseInstance

Found = tuple[str, ...]


class QuarantineRoutes:
    """The handlers. One per front."""

    def __init__(self, view: Callable[[], CatalogView], control: ControlChannel, limits: Limits) -> None:
        self._view = view
        self._control = control
        self._limits = limits

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/v1/quarantined", GET=look(self._list, Scope.DEPLOY)),
            Route.of("/v1/instances/{}/{}/release", POST=change("releaseInstance", self._release_instance)),
            Route.of("/v1/functions/{}/release", POST=change("releaseFunction", self._release_function, Scope.DEPLOY)),
        ]

    async def _list(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        asked = read_parameters(query, "limit", "cursor")
        limit_max = self._limits.page_entries_max
        limit = read_number(asked, "limit", 1, limit_max) or min(PAGE_ENTRIES, limit_max)
        after_type, _, after_name = read_cursor(asked.get("cursor", "")).partition("/")
        page = await self._control.request(ListQuarantined(exchange.tenant, (after_type, after_name), limit))
        cursor = None
        if page["more"]:
            last = page["rows"][-1]
            cursor = cursor_of(f"{last['type']}/{last['name']}" if last["type"] else f"/{last['function']}")
        return json_answer({"quarantined": page["rows"], "cursor": cursor})

    async def _release_instance(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        type_id, name = self._view().of(exchange.tenant).type_id(decode_segment(found[0])), decode_segment(found[1])
        check_instance_name(name)
        return json_answer(await self._control.request(ReleaseInstance(type_id, name)))

    async def _release_function(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        function = check_function_name(decode_segment(found[0]))
        return json_answer(await self._control.request(ReleaseFunction(exchange.tenant, function)))
