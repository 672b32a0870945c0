"""Which connections may stay: a bound on all of them, and on the time until a client has sent its first request.

Connections that only wait cost a descriptor each. When there is no room for another, the one that has waited longest
goes; those whose requests are being served stay. A kept connection that sends nothing, or half a head, ends with the
keep-alive time, whatever it sends.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Final, Protocol

HEAD_S: Final = 10.0  # from the connection to the end of its first request's head
CONNECTIONS_MAX: Final = 10_000
_SPARE_DESCRIPTORS: Final = 256  # links, uploads, logs, the control channel
_SWEEP_S: Final = 1.0


class Closable(Protocol):
    """A connection, as far as this module is concerned."""

    @property
    def served(self) -> bool:
        """Whether its first request's head has come."""

    def force_close(self) -> None:
        """Close it now."""


def allow_descriptors() -> int:
    """Raise this process's limit of open files as far as it goes; how many connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + _SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(16, min(CONNECTIONS_MAX, soft - _SPARE_DESCRIPTORS))


class Connections:
    """The connections of one front. For its loop."""

    def __init__(self, connections_max: int, head_s: float = HEAD_S) -> None:
        self._connections_max = connections_max
        self._head_s = head_s
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None
        self._young: dict[Closable, float] = {}  # not served yet: when its time is over; in order of arrival
        self.live: dict[Closable, None] = {}  # in order of arrival
        self.busy: set[Closable] = set()  # their requests are being served
        self.closed_for_room = 0

    def add(self, connection: Closable) -> None:
        """A new one; another goes where there is no room."""
        if len(self.live) >= self._connections_max:
            waiting = next((each for each in self._young if not each.served), None)
            if waiting is None:
                waiting = next((each for each in self.live if each not in self.busy), connection)
            self.closed_for_room += 1
            self._loop.call_soon(waiting.force_close)
            self.live.pop(waiting, None)
            self._young.pop(waiting, None)
            if waiting is connection:
                return
        self.live[connection] = None
        self._young[connection] = self._loop.time() + self._head_s
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(min(_SWEEP_S, self._head_s), self._sweep)

    def discard(self, connection: Closable) -> None:
        """It is closed."""
        self.live.pop(connection, None)
        self._young.pop(connection, None)

    def close(self) -> None:
        """Watch no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep(self) -> None:
        """Close what has sent no request in time."""
        self._sweeping = None
        now = self._loop.time()
        for connection, due in list(self._young.items()):
            if connection.served:
                del self._young[connection]
            elif due <= now:
                del self._young[connection]
                connection.force_close()
        if self._young:
            self._sweeping = self._loop.call_later(min(_SWEEP_S, self._head_s), self._sweep)
