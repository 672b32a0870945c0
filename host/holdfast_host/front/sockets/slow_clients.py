"""Clients that do not take what they are sent, and messages that do not come to an end: what both may hold here.

Who has a megabyte untaken and takes nothing for ten seconds is cut, as is who has sixteen. All of them together have a
bound too: past it, who has waited longest without taking anything goes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from holdfast_host.front.sockets.protocol import TRY_AGAIN

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.front.sockets.client import ClientSocket, WebSocketClient

_LOOK_S: Final = 1.0


class SlowClients:
    """The sockets of a front whose clients are behind. For its loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        # What is left, and when it last became less; who has waited longest for that comes first.
        self._behind: dict[ClientSocket, tuple[int, float]] = {}
        self._looking: asyncio.TimerHandle | None = None
        self.unsent_bytes = 0
        self.cut = 0

    def watch(self, socket: ClientSocket) -> None:
        """Its client takes less than it is sent."""
        left = socket.unsent_bytes
        self._behind[socket] = (left, self._loop.time())
        self.unsent_bytes += left
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_S, self._look)

    def grew(self, socket: ClientSocket) -> None:
        """More was written to it, behind what its client has not taken."""
        before, moved_at = self._behind[socket]
        left = socket.unsent_bytes
        self._behind[socket] = (left, moved_at)
        self.unsent_bytes += left - before
        if left > self._limits.socket_unsent_bytes_max:
            self._cut(
                socket, f"{left} bytes are sent and not taken, the limit is {self._limits.socket_unsent_bytes_max}"
            )
        elif self.unsent_bytes > self._limits.front_untaken_bytes_max:
            self._shed()

    def forget(self, socket: ClientSocket) -> None:
        """It has taken most of it, or is gone."""
        left, _ = self._behind.pop(socket, (0, 0.0))
        self.unsent_bytes -= left

    def _look(self) -> None:
        self._looking = None
        now, limits = self._loop.time(), self._limits
        for socket, (before, moved_at) in list(self._behind.items()):
            left = socket.unsent_bytes
            self.unsent_bytes += left - before
            if left < before:
                del self._behind[socket]
                self._behind[socket] = (left, now)
            else:
                self._behind[socket] = (left, moved_at)
            if left >= limits.socket_untaken_bytes_max and left >= before and now - moved_at >= limits.socket_untaken_s:
                self._cut(socket, f"{left} bytes are not taken for {limits.socket_untaken_s:g} s")
        if self.unsent_bytes > limits.front_untaken_bytes_max:
            self._shed()
        if self._behind:
            self._looking = self._loop.call_later(_LOOK_S, self._look)

    def _shed(self) -> None:
        """Cut who has taken nothing for longest, until the rest fits."""
        while self._behind and self.unsent_bytes > self._limits.front_untaken_bytes_max:
            self._cut(next(iter(self._behind)), "the host has too much that its clients do not take")

    def _cut(self, socket: ClientSocket, why: str) -> None:
        self.forget(socket)
        self.cut += 1
        socket.cut(TRY_AGAIN, why)


class UnreadMessages:
    """What lies here of messages that are not whole, or are not given to a worker yet. For the front's loop."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._holding: dict[WebSocketClient, None] = {}  # in the order in which they began
        self.held_bytes = 0
        self.cut = 0

    def count(self, socket: WebSocketClient, held_bytes: int) -> None:
        """So much of a socket's is here now."""
        before = socket.held_bytes
        if held_bytes == before:
            return
        socket.held_bytes = held_bytes
        self.held_bytes += held_bytes - before
        if not held_bytes:
            del self._holding[socket]
            return
        self._holding[socket] = None
        while self.held_bytes > self._bytes_max and self._holding:
            oldest = next(iter(self._holding))
            self.cut += 1
            oldest.cut(TRY_AGAIN, f"more than {self._bytes_max} bytes of messages are not whole on this host")
