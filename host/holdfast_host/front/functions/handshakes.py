"""Requests that may become sockets: offered to whom they ask, and handed over when an instance has accepted.

They come by a function, which decides, or directly to an instance, under a token of the host, with which the socket
ends. Which socket a turn may
accept goes beside the request, in the frame: what is said of it in text decides nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.core.errors import ActorMethodError, BadRequestError, UnknownActorTypeError, UnknownRouteError
from holdfast_host.core.ids import check_instance_name
from holdfast_host.front.functions.messages import (
    BadResponseError,
    headers_for_function,
    pack_request,
    read_response,
)
from holdfast_host.front.http.answers import Answer
from holdfast_host.front.http.cors import is_cors_header
from holdfast_host.front.http.errors import socket_refused
from holdfast_host.front.http.page_cookie import is_page_cookie
from holdfast_host.front.http.paths import decode_segment
from holdfast_host.front.sockets.upgrade import read_wanted
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.calls.http_messages import HOP_BY_HOP, BadMessageError, parse_message, read_headers
from holdfast_host.wire.sockets.frames import socket_text

if TYPE_CHECKING:
    from aiohttp import web

    from holdfast_host.core.limits import Limits
    from holdfast_host.front.calls.actor_calls import Calls
    from holdfast_host.front.http.connection import Connection
    from holdfast_host.front.http.server import Exchange
    from holdfast_host.front.sockets.offers import Offer
    from holdfast_host.front.sockets.table import SocketTable
    from holdfast_host.front.sockets.upgrade import Wanted
    from holdfast_host.front.worker_link import WorkerLink
    from holdfast_host.wire.control.routing import Routes

_OK: Final = 200
_REDIRECTION: Final = 300
_GATEWAY: Final = 502
_WHAT: Final = "the response that accepts a socket"
_DROPPED: Final = HOP_BY_HOP | {"content-length"}
_UNACKNOWLEDGED_MS: Final = 60_000  # of an event stream, whose client never says anything


class Accepted(NamedTuple):
    """An answer that says that an instance has accepted the socket."""

    type: str
    name: str
    headers: list[tuple[str, str]]


class Handshakes:
    """Of one front; for its loop."""

    def __init__(
        self, calls: Calls, table: SocketTable, routing: Routes, links: list[WorkerLink], limits: Limits
    ) -> None:
        self._calls = calls
        self._table = table
        self._routing = routing
        self._links = links
        self._limits = limits

    @contextmanager
    def offer(self, function: str) -> Iterator[Offer]:
        """A socket that a request may become, for as long as it takes.

        Raises:
            SocketRefusedError: there is no room for another.
        """
        offer = self._table.offer(function)
        try:
            yield offer
        finally:
            self._table.withdraw(offer)

    def decline(self, offer: Offer) -> None:
        """The request becomes no socket, though it is not answered to its end yet."""
        self._table.withdraw(offer)

    async def serve_directly(self, exchange: Exchange, path: str, query: str) -> web.StreamResponse:
        """GET /v1/actors/{type}/{name}/{path} of a client that wants a socket; the actor sees `/{path}`.

        Raises:
            HoldfastError: what the client is to be answered.
        """
        wanted = read_wanted(exchange)
        segments = path.split("/", 5)
        if wanted is None or len(segments) < 5:
            raise UnknownRouteError(f"nothing is served at {path[:200]!r}")
        actor_type, name = decode_segment(segments[3]), check_instance_name(decode_segment(segments[4]))
        exchange.caller.check_type(actor_type)
        type_id = self._calls.view.of(exchange.tenant).type_id(actor_type)
        came_by = exchange.came_by
        rest = segments[5] if len(segments) == 6 else ""
        url = f"{came_by.scheme}://{exchange.asked_host or 'localhost'}/{rest}{query and '?' + query}"
        headers = headers_for_function(exchange, 0, hide_authorization=True)
        worker, partition = self._routing.place(type_id, name)
        with self.offer(self._calls.view.owner(type_id)) as offer:
            text = pack_request("GET", url, headers, b"", came_by.client, socket_text(offer.number))
            kind, trace = int(CallKind.FETCH), self._calls.trace_of(exchange)
            call = Call(0, type_id, 0, kind, 0, name, b"fetch", b"", text, offer=offer.number, trace=trace)
            status, reply = await self._links[worker].call(call, partition)
            if status != _OK:
                return Answer(status, reply)
            accepted = read_accepted(reply, self._limits, actor_type)
            if accepted is not None:
                return await self.complete(exchange, exchange.tenant, wanted, offer, accepted)
            try:
                answer = read_response(reply, "GET", self._limits)
            except BadResponseError as error:
                raise ActorMethodError(f"{actor_type}/{name.decode()} answered what cannot be sent: {error}") from None
        if exchange.wants_socket and answer.status < _REDIRECTION:
            raise socket_refused()
        return answer

    async def complete(
        self, exchange: Exchange, tenant: str, wanted: Wanted, offer: Offer, accepted: Accepted
    ) -> web.StreamResponse:
        """End the handshake, and hand the connection over; never returns. The instance is one of that tenant.

        Raises:
            ActorMethodError: 502, the instance has accepted nothing, or something else.
        """
        label = f"{accepted.type}/{accepted.name}"
        try:
            type_id = self._calls.view.of(tenant).type_id(accepted.type)
        except UnknownActorTypeError as error:
            raise ActorMethodError(f"the answer accepts a socket for {label}: {error}", status=_GATEWAY) from None
        opened = await offer.complete(type_id, accepted.name.encode("utf-8", "replace"), label)
        if opened.events != wanted.events:
            asked, given = ("an event stream", "a WebSocket") if wanted.events else ("a WebSocket", "an event stream")
            raise ActorMethodError(f"{label} accepted {given} where {asked} was asked for", status=_GATEWAY)
        connection: Connection = exchange.protocol  # type: ignore[assignment] # our server makes no other
        wire = exchange.transport
        if wire is None or wire.is_closing() or exchange.half_closed:
            raise ConnectionResetError("the client is gone")
        if wanted.events:
            raw = wire.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        wire.write(wanted.head(opened.protocol, _told(exchange, accepted), exchange.dates.header()))
        client = self._table.connect(offer, opened, wire, exchange.caller)
        early = connection.hand_over(client)
        self._table.hand_over_early(offer, opened, client)
        if early:
            client.data_received(early)
        await asyncio.sleep(0)  # the library's task was cancelled with its connection, and this is part of it
        raise ConnectionResetError("the connection is a socket's")


def _told(exchange: Exchange, accepted: Accepted) -> list[tuple[str, str]]:
    """The headers of function and instance, and what pages are told."""
    own = [each for each in accepted.headers if not (exchange.sharing and is_cors_header(each[0]))]
    return [*own, *exchange.sharing]


def read_accepted(reply: bytes, limits: Limits, whose: str) -> Accepted | None:
    """What a response says of a socket that was accepted; None where it is like any other.

    Raises:
        ActorMethodError: it says something else than which instance has accepted it.
    """
    try:
        facts = parse_message(reply, _WHAT)
        told = facts.get("socket")
        if told is None:
            return None
        headers = read_headers(facts.get("headers", []), limits.fetch_headers_bytes_max, _WHAT)
    except BadMessageError as error:
        raise ActorMethodError(f"{whose} answered what cannot be sent: {error}") from None
    if not isinstance(told, dict) or not isinstance(told.get("type"), str) or not isinstance(told.get("name"), str):
        raise ActorMethodError(f"{whose} answered with a socket that names no instance")
    passed = [each for each in headers if each[0].lower() not in _DROPPED and not is_page_cookie(*each)]
    return Accepted(told["type"], told["name"], passed)


def is_direct(exchange: Exchange) -> bool:
    """Whether a request under /v1/actors wants a socket."""
    try:
        return read_wanted(exchange) is not None
    except BadRequestError:
        return True  # it does, and `serve_directly` says what is wrong with it
