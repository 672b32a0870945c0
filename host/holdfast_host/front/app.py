"""From a request to the code that serves it. Thin: it looks at the raw target, lets the caller in, and dispatches.

Requests for a function, by its host name or under `/fn/`, are told apart before anything of `/v1` is looked at: every
path there is the function's own. The data path comes next and touches no table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from holdfast_host.core.cors import Cors
from holdfast_host.core.errors import UnknownFunctionError, UnknownRouteError, WrongMethodError
from holdfast_host.core.tenants import TENANT_HEADER
from holdfast_host.front.access.acting import tenant_for
from holdfast_host.front.access.rules import Guarded, call
from holdfast_host.front.access.tokens import Tokens
from holdfast_host.front.audit import Audited
from holdfast_host.front.calls.actor_calls import Calls, flags_of
from holdfast_host.front.functions.dispatch import FunctionHosts
from holdfast_host.front.functions.handshakes import Handshakes, is_direct
from holdfast_host.front.http.answers import Answer, allow_line
from holdfast_host.front.http.cors import is_preflight, preflight_answer, share
from holdfast_host.front.http.errors import RouteError, socket_refused
from holdfast_host.front.http.origin_checks import OriginChecks
from holdfast_host.front.http.page_cookie import headers_of_page
from holdfast_host.front.http.paths import split_target
from holdfast_host.front.http.server import Exchange

if TYPE_CHECKING:
    from multidict import MultiMapping

_ACTORS: Final = "/v1/actors/"
_HEALTH: Final = "/health/"
_ADMITTED: Final = ("v1", "metrics")
# What pages send to the API, where the operator lets them use it, and what they read of it.
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Accept",
    "Idempotency-Key",
    "Last-Event-ID",
    "Traceparent",
    TENANT_HEADER,
)
_EXPOSED: Final = ("Retry-After", "Idempotency-Replayed", "Holdfast-Request-Id")


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern (`{}` stands for one raw segment) and its handlers by HTTP method, each with who may use it."""

    pattern: tuple[str, ...]
    handlers: dict[str, Guarded]

    @classmethod
    def of(cls, path: str, **handlers: Guarded) -> Route:
        """`Route.of("/v1/functions/{}", GET=look(...), PUT=change("deployFunction", ...))`."""
        return cls(tuple(path.split("/")[1:]), handlers)

    def match(self, segments: list[str]) -> tuple[str, ...] | None:
        """The segments at the pattern's places; None when the path is another."""
        if len(segments) != len(self.pattern):
            return None
        pairs = list(zip(self.pattern, segments, strict=True))
        if any(expected not in ("{}", found) for expected, found in pairs):
            return None
        return tuple(found for expected, found in pairs if expected == "{}")


class App:
    """All routes of a front. One per front, for its loop."""

    def __init__(
        self,
        origin_checks: OriginChecks,
        tokens: Tokens,
        audited: Audited,
        functions: FunctionHosts,
        calls: Calls,
        handshakes: Handshakes,
        routes: list[Route],
        pages: Iterable[Route] = (),
    ) -> None:
        """`routes` are the API's; `pages` are for people's browsers, and nothing of them is described."""
        self._origin_checks = origin_checks
        self._tokens = tokens
        self._audited = audited
        self._functions = functions
        self._calls = calls
        self._handshakes = handshakes
        self._shared: Cors | None = None  # what pages of other origins may do under /v1
        self._call = call(self._call_by_path)
        self.routes = [
            Route.of("/v1/actors/{}/{}/{}", POST=self._call),
            Route.of("/v1/call", POST=call(self._call_by_body)),
            *routes,
        ]
        self._served = (*self.routes, *pages)

    def share_with(self, origins: tuple[str, ...]) -> None:
        """Let the pages of these origins, and no others, use the API."""
        self._shared = Cors(origins, _METHODS, _HEADERS, _EXPOSED) if origins else None

    async def handle(self, exchange: Exchange) -> web.StreamResponse:
        """Serve one request.

        Raises:
            HoldfastError, RouteError: what the caller is to be answered.
        """
        target = exchange.target
        if not target.startswith(_HEALTH):  # whoever probes us may call us as he likes
            self._origin_checks.check_host(exchange.asked_host)
        asked = self._functions.find(exchange)
        if asked is not None:
            try:
                return await self._functions.serve(exchange, asked)
            except UnknownFunctionError:  # it has no rules of its own: the host's say which pages may read so
                if self._shared is None or not share(exchange, self._shared) or not is_preflight(exchange):
                    raise
                return preflight_answer(self._shared)
        if exchange.method == "POST" and target.startswith(_ACTORS):
            segments = target.split("/")
            if len(segments) == 6 and "?" not in target and "#" not in target:
                self._admit(exchange)
                self._call.check(exchange.caller)
                exchange.learn(flags_of)
                return await self._calls.call_by_path(exchange, segments[3], segments[4], segments[5])
        elif exchange.method == "GET" and target.startswith(_ACTORS) and is_direct(exchange):
            self._check_origin(exchange)
            self._let_in(exchange, exchange.headers)
            self._call.check(exchange.caller)
            return await self._handshakes.serve_directly(exchange, *split_target(target))
        return await self._dispatch(exchange, *split_target(target))

    async def handle_root(self, exchange: Exchange, function: str) -> web.StreamResponse:
        """Serve one request to the address of which every path is one function's.

        Raises:
            HoldfastError: what the caller is to be answered.
        """
        self._origin_checks.check_host(exchange.asked_host)
        return await self._functions.serve(exchange, self._functions.find_at_root(exchange, function))

    def _admit(self, exchange: Exchange) -> None:
        """Return when the request may use the host's own API."""
        self._check_origin(exchange)
        self._let_in(exchange, headers_of_page(exchange))
        if exchange.wants_socket:
            raise socket_refused()

    def _let_in(self, exchange: Exchange, headers: MultiMapping[str]) -> None:
        """Whose token it shows, and for which tenant it acts."""
        exchange.caller = caller = self._tokens.caller(headers)
        tenant = tenant_for(caller, headers, self._calls.view.tenants)
        if tenant is not None:
            exchange.tenant, exchange.whole_host = tenant, False

    def _check_origin(self, exchange: Exchange) -> None:
        """Return when no page is behind the request, or one that may use the API."""
        if self._shared is None or "Origin" not in exchange.headers or not share(exchange, self._shared):
            self._origin_checks.check_origin(exchange.headers, exchange.asked_host)

    async def _dispatch(self, exchange: Exchange, path: str, query: str) -> web.StreamResponse:
        segments = path.split("/")[1:]
        if segments and segments[0] in _ADMITTED:
            if self._shared is not None and is_preflight(exchange) and share(exchange, self._shared):
                return preflight_answer(self._shared)
            self._admit(exchange)
        for route in self._served:
            found = route.match(segments)
            if found is not None:
                return await self._answer(exchange, route, found, (path, query))
        hint = ": percent-encode '/' in a name as %2F, or use /v1/call" if segments[:2] == ["v1", "actors"] else ""
        raise UnknownRouteError(f"nothing is served at {path[:200]!r}{hint}")

    async def _answer(
        self, exchange: Exchange, route: Route, found: tuple[str, ...], target: tuple[str, str]
    ) -> web.StreamResponse:
        method, (path, query) = exchange.method, target
        guarded = route.handlers.get("GET" if method == "HEAD" else method)
        if guarded is not None:
            guarded.check(exchange.caller, whole_host=exchange.whole_host)

            async def serve() -> web.StreamResponse:
                response: web.StreamResponse = await guarded.handler(exchange, found, query)
                return response

            if guarded.changes:
                return await self._audited.perform(exchange, guarded.changes, path, serve)
            return await serve()
        allowed = tuple(route.handlers)
        if method == "OPTIONS":
            return Answer(200, b"", further=allow_line(allowed))
        raise RouteError(
            WrongMethodError(f"{method[:20]} does not fit this path: it takes {', '.join(allowed)}"),
            allow_line(allowed),
        )

    async def _call_by_path(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return await self._calls.call_by_path(exchange, *found)

    async def _call_by_body(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return await self._calls.call_by_body(exchange)
