"""The front's end of the control channel: what the supervisor tells, and requests to its registry."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast

from holdfast_host.core.errors import HoldfastError, HostUnavailableError
from holdfast_host.wire.control import pack_message, unpack_message

Message = dict[str, Any]


class ControlChannel(asyncio.Protocol):
    """JSON lines to and from the supervisor. Lives as long as the front; belongs to its event loop.

    Answers and progress of our requests end here, as do pings; all else goes to `on_message`. `on_end` is called when
    the supervisor is gone.
    """

    def __init__(self, on_message: Callable[[Message], None], on_end: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[asyncio.Future[Any], Callable[[Message], None] | None]] = {}
        self._transport: asyncio.Transport | None = None
        self._partial = b""

    def send(self, kind: str, **facts: Any) -> None:
        """Send one message."""
        if self._transport is not None:
            self._transport.write(pack_message(kind, **facts))

    async def request(
        self,
        operation: str,
        arguments: Message,
        on_progress: Callable[[Message], None] | None = None,
        withdrawn: asyncio.Future[None] | None = None,
    ) -> Any:
        """Ask the registry to do something; returns its result when it is done, however long that takes.

        Args:
            operation: "deploy", "functions", "function", "delete" or "rollback".
            arguments: the operation's own facts.
            withdrawn: done when nobody wants it any more; what has not begun then does not.
            on_progress: called with each `progress` message's facts, without `kind` and `id`.

        Raises:
            HoldfastError: as the supervisor answered.
        """
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = (answer, on_progress)
        if withdrawn is not None:
            withdrawn.add_done_callback(lambda _: self.send("withdraw", id=number))
        try:
            self.send("request", id=number, operation=operation, arguments=arguments)
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
            self._receive(unpack_message(line))

    def connection_lost(self, exc: Exception | None) -> None:
        """The supervisor is gone."""
        self._transport = None
        for answer, _ in self._asked.values():
            if not answer.done():
                answer.set_exception(HostUnavailableError("the host is stopping: the outcome is unknown"))
        self._on_end()

    def _receive(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "ping":
            self.send("pong", id=message["id"])
        elif kind in {"answer", "progress"}:
            answer, on_progress = self._asked.get(message["id"], (None, None))
            if answer is None or answer.done():
                return  # whoever asked is gone
            if kind == "answer":
                _settle(answer, message)
            elif on_progress is not None:
                on_progress({name: value for name, value in message.items() if name not in {"kind", "id"}})
        else:
            self._on_message(message)


def _settle(answer: asyncio.Future[Any], message: Message) -> None:
    error = message.get("error")
    if error is None:
        answer.set_result(message.get("result"))
    else:
        answer.set_exception(HoldfastError.from_facts(error))
