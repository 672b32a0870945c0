"""The front's end of the control channel: what the supervisor tells, and requests to its registry."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import cast

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.wire.control.messages import Message
from holdfast_host.wire.control.operations import AnyOperation
from holdfast_host.wire.control.protocol import (
    Answer,
    FrontNews,
    Ping,
    Pong,
    Progress,
    Request,
    Stop,
    ToFront,
    Withdraw,
    pack_message,
    read_for_front,
)
from holdfast_host.wire.control.starts import FrontStart

OnProgress = Callable[[str], None]


class ControlChannel(asyncio.Protocol):
    """JSON lines to and from the supervisor. Lives as long as the front; belongs to its event loop.

    Answers and progress of our requests end here, as do pings; all else goes to `on_message`. `on_end` is called when
    the supervisor is gone.
    """

    def __init__(self, on_message: Callable[[FrontStart | FrontNews | Stop], None], on_end: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[asyncio.Future[JsonObject], OnProgress | None]] = {}
        self._transport: asyncio.Transport | None = None
        self._partial = b""

    def send(self, message: Message) -> None:
        """Send one message."""
        if self._transport is not None:
            self._transport.write(pack_message(message))

    async def request(
        self,
        operation: AnyOperation,
        on_progress: OnProgress | None = None,
        withdrawn: asyncio.Future[None] | None = None,
    ) -> JsonObject:
        """Ask the registry to do something; returns its result when it is done, however long that takes.

        Args:
            operation: what, and with which arguments.
            on_progress: called with each stage.
            withdrawn: done when nobody wants it any more; what has not begun then does not.

        Raises:
            HoldfastError: as the supervisor answered.
        """
        number = next(self._ids)
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._asked[number] = (answer, on_progress)
        if withdrawn is not None:
            withdrawn.add_done_callback(lambda _: self.send(Withdraw(number)))
        try:
            self.send(Request(number, operation))
            return await answer
        finally:
            self._asked.pop(number, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The channel is up."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Cut into lines."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._receive(read_for_front(line))

    def connection_lost(self, exc: Exception | None) -> None:
        """The supervisor is gone."""
        self._transport = None
        for answer, _ in self._asked.values():
            if not answer.done():
                answer.set_exception(HostUnavailableError("the host is stopping: the outcome is unknown"))
        self._on_end()

    def _receive(self, message: ToFront) -> None:
        match message:
            case Ping():
                self.send(Pong(message.id))
            case Progress():
                answer, on_progress = self._asked.get(message.id, (None, None))
                if answer is not None and not answer.done() and on_progress is not None:
                    on_progress(message.stage)
            case Answer():
                self._settle(message)
            case _:
                self._on_message(message)

    def _settle(self, message: Answer) -> None:
        answer, _ = self._asked.get(message.id, (None, None))
        if answer is None or answer.done():
            return  # whoever asked is gone
        if message.error is None:
            answer.set_result(message.result)
        else:
            answer.set_exception(message.error.to_error())
