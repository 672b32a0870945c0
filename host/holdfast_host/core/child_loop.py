"""The life of a child that is an event loop: it begins with `start`, serves, and returns at `stop`."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

_Start = TypeVar("_Start")
_Control = TypeVar("_Control", bound=asyncio.Protocol)


class Served(Protocol):
    """What a child is made of once it has been told how to start."""

    async def start(self) -> None:
        """Serve; returns when that has begun."""

    def on_message(self, message: Any, /) -> None:
        """Do what the supervisor says."""

    async def aclose(self) -> None:
        """Serve no more."""


async def serve_until_stop(
    channel: socket.socket,
    connect: Callable[[Callable[[object], None], Callable[[], None]], _Control],
    make: Callable[[_Start, _Control], Served],
    *,
    start: type[_Start],
    stop: type,
) -> None:
    """Be a child over this control channel; returns when the supervisor says `stop`.

    The end of the channel ends the process at once: without a supervisor nobody owns the directory.

    Args:
        channel: the child's end of it.
        connect: makes the channel's protocol of what takes its messages and what its end calls.
        make: makes what serves of the first message; what comes before it serves is kept for it.
        start: the class of that message.
        stop: the class of the last one.
    """
    loop = asyncio.get_running_loop()
    started: asyncio.Future[_Start] = loop.create_future()
    stopped: asyncio.Future[None] = loop.create_future()
    served: Served | None = None
    early: list[object] = []

    def on_message(message: object) -> None:
        if isinstance(message, start):
            started.set_result(message)
        elif isinstance(message, stop):
            if not stopped.done():
                stopped.set_result(None)
        elif served is None:
            early.append(message)
        else:
            served.on_message(message)

    channel.setblocking(False)
    _, control = await loop.create_unix_connection(lambda: connect(on_message, lambda: os._exit(1)), sock=channel)
    made = make(await started, control)
    await made.start()
    served = made
    for message in early:
        served.on_message(message)
    await stopped
    await served.aclose()
