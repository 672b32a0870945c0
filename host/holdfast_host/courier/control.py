"""The courier's end of the control channel: JSON lines from and to the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from holdfast_host.wire.control.messages import Message
from holdfast_host.wire.control.protocol import CourierOrder, Ping, Pong, Stop, pack_message, read_for_courier
from holdfast_host.wire.control.starts import CourierStart


class ControlChannel(asyncio.Protocol):
    """Lives as long as the courier; belongs to its loop. Pings end here, all else goes to `on_message`."""

    def __init__(
        self, on_message: Callable[[CourierStart | CourierOrder | Stop], None], on_end: Callable[[], None]
    ) -> None:
        """`on_end` is called when the supervisor is gone."""
        self._on_message = on_message
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._partial = b""

    def send(self, message: Message) -> None:
        """Send one message."""
        if self._transport is not None:
            self._transport.write(pack_message(message))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The channel is up."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Cut into lines."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            message = read_for_courier(line)
            if isinstance(message, Ping):
                self.send(Pong(message.id))
            else:
                self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The supervisor is gone."""
        self._transport = None
        self._on_end()
