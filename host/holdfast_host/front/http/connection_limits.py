"""Which connections may stay: a bound on all of them, and on the time that the head of a request may take.

Connections that only wait cost a descriptor each. When there is no room for another, the one that has waited longest
goes; those whose requests are being served stay. A new connection's first head is to come at once; a kept one may be
idle for the keep-alive time, but a head that it begins has no more time than the first.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Final, Protocol

HEAD_S: Final = 10.0  # for a request's head: from the connection, or from the first byte on a kept one
CONNECTIONS_MAX: Final = 10_000
_SPARE_DESCRIPTORS: Final = 256  # links, uploads, logs, the control channel
_SWEEP_S: Final = 1.0


class Closable(Protocol):
    """A connection, as far as this module is concerned."""

    @property
    def heads(self) -> int:
        """How many requests' heads have come."""

    def force_close(self) -> None:
        """Close it when what was written is sent."""

    def abort(self) -> None:
        """Close it now."""


def allow_descriptors(sockets_max: int) -> tuple[int, int]:
    """Raise this process's limit of open files as far as it goes, for connections and for so many sockets besides.

    Returns:
        How many of each there is room for; where files are few, each has half of them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + sockets_max + _SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX, sockets_max
    room = max(32, soft - _SPARE_DESCRIPTORS)
    connections = min(CONNECTIONS_MAX, max(room // 2, room - sockets_max))
    return connections, min(sockets_max, room - connections)


class ConnectionLimits:
    """The connections of one front. For its loop."""

    def __init__(self, connections_max: int, head_s: float = HEAD_S) -> None:
        self._connections_max = connections_max
        self._head_s = head_s
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None
        self._heads: dict[Closable, tuple[int, float]] = {}  # coming in: which, and when its time is over
        self.live: dict[Closable, None] = {}  # in order of arrival
        self.busy: set[Closable] = set()  # their requests are being served
        self.closed_for_room = 0

    def add(self, connection: Closable) -> None:
        """A new one; another goes where there is no room."""
        if len(self.live) >= self._connections_max:
            waiting = next((each for each, (number, _) in self._heads.items() if each.heads == number), None)
            if waiting is None:
                waiting = next((each for each in self.live if each not in self.busy), connection)
            self.closed_for_room += 1
            self._loop.call_soon(waiting.force_close)
            self.live.pop(waiting, None)
            self._heads.pop(waiting, None)
            if waiting is connection:
                return
        self.live[connection] = None
        self.expect_head(connection)

    def expect_head(self, connection: Closable) -> None:
        """Its next head is to come from now on; for one that is expected already nothing changes."""
        expected = self._heads.get(connection)
        if connection not in self.live or (expected is not None and expected[0] == connection.heads):
            return
        self._heads[connection] = (connection.heads, self._loop.time() + self._head_s)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(min(_SWEEP_S, self._head_s), self._sweep)

    def discard(self, connection: Closable) -> None:
        """It is closed."""
        self.live.pop(connection, None)
        self._heads.pop(connection, None)

    def close(self) -> None:
        """Watch no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep(self) -> None:
        """Close what has sent no whole head in time."""
        self._sweeping = None
        now = self._loop.time()
        for connection, (number, due) in list(self._heads.items()):
            if connection.heads > number:
                del self._heads[connection]
            elif due <= now:
                del self._heads[connection]
                connection.force_close()
        if self._heads:
            self._sweeping = self._loop.call_later(min(_SWEEP_S, self._head_s), self._sweep)
