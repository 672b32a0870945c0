"""Calls that a worker has not begun, for another one owns the instance: they are sent to who owns it by now.

That may take a moment, in which nobody does: a table comes when its owners serve. So each is sent again and again, at
most `resend_timeout_s` after it was moved first.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError, HostUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast_host.core.limits import Limits
    from holdfast_host.front.worker_link import WorkerLink
    from holdfast_host.wire.calls.window import PendingCall
    from holdfast_host.wire.control.routing import RouteBook, Routing

AGAIN_S: Final = 0.02


class MovedCalls:
    """Those of one front; for its loop."""

    def __init__(self, book: RouteBook, links: Sequence[WorkerLink], limits: Limits) -> None:
        self._book = book
        self._links = links
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._waiting: list[PendingCall] = []
        self._timer: asyncio.TimerHandle | None = None
        for link in links:
            link.on_moved = self.add

    def add(self, call: PendingCall) -> None:
        """A worker has not begun it, and does not own its instance."""
        call.moved_at = call.moved_at or self._loop.time()
        self._waiting.append(call)
        if self._timer is None:
            self._timer = self._loop.call_later(AGAIN_S, self._send)

    def take(self, table: Routing) -> None:
        """Another table: what waits for a worker that does not own it any more goes to who does."""
        if not self._book.take(table):
            return
        for number, link in enumerate(self._links):
            for call in link.take_back_unbegun(partial(self._is_elsewhere, number)):
                self.add(call)
        if self._timer is not None:
            self._timer.cancel()
            self._send()

    def close(self) -> None:
        """The front ends; so do its links, and all that waits."""
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            _fail(call, HostUnavailableError("the host is stopping; the call has not begun"))

    def _is_elsewhere(self, worker: int, partition: int) -> bool:
        return self._owner(partition) != worker

    def _owner(self, partition: int) -> int:
        return self._book.owners[partition]

    def _send(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            if call.receiver.done():
                continue
            waited_s = self._loop.time() - call.moved_at
            try:
                if waited_s > self._limits.resend_timeout_s:
                    raise HostUnavailableError(f"no worker has owned the instance for {waited_s:.1f} s: not begun")
                self._links[self._owner(call.partition)].send_again(call)
            except HoldfastError as error:
                _fail(call, error)


def _fail(call: PendingCall, error: HoldfastError) -> None:
    if not call.receiver.done():
        call.receiver.set_exception(error)
