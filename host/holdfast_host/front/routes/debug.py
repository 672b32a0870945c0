"""/v1/debug: what the host's processes do now, for an operator whose host hangs."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from holdfast_host.core.limits import Limits
from holdfast_host.front.access.rules import look, of_host
from holdfast_host.front.app import Route
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.paths import read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import CollectActivity

ROWS: Final = 20


class DebugRoutes:
    """The handlers. One per front."""

    def __init__(self, control: ControlChannel, limits: Limits) -> None:
        self._control = control
        self._limits = limits

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/debug/workers", GET=of_host(look(self._workers)))]

    async def _workers(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        limit_max = self._limits.page_entries_max
        asked = read_parameters(query, "limit")
        limit = read_number(asked, "limit", 1, limit_max) or min(ROWS, limit_max)
        return json_answer(await self._control.request(CollectActivity(limit)))
