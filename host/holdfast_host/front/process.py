"""One front from `start` to `stop`: what the supervisor's messages do to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import assert_never

from holdfast_host.core.child_loop import serve_until_stop
from holdfast_host.core.child_process import private_bytes
from holdfast_host.core.config import HTTP_BACKLOG
from holdfast_host.core.errors import InternalError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import adopt_logging, adopt_tracebacks, set_level
from holdfast_host.core.tls import server_context
from holdfast_host.front.access.refusals import Refusals
from holdfast_host.front.access.tokens import Tokens
from holdfast_host.front.access_log.connection import LoggedConnection
from holdfast_host.front.access_log.file import AccessFile
from holdfast_host.front.app import App
from holdfast_host.front.audit import Audited, note_refusal
from holdfast_host.front.calls.actor_calls import Calls
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.calls.moved_calls import MovedCalls
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.functions.dispatch import FunctionHosts
from holdfast_host.front.functions.handshakes import Handshakes
from holdfast_host.front.http.aiohttp_internals import is_known
from holdfast_host.front.http.client_timeouts import ClientTimeouts
from holdfast_host.front.http.connection import Connection
from holdfast_host.front.http.connection_limits import ConnectionLimits, allow_descriptors
from holdfast_host.front.http.origin_checks import OriginChecks
from holdfast_host.front.http.proxies import TrustedProxies
from holdfast_host.front.http.server import HttpServer
from holdfast_host.front.http.tls import TlsListener
from holdfast_host.front.known.connection import KnowingConnection
from holdfast_host.front.known.direct import DirectCalls
from holdfast_host.front.routes.alarms import AlarmRoutes
from holdfast_host.front.routes.audit import AuditRoutes
from holdfast_host.front.routes.backup import BackupRoutes
from holdfast_host.front.routes.changes import ChangeRoutes
from holdfast_host.front.routes.debug import DebugRoutes
from holdfast_host.front.routes.functions import FunctionRoutes
from holdfast_host.front.routes.hosts import HostRoutes
from holdfast_host.front.routes.instances import InstanceRoutes
from holdfast_host.front.routes.jobs import JobRoutes
from holdfast_host.front.routes.logs import LogRoutes
from holdfast_host.front.routes.metrics import MetricsRoutes
from holdfast_host.front.routes.openapi.document import describe_api
from holdfast_host.front.routes.quarantine import QuarantineRoutes
from holdfast_host.front.routes.reverting import RevertRoutes
from holdfast_host.front.routes.secrets import SecretRoutes
from holdfast_host.front.routes.sockets import SocketRoutes
from holdfast_host.front.routes.tenants import TenantRoutes
from holdfast_host.front.routes.tokens import TokenRoutes
from holdfast_host.front.routes.transfers import TransferRoutes
from holdfast_host.front.routes.types_and_health import Health, InspectionRoutes
from holdfast_host.front.routes.uploads import UploadFolder
from holdfast_host.front.sockets.table import SocketTable
from holdfast_host.front.ui.pages import InspectorPages
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.control.edge import Edge, NewEdge
from holdfast_host.wire.control.protocol import (
    Done,
    Drain,
    Drained,
    FrontNews,
    HostHealth,
    Measure,
    Measured,
    NewCatalog,
    NewLimits,
    NewLogLevel,
    NewRouting,
    Ready,
    Stop,
)
from holdfast_host.wire.control.routing import RouteBook
from holdfast_host.wire.control.starts import FrontStart
from holdfast_host.wire.control.tokens import NewTokens, TokensUsed


class Front:
    """The parts of a running front. Made by the `start` message; belongs to the event loop."""

    def __init__(self, start: FrontStart, control: ControlChannel) -> None:
        connections_max, sockets_max = allow_descriptors(start.limits.front_sockets_max)
        self._limits = limits = start.limits.replace(front_sockets_max=sockets_max)
        self._start = start
        self._control = control
        self._sockets = SocketTable(
            start.number,
            lambda type_id: self._calls.view.owner(type_id),
            lambda type_id, name: routes.place(type_id, name)[1],
            limits,
        )
        routes = RouteBook(start.routing)
        addresses = routes.addresses
        self._links = [WorkerLink(number, each, limits, self._sockets) for number, each in enumerate(addresses)]
        self._moved = MovedCalls(routes, self._links, limits)
        view = CatalogView(start.catalog)
        self._calls = Calls(view, routes, self._links, limits, traces=start.traces)
        handshakes = Handshakes(self._calls, self._sockets, routes, self._links, limits)
        self._health = Health(self._links)
        self._uploads = UploadFolder(Path(start.data), start.front, limits)
        self._tokens = tokens = Tokens(start.token, start.tokens)
        instances = InstanceRoutes(self._calls, routes, self._links, limits)
        origin_checks = OriginChecks(start.domain, start.allowed_hosts)
        functions = FunctionHosts(
            self._calls,
            routes,
            self._links,
            limits,
            tokens,
            handshakes,
            domain=start.domain,
            url=start.url,
        )
        self._known_functions = functions.known
        self._app = app = App(
            origin_checks,
            tokens,
            Audited(control),
            functions,
            self._calls,
            handshakes,
            [
                *InspectionRoutes(
                    lambda: self._calls.view,
                    self._health,
                    lambda: describe_api(start.url, app.routes, token=tokens.required),
                ).routes(),
                *AlarmRoutes(lambda: self._calls.view, routes, self._links).routes(),
                *JobRoutes(lambda: self._calls.view, routes, self._links).routes(),
                *FunctionRoutes(control, self._uploads).routes(),
                *MetricsRoutes(control).routes(),
                *HostRoutes(control).routes(),
                *LogRoutes(self._links).routes(),
                *SecretRoutes(control).routes(),
                *AuditRoutes(control).routes(),
                *TokenRoutes(control, tokens, lambda: self._calls.view).routes(),
                *TenantRoutes(control).routes(),
                *BackupRoutes(control).routes(),
                *ChangeRoutes(start.archive).routes(),
                *instances.routes(),
                *SocketRoutes(instances).routes(),
                *TransferRoutes(instances, self._links, limits).routes(),
                *RevertRoutes(instances, control).routes(),
                *DebugRoutes(control, limits).routes(),
                *QuarantineRoutes(lambda: self._calls.view, control, limits).routes(),
            ],
            InspectorPages(origin_checks, tokens).routes() if start.ui else (),
        )
        self._direct = DirectCalls(self._calls)
        self._access_file = AccessFile(start.access_log, start.access_log_fd) if start.access_log else None
        plain: Callable[..., Connection] = Connection
        knowing = plain
        if self._access_file is not None:
            knowing = plain = partial(LoggedConnection, self._access_file)
        elif start.known_heads and is_known():
            knowing = partial(KnowingConnection, self._direct, self._known_functions)
        api = HttpServer(app.handle, ClientTimeouts(), ConnectionLimits(connections_max), new_connection=knowing)
        self._refusals = Refusals(control.send)
        api.on_forbidden = partial(note_refusal, self._refusals)
        self._servers = [(start.listen_fd, api)]
        if start.root_fd >= 0:
            serve_root = partial(app.handle_root, function=start.root_function)
            self._servers.append((start.root_fd, HttpServer(serve_root, new_connection=plain)))
        self._take_edge(start.edge)
        self._listeners: list[asyncio.AbstractServer | TlsListener] = []
        self._drain: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns when the socket is accepted from. Calls wait for their workers by themselves."""
        self._uploads.prepare()
        self._tokens.watch(self._sockets.end_of, self._forget_heads, lambda used: self._control.send(TokensUsed(used)))
        for link in self._links:
            link.start()
        for listen_fd, server in self._servers:
            listening = socket.socket(fileno=listen_fd)
            listening.setblocking(False)
            if server.context is not None:
                self._listeners.append(TlsListener(listening, server))
                continue
            # It listens again, and the last backlog that anybody gives counts for the socket that all share.
            accepting = asyncio.get_running_loop().create_server(server, sock=listening, backlog=HTTP_BACKLOG)
            self._listeners.append(await accepting)
        self._control.send(Ready(os.getpid()))

    def on_message(self, message: FrontNews) -> None:
        """Do what the supervisor says."""
        match message:
            case NewCatalog():
                if message.catalog.number >= self._calls.view.number:
                    self._calls.view = CatalogView(message.catalog)
            case NewRouting():
                self._moved.take(message.routing)
            case NewTokens():
                self._tokens.take(message.tokens)
                self._control.send(Done(message.id))
            case NewEdge():
                self._take_edge(message.edge)
            case NewLimits():
                self._limits.take(message.limits)
            case NewLogLevel():
                set_level(message.level)
            case HostHealth():
                self._health.update(message)
            case Measure():
                self._control.send(Measured(message.id, self._measures()))
            case Drain():
                if self._drain is None:
                    self._drain = asyncio.get_running_loop().create_task(self._finish())
            case _:
                assert_never(message)

    def _take_edge(self, edge: Edge) -> None:
        """Have new connections and requests served so; only the API's own socket speaks TLS."""
        proxies = TrustedProxies(edge.trusted_proxies)
        for _, server in self._servers:
            server.proxies = proxies
        self._app.share_with(edge.cors_origins)
        self._forget_heads()
        _, api = self._servers[0]
        api.context = None if edge.certificate is None else server_context(edge.certificate.chain, edge.certificate.key)

    def _forget_heads(self) -> None:
        """What was known of heads followed from what held until now."""
        self._direct.forget()
        self._known_functions.forget()

    def _measures(self) -> JsonObject:
        """What this front counts; the API's own socket is always the first."""
        _, server = self._servers[0]
        return {
            **server.measures(),
            "direct": self._direct.count + self._known_functions.count,
            "sockets": self._sockets.measures(),
            "unanswered": [link.unanswered for link in self._links],
            "private_bytes": private_bytes(),
        }

    async def aclose(self) -> None:
        """Stop serving; open requests are cut."""
        self._tokens.close()
        if self._drain is not None:
            self._drain.cancel()
        for listener in self._listeners:
            listener.close()
        for _, server in self._servers:
            await server.shutdown(0)
        self._sockets.abort_all()
        self._moved.close()
        for link in self._links:
            await link.aclose()
        if self._access_file is not None:
            await asyncio.to_thread(self._access_file.close)

    async def _finish(self) -> None:
        """Take no new connection, finish what is open, say so."""
        self._health.stopping = True
        for listener in self._listeners:
            listener.close()
        await self._sockets.close_all()
        for _, server in self._servers:
            await server.drain()
        self._refusals.tell()
        self._control.send(Drained())


async def run_front(channel: socket.socket) -> None:
    """Be a front over this control channel; see `serve_until_stop`."""
    await serve_until_stop(channel, ControlChannel, _make, start=FrontStart, stop=Stop)


def _make(start: FrontStart, control: ControlChannel) -> Front:
    adopt_logging(f"front {start.front}", start.log_level, start.log_format)
    adopt_tracebacks(f"front {start.front}", start.log_format)
    if start.listen_fd < 0:
        raise InternalError(f"{start.listen_fd} is no listening socket")
    return Front(start, control)
