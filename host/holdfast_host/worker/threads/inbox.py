"""What other threads have the leader do: a deque, and a descriptor that wakes it."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.worker.threads.poller import Poller


@leaders
class Inbox:
    """The actions that wait for the leader of one worker."""

    def __init__(self, poller: Poller) -> None:
        self.actions: deque[Callable[[], None]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        poller.add(self._wake_fd, self._woken)

    @any_thread
    def post(self, action: Callable[[], None]) -> None:
        """Have the leader run this soon."""
        self.actions.append(action)
        os.eventfd_write(self._wake_fd, 1)

    def _woken(self, events: int) -> None:
        os.eventfd_read(self._wake_fd)
