"""How long a client may take to send, and how much of what clients send may lie in memory.

A body that comes slowly holds a handler, a connection and memory. It has a deadline that moves with what has come, so
that a slow line passes and a trickle does not; and when the front is to stop, a moment to end. What lies in memory of
bodies that are still coming is counted over all connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from holdfast_host.core.errors import BadRequestError, HoldfastError, HostUnavailableError
from holdfast_host.core.limits import KIB, MIB

Piece = TypeVar("Piece")

BODY_S: Final = 20.0  # until the first byte, and between two
RATE_BYTES_S: Final = 8 * KIB  # below this on average, after BODY_S, it is a trickle
DRAIN_S: Final = 3.0  # for what is still coming when the front is to stop
COMING_BYTES_MAX: Final = 64 * MIB  # of bodies still incomplete, over all connections


class ClientTimeouts:
    """The bodies that are coming in over the connections of one front; for its loop."""

    def __init__(
        self,
        *,
        body_s: float = BODY_S,
        rate_bytes_s: int = RATE_BYTES_S,
        drain_s: float = DRAIN_S,
        coming_bytes_max: int = COMING_BYTES_MAX,
    ) -> None:
        self._body_s = body_s
        self._rate_bytes_s = rate_bytes_s
        self._drain_s = drain_s
        self._coming_bytes_max = coming_bytes_max
        self.waits: set[asyncio.Timeout] = set()
        self._ends_at: float | None = None
        self.coming_bytes = 0

    def end(self) -> None:
        """The front is to stop: what is still coming has a moment left."""
        self._ends_at = asyncio.get_running_loop().time() + self._drain_s
        for wait in self.waits:
            due = wait.when()
            wait.reschedule(self._ends_at if due is None else min(due, self._ends_at))

    def receive(self) -> Coming:
        """A body that begins to come in."""
        return Coming(self)

    def slow_at(self, began_at: float, received_bytes: int) -> float:
        """When the next piece is late, on the loop's clock."""
        now = asyncio.get_running_loop().time()
        due = min(began_at + self._body_s + received_bytes / self._rate_bytes_s, now + self._body_s)
        return due if self._ends_at is None else min(due, self._ends_at)

    def keep(self, count: int) -> None:
        """So many bytes more are in memory, or fewer; HostUnavailableError when they are too many."""
        self.coming_bytes += count
        if count > 0 and self.coming_bytes > self._coming_bytes_max:
            raise HostUnavailableError(
                f"bodies of {self.coming_bytes} bytes are coming in, the limit is {self._coming_bytes_max} bytes over "
                "all connections"
            )

    def late(self) -> HoldfastError:
        """What a client gets that was too slow."""
        if self._ends_at is not None:
            return HostUnavailableError("the host is stopping and the body had not come: nothing was done")
        return BadRequestError(
            f"the body comes too slowly: at least {self._rate_bytes_s} bytes/s are expected, and no pause of "
            f"{self._body_s:g} s",
            status=408,
        )


class Coming:
    """One body on its way in; a context manager for the time of it."""

    def __init__(self, timeouts: ClientTimeouts) -> None:
        self._timeouts = timeouts
        self._began_at = asyncio.get_running_loop().time()
        self._received_bytes = 0
        self._kept_bytes = 0

    def __enter__(self) -> Coming:
        """Itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Its bytes are whole, and somebody else's to count, or gone."""
        self._timeouts.keep(-self._kept_bytes)

    async def next(self, reading: Awaitable[Piece]) -> Piece:
        """What a read of the body returns.

        Raises:
            BadRequestError: (408) it comes too slowly.
            HostUnavailableError: the front stops.
        """
        timeouts = self._timeouts
        try:
            async with asyncio.timeout_at(timeouts.slow_at(self._began_at, self._received_bytes)) as wait:
                timeouts.waits.add(wait)
                try:
                    return await reading
                finally:
                    timeouts.waits.discard(wait)
        except TimeoutError:
            raise timeouts.late() from None

    def count(self, piece_bytes: int) -> None:
        """So much has come."""
        self._received_bytes += piece_bytes

    def keep(self, piece_bytes: int) -> None:
        """So much of it is in memory from now on, whatever it was as it came.

        Raises:
            HostUnavailableError: too much of all bodies is.
        """
        self._kept_bytes += piece_bytes
        self._timeouts.keep(piece_bytes)
