"""/v1/hosts: who shares the store, and who serves."""

from __future__ import annotations

from aiohttp import web

from holdfast_host.front.access.rules import look, of_host
from holdfast_host.front.app import Route
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import json_answer
from holdfast_host.front.http.paths import read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import ListHosts


class HostRoutes:
    """The handlers. One per front."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/hosts", GET=of_host(look(self._list)))]

    async def _list(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        read_parameters(query)
        return json_answer(await self._control.request(ListHosts()))
