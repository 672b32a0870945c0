"""What can be asked without asking anybody: the types, the API's own description, health."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.rules import anyone, look, public
from holdfast_host.front.app import Route
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.http.answers import TEXT, Answer, json_answer
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.control.protocol import HostHealth


class Health:
    """Whether this front should be sent requests. The supervisor's `health` messages and the drain change it."""

    def __init__(self, links: list[WorkerLink]) -> None:
        self.stopping = False
        self.down: list[int] = []  # workers that the supervisor knows to be down
        self.stalled: list[int] = []  # workers whose commits hang
        self.short: list[int] = []  # workers that refuse growth for want of room
        self.archive = ""  # what is wrong with the archive, which costs no call
        self._links = links

    def check(self) -> None:
        """Return when the host is ready; HostUnavailableError with the reason when it is not."""
        if self.stopping:
            raise HostUnavailableError("not ready: the host is stopping")
        down = [str(link.worker) for link in self._links if not link.up or link.worker in self.down]
        if down:
            raise HostUnavailableError(f"not ready: no link to worker {', '.join(down)}")
        if self.stalled:
            raise HostUnavailableError(f"not ready: commits of worker {', '.join(map(str, self.stalled))} hang")
        if self.short:
            raise HostUnavailableError(
                f"not ready: worker {', '.join(map(str, self.short))} has no room on its disk or in its map for more "
                "than is stored; its log line has the figures"
            )

    def update(self, told: HostHealth) -> None:
        """What the supervisor says of the host's health."""
        self.stopping = self.stopping or told.stopping
        self.down = [number for number, up in enumerate(told.workers) if not up]
        self.stalled = told.stalled
        self.short = told.short
        self.archive = told.archive


class InspectionRoutes:
    """The handlers. One per front."""

    def __init__(self, view: Callable[[], CatalogView], health: Health, describe: Callable[[], JsonObject]) -> None:
        self._view = view
        self._health = health
        self._describe = describe

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/v1/actors", GET=look(self._types, Scope.DEPLOY, Scope.CALL)),
            Route.of("/v1/openapi.json", GET=anyone(self._openapi)),
            Route.of("/health/liveness", GET=public(self._liveness)),
            Route.of("/health/readiness", GET=public(self._readiness)),
        ]

    async def _types(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        types = exchange.caller.types
        all_types = self._view().of(exchange.tenant).describe_types()
        shown = [each for each in all_types if types is None or each["type"] in types]
        return json_answer({"actors": shown})

    async def _openapi(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(self._describe())

    async def _liveness(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return Answer(200, b"ok", TEXT)

    async def _readiness(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        self._health.check()
        archive = self._health.archive
        return Answer(200, f"ok; {archive}".encode() if archive else b"ok", TEXT)
