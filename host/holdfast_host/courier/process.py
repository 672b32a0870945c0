"""The courier from `start` to `stop`: what the supervisor's messages do to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from typing import Final, assert_never

from holdfast_host.core.child_loop import serve_until_stop
from holdfast_host.core.child_process import private_bytes
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import adopt_logging, adopt_tracebacks, set_level
from holdfast_host.courier.addresses import PrivateAccess
from holdfast_host.courier.connections import Connections
from holdfast_host.courier.control import ControlChannel
from holdfast_host.courier.exchange import Deliver, Exchanges
from holdfast_host.courier.grants import Grants
from holdfast_host.courier.in_flight import InFlight
from holdfast_host.courier.links import WorkerLink
from holdfast_host.courier.lookups import Lookups
from holdfast_host.courier.streamed_answers import FollowedAnswers
from holdfast_host.wire.calls.outbound import Ask, Read
from holdfast_host.wire.control.protocol import (
    CourierOrder,
    Done,
    Measure,
    Measured,
    NewLimits,
    NewLogLevel,
    Ready,
    Stop,
    TakeGrants,
    TakeSecrets,
)
from holdfast_host.wire.control.starts import CourierStart

_BACKLOG: Final = 256
_ANSWERED: Final = "answered"


class Courier:
    """The parts of a running courier. Made by the `start` message; belongs to the loop."""

    def __init__(self, start: CourierStart, control: ControlChannel, lookups: Lookups | None = None) -> None:
        self._limits = limits = start.limits
        self._listen_fd = start.listen_fd
        self._control = control
        self._grants = Grants(start.outbound)
        self._grants.set_functions(start.functions)
        self._grants.set_secrets(start.secrets, start.sealed)
        private = PrivateAccess.of(start.outbound_private)
        self._connections = Connections(private, lookups or Lookups(), limits.fetch_headers_bytes_max)
        self._in_flight = InFlight(limits)
        self._in_flight.set_tenants(start.tenants)
        self._exchanges = Exchanges(self._grants, self._connections, self._in_flight, limits)
        self._followed = FollowedAnswers(self._exchanges, limits)
        self._outcomes: Counter[str] = Counter()
        self._listener: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Serve the workers; returns when they are accepted."""
        listening = socket.socket(fileno=self._listen_fd)
        listening.setblocking(False)
        self._listener = await asyncio.get_running_loop().create_unix_server(
            lambda: WorkerLink(self._serve, self._followed.forget), sock=listening, backlog=_BACKLOG
        )
        self._control.send(Ready(os.getpid()))

    def on_message(self, message: CourierOrder) -> None:
        """Do what the supervisor says, and answer."""
        match message:
            case TakeGrants():
                self._grants.set_functions(message.functions)
                self._in_flight.set_tenants(message.tenants)
                for function in self._connections.functions:
                    if not self._grants.knows(function):
                        self._connections.forget(function)
                self._control.send(Done(message.id))
            case TakeSecrets():
                self._grants.set_secrets(message.values, message.sealed)
                self._control.send(Done(message.id))
            case NewLimits():
                self._limits.take(message.limits)
            case NewLogLevel():
                set_level(message.level)
            case Measure():
                self._control.send(Measured(message.id, self._measures()))
            case _:
                assert_never(message)

    async def aclose(self) -> None:
        """Stop; what is under way is cut."""
        if self._listener is not None:
            self._listener.close()
        await self._followed.aclose()
        await self._connections.aclose()

    async def _serve(self, ask: Ask, reads: asyncio.Queue[Read], deliver: Deliver) -> None:
        """One request of a worker's turn."""
        try:
            if ask.job:
                if not await self._followed.serve(ask, deliver):
                    return  # it is answered when that has ended
            elif ask.streams:
                await self._exchanges.stream(ask, reads, deliver)
            else:
                budget_s = ask.budget_ms / 1000
                await self._exchanges.request(ask.function, ask.request, budget_s, deliver, ask.trace)
        except HoldfastError as error:
            self._outcomes[error.name] += 1
            raise
        self._outcomes[_ANSWERED] += 1

    def _measures(self) -> JsonObject:
        """What it has counted since its start."""
        return {
            "requests": dict(self._outcomes),
            "under_way": self._in_flight.requests,
            "held_bytes": self._in_flight.held_bytes,
            "open_connections": self._connections.open_sockets,
            "private_bytes": private_bytes(),
        }


async def run_courier(channel: socket.socket) -> None:
    """Be the courier over this control channel; see `serve_until_stop`."""
    await serve_until_stop(channel, ControlChannel, _make, start=CourierStart, stop=Stop)


def _make(start: CourierStart, control: ControlChannel) -> Courier:
    adopt_logging("courier", start.log_level, start.log_format)
    adopt_tracebacks("courier", start.log_format)
    return Courier(start, control)
