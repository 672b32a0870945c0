"""Waiting for descriptors: one epoll for all of the leader's."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES: Final = 1 << 18  # what one read of a socket takes at most


@leaders
class Poller:
    """One epoll for every descriptor of the leader; level-triggered, so that the monitor can look without taking."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` when the descriptor is readable."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def change(self, fd: int, *, reading: bool, writing: bool) -> None:
        """Wait for what is asked."""
        self._epoll.modify(fd, (select.EPOLLIN if reading else 0) | (select.EPOLLOUT if writing else 0))

    def remove(self, fd: int) -> None:
        """Forget the descriptor; before it is closed."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def run(self, timeout_s: float) -> None:
        """Wait at most so long and call the handlers of what is ready."""
        for fd, events in self._epoll.poll(timeout_s):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)

    @any_thread
    def anything_ready(self) -> bool:
        """True when a descriptor is ready now (monitor)."""
        return bool(self._epoll.poll(0, 1))
