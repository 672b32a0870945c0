"""/v1/audit: what was changed through the management API, as JSON lines. A tenant reads what was changed of its own."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.front.access.rules import look
from holdfast_host.front.app import Route
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import LineStream
from holdfast_host.front.http.paths import TRUTH, read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import ReadAudit

PAGE_LINES: Final = 500
FOLLOW_WAIT_S: Final = 0.5  # then it is seen whether the token still holds
NUMBER_MAX: Final = 10**15


class AuditRoutes:
    """The handler. One per front."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/audit", GET=look(self._read))]

    async def _read(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        asked = read_parameters(query, "after", "limit", "follow")
        after = read_number(asked, "after", 0, NUMBER_MAX) or 0
        left = read_number(asked, "limit", 1, NUMBER_MAX) or NUMBER_MAX
        follow = TRUTH.get(asked.get("follow", "false").lower())
        if follow is None:
            raise BadRequestError(f"the parameter follow is {asked['follow'][:40]!r}: write true or false")
        tenant = None if exchange.whole_host else exchange.tenant
        page = await self._page(after, left, 0.0, tenant)  # a refusal still gets its own head
        stream = LineStream(exchange)
        await stream.open()
        while left:
            for line in page["entries"]:
                await stream.write(line)
            left -= len(page["entries"])
            ended, after = page["after"] == after, page["after"]
            if exchange.server.draining or exchange.caller.ended or (ended and (exchange.half_closed or not follow)):
                break
            page = await self._page(after, left, FOLLOW_WAIT_S if follow else 0.0, tenant) if left else page
        await stream.aclose()
        return stream.response

    async def _page(self, after: int, left: int, wait_s: float, tenant: str | None) -> JsonObject:
        return await self._control.request(ReadAudit(after, min(left, PAGE_LINES), wait_s, tenant))
