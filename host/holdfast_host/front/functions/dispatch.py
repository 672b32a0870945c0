"""Requests for functions: which function a request is for, and its way there and back.

A function is reached under its own host name, where every path is its own, `/v1` and `/health` included, and under
`/fn/{function}/`, where browsers keep its pages in a sandbox. It is public: the Authorization header is its own affair.
The front spreads requests over the workers, for a function has no state that would tie it to one; and it bounds what a
burst on a function may hold here.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, overload
from urllib.parse import urlsplit

from holdfast_host.core.errors import (
    ActorMethodError,
    ActorUnknownMethodError,
    BadRequestError,
    ForbiddenError,
    MailboxFullError,
    WrongMethodError,
)
from holdfast_host.front.functions.bodies import PulledBody, relay_body
from holdfast_host.front.functions.handshakes import Accepted, read_accepted
from holdfast_host.front.functions.known_heads import FunctionAsk, KnownFunctionHeads
from holdfast_host.front.functions.messages import (
    BadResponseError,
    ResponseReader,
    bodiless_answer,
    headers_for_function,
    pack_request,
    read_response_head,
    without_those_of_origin,
)
from holdfast_host.front.http.answers import Answer
from holdfast_host.front.http.bodies import read_held, too_large
from holdfast_host.front.http.cors import is_preflight, preflight_answer, share
from holdfast_host.front.http.errors import socket_refused
from holdfast_host.front.http.paths import split_authority
from holdfast_host.front.sockets.upgrade import check_origin, read_wanted
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.calls.function_bodies import FOLLOWS, unpack_head
from holdfast_host.wire.sockets.frames import socket_text

if TYPE_CHECKING:
    from aiohttp import web

    from holdfast_host.core.cors import Cors
    from holdfast_host.core.limits import Limits
    from holdfast_host.front.access.tokens import Tokens
    from holdfast_host.front.calls.actor_calls import Calls
    from holdfast_host.front.functions.handshakes import Handshakes
    from holdfast_host.front.http.server import Exchange
    from holdfast_host.front.sockets.offers import Offer
    from holdfast_host.front.worker_link import WorkerLink
    from holdfast_host.wire.calls.window import PendingCall, Reply
    from holdfast_host.wire.control.catalog import Deployment
    from holdfast_host.wire.control.routing import Routes

_log = logging.getLogger(__name__)

_UNDER_PREFIX: Final = re.compile(r"/fn/([^/?#]+)/?(.*)", re.DOTALL)
_OK, _REDIRECTION = 200, 300
# A page under /fn/ has the origin of the host's own API, and what it asks of that looks like our own. In a sandbox
# without `allow-same-origin` its origin is none, and it is a stranger there as any other page is.
_SANDBOXED: Final = (
    "Content-Security-Policy",
    "sandbox allow-downloads allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-scripts",
)

_FURTHER: Final = {True: [_SANDBOXED], False: []}
_FUNCTION: Final = int(CallKind.FUNCTION)  # to look a member of an enumeration up costs more


class FunctionRequest(NamedTuple):
    """A request that is a function's: its name as it was given, and the URL as the function sees it."""

    function: str
    url: str
    under_prefix: bool = False  # it came by path, to the origin of the host's own API


class FunctionHosts:
    """Serves the functions of one front; for its loop."""

    def __init__(
        self,
        calls: Calls,
        routing: Routes,
        links: list[WorkerLink],
        limits: Limits,
        tokens: Tokens,
        handshakes: Handshakes,
        *,
        domain: str,
        url: str,
    ) -> None:
        """`domain` is what the functions' host names end in; `url` is where the host itself listens."""
        self._calls = calls
        self._links = links
        self._partitions = [(routing.partitions_of(link.worker) or [0])[0] for link in links]
        self._limits = limits
        self._tokens = tokens
        self._handshakes = handshakes
        self._host = re.compile(rf"([^/@\s]+)\.{re.escape(domain)}\.?(?::\d*)?", re.IGNORECASE)
        port = urlsplit(url).port
        self._own_suffix = f".{domain}" if port is None else f".{domain}:{port}"
        self._held = HeldBodies(limits)
        self._responses = ResponseReader(limits)
        self._turns = itertools.count()
        self.known = KnownFunctionHeads(self, calls, self._own_suffix)

    def find(self, exchange: Exchange) -> FunctionRequest | None:
        """Whether a request is for a function: by its host name, else by its path.

        Raises:
            BadRequestError: it names two hosts, or a target that is no path.
        """
        target = exchange.target
        hosts = exchange.headers.getall("Host", ())
        if len(hosts) > 1:
            raise BadRequestError("the request has more than one Host header")
        host = exchange.asked_host or ""
        if not target.startswith("/"):
            authority, target = split_authority(target)
            host = exchange.forwarded_host or authority or host
        found = self._host.fullmatch(host)
        if found is not None:
            if not target.startswith("/"):
                raise BadRequestError(f"a function is asked for a path, not for {target[:80]!r}")
            return FunctionRequest(found[1].lower(), f"http://{host}{_path(target)}")
        found = _UNDER_PREFIX.fullmatch(target) if target.startswith("/fn/") else None
        if found is None:
            return None
        function, rest = found.groups()
        return FunctionRequest(function, f"http://{function}{self._own_suffix}/{_path(rest)}", under_prefix=True)

    def find_at_root(self, exchange: Exchange, function: str) -> FunctionRequest:
        """The same where every path is one function's: another one is reached by its host name only.

        Raises:
            BadRequestError: as for `find`.
        """
        host = exchange.asked_host or ""
        if self._host.fullmatch(host) or not exchange.target.startswith("/"):
            return self.find(exchange) or FunctionRequest(function, exchange.target)
        return FunctionRequest(function, f"http://{host or 'localhost'}{_path(exchange.target)}")

    async def serve(self, exchange: Exchange, request: FunctionRequest) -> web.StreamResponse:
        """Ask the function and answer what it says.

        Raises:
            HoldfastError: there is no such function, its body is too large, or it is overloaded.
        """
        deployed = self._calls.view.function(request.function)
        name, method = deployed.function, exchange.method
        if deployed.cors is not None:
            listed = share(exchange, deployed.cors)
            if is_preflight(exchange):
                return _preflight(exchange, name, deployed.cors, listed=listed)
        _check_fetch_handler(deployed)
        if method == "CONNECT":
            raise WrongMethodError("CONNECT is no request for a function")
        wanted = read_wanted(exchange)
        if wanted is None:
            return await self._ask(exchange, request, name)
        if not wanted.events:
            check_origin(exchange, deployed.origins)
        with self._handshakes.offer(name) as offer:
            answer = await self._ask(exchange, request, name, offer)
            if isinstance(answer, Accepted):
                return await self._handshakes.complete(exchange, deployed.tenant, wanted, offer, answer)
        if exchange.wants_socket and answer.status < _REDIRECTION:
            raise socket_refused()  # it was answered as any other request is: nobody has taken the socket
        return answer

    @overload
    async def _ask(self, exchange: Exchange, request: FunctionRequest, name: str) -> web.StreamResponse: ...

    @overload
    async def _ask(
        self, exchange: Exchange, request: FunctionRequest, name: str, offer: Offer
    ) -> web.StreamResponse | Accepted: ...

    async def _ask(
        self, exchange: Exchange, request: FunctionRequest, name: str, offer: Offer | None = None
    ) -> web.StreamResponse | Accepted:
        """What the function answers; with an offer, also that the socket was accepted."""
        method = exchange.method
        with self._held.hold(name) as held:
            body = await read_held(exchange, self._limits.fetch_body_bytes_max, held)
            hide = self._tokens.is_shown(exchange.headers)
            headers = headers_for_function(exchange, len(body), hide_authorization=hide)
            if offer is None:
                self._learn(exchange, request, headers)
            came_by = exchange.came_by
            url = f"{came_by.scheme}{request.url.removeprefix('http')}"
            number = 0 if offer is None else offer.number
            text = pack_request(method, url, headers, body, came_by.client, socket_text(number) if number else "")
            del body
            worker = self._choose()
            encoded = name.encode()
            trace = self._calls.trace_of(exchange)
            call = Call(0, 0, 0, CallKind.FUNCTION, 0, encoded, b"fetch", b"", text, offer=number, trace=trace)
            status, reply = await self._links[worker].call(call, self._partitions[worker])
        by_path = request.under_prefix
        if status == _OK | FOLLOWS:
            if offer is not None:
                self._handshakes.decline(offer)
            return await self._relay(exchange, name, worker, reply, by_path=by_path)
        if status != _OK:
            return Answer(status, reply)
        accepted = read_accepted(reply, self._limits, f"the function {name!r}") if number else None
        if accepted is not None:
            return accepted._replace(headers=without_those_of_origin(accepted.headers)) if by_path else accepted
        return self._read(exchange, name, reply, by_path=by_path)

    def _read(self, exchange: Exchange, name: str, reply: bytes, *, by_path: bool) -> Answer:
        try:
            shared = bool(exchange.sharing)
            return self._responses.read(reply, exchange.method, _FURTHER[by_path], shared=shared, by_path=by_path)
        except BadResponseError as error:
            raise _bad_response(name, error) from None

    # What comes with a head that is known.

    def _learn(self, exchange: Exchange, request: FunctionRequest, headers: list[tuple[str, str]]) -> None:
        function = "" if request.under_prefix else request.function

        def learn(block: bytes, body_bytes: int) -> None:
            self.known.learn(block, body_bytes, exchange, function, request.url, headers)

        exchange.learn_function(learn)

    def ask_at_once(self, ask: FunctionAsk) -> tuple[WorkerLink, PendingCall]:
        """Send a request that is here as a whole.

        Raises:
            HoldfastError: as `serve`.
        """
        exchange, asked = ask.exchange, ask.asked
        deployed, body = asked.deployed, asked.body
        name = deployed.function
        if deployed.cors is not None:
            share(exchange, deployed.cors)
        _check_fetch_handler(deployed)
        limit = self._limits.fetch_body_bytes_max
        if len(body) > limit:
            raise too_large(len(body), limit)
        came_by = exchange.came_by
        text = asked.text(came_by.scheme, came_by.client)
        if body:
            self._held.add(name, len(body))
        try:
            ask.worker = worker = self._choose()
            call = Call(0, 0, 0, _FUNCTION, 0, name.encode(), b"fetch", b"", text)
            link = self._links[worker]
            return link, link.send(call, self._partitions[worker], ask)
        except BaseException:
            self.let_go(ask)
            raise

    def let_go(self, ask: FunctionAsk) -> None:
        """It is answered, or nobody waits any more: its body is not held for it."""
        asked = ask.asked
        if asked.body:
            self._held.add(asked.deployed.function, -len(asked.body))

    def read_at_once(self, ask: FunctionAsk, reply: Reply) -> Answer | None:
        """The answer to it; None where that comes in pieces."""
        status, text = reply
        if status == _OK | FOLLOWS:
            return None
        if status != _OK:
            return Answer(status, text)
        asked = ask.asked
        return self._read(ask.exchange, asked.deployed.function, text, by_path=not asked.head.function)

    async def relay_at_once(self, ask: FunctionAsk, reply: Reply) -> web.StreamResponse:
        """Write an answer that comes in pieces."""
        asked = ask.asked
        name, by_path = asked.deployed.function, not asked.head.function
        return await self._relay(ask.exchange, name, ask.worker, reply[1], by_path=by_path)

    async def _relay(
        self, exchange: Exchange, name: str, worker: int, reply: bytes, *, by_path: bool
    ) -> web.StreamResponse:
        """Answer with a body that comes in pieces from this worker."""
        body_number, text = unpack_head(reply)
        body = PulledBody(self._links[worker], self._partitions[worker], name, body_number)
        try:
            further, shared = _FURTHER[by_path], bool(exchange.sharing)
            status, headers = read_response_head(text, self._limits, further, shared=shared, by_path=by_path)
            if exchange.wants_socket and status < _REDIRECTION:
                raise socket_refused()
            whole = bodiless_answer(status, exchange.method, headers)
            if whole is not None:
                return whole
            return await relay_body(exchange, status, headers, body, self._limits.stream_take_s)
        except BadResponseError as error:
            raise _bad_response(name, error) from None
        finally:
            body.close()

    def _choose(self) -> int:
        """The worker with the fewest unanswered calls among those that are up; in turn where they are equal."""
        if len(self._links) == 1:
            return 0
        first = next(self._turns)
        order = [(first + step) % len(self._links) for step in range(len(self._links))]
        return min(order, key=lambda number: (not self._links[number].up, self._links[number].unanswered))


class HeldBodies:
    """The bytes of request bodies that a front holds for functions, from their first piece to the answer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of_all = 0
        self._of_function: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def hold(self, function: str) -> Iterator[Hold]:
        """For one request: count what it adds, until it is answered."""
        hold = Hold(self, function)
        try:
            yield hold
        finally:
            self.add(function, -hold.body_bytes)

    def add(self, function: str, body_bytes: int) -> None:
        """Count bytes in, or out again.

        Raises:
            MailboxFullError: more than a function, or all of them, may hold.
        """
        held, limits = self._of_function[function], self._limits
        if body_bytes > 0:
            _check_room(function, held + body_bytes, limits.function_held_bytes_max)
            _check_room("all functions", self._of_all + body_bytes, limits.functions_held_bytes_max)
        self._of_all += body_bytes
        self._of_function[function] += body_bytes
        if not self._of_function[function]:
            del self._of_function[function]


class Hold:
    """What one request holds."""

    def __init__(self, bodies: HeldBodies, function: str) -> None:
        self._bodies = bodies
        self._function = function
        self.body_bytes = 0

    def __call__(self, body_bytes: int) -> None:
        """So many bytes have come; MailboxFullError where there is no room for them."""
        self._bodies.add(self._function, body_bytes)
        self.body_bytes += body_bytes


def _check_room(whose: str, held: int, bytes_max: int) -> None:
    if held > bytes_max:
        raise MailboxFullError(f"bodies of {held} bytes wait for {whose}, the limit is {bytes_max} bytes")


def _check_fetch_handler(deployed: Deployment) -> None:
    if not deployed.fetch:
        raise ActorUnknownMethodError(
            f"the function {deployed.function!r} has no fetch handler: its actors are called under /v1/actors"
        )


def _preflight(exchange: Exchange, function: str, rules: Cors, *, listed: bool) -> Answer:
    if not listed:
        raise ForbiddenError(
            f"pages of the origin {exchange.headers['Origin'][:100]} may not ask the function {function!r}: list it in "
            "[cors] origins of its holdfast.toml if they may"
        )
    return preflight_answer(rules)


def _bad_response(function: str, error: BadResponseError) -> ActorMethodError:
    _log.error("the function %s answered what cannot be sent: %s", function, error)
    return ActorMethodError(f"the function {function!r} failed: its log says why")


def _path(target: str) -> str:
    """Path and query without a fragment; the HTTP parser lets no byte pass that a URL cannot hold."""
    return target.partition("#")[0]
