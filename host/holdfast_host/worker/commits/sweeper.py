"""Deleting, between the groups, what cleared instances have left; a little of it goes with each group anyway.

It begins when no group was committed for a moment, for a client that calls again and again must not wait for a sweep
each time. A sweep runs on a thread that has given the leadership up, so that turns go on meanwhile; a group that is
ready by then waits for it, a few milliseconds, for a store does one commit at a time.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.store import StoreBrokenError

if TYPE_CHECKING:
    from holdfast_host.worker.loop import Worker

QUIET_S: Final = 0.010


class Sweeper:
    """The sweeps of one worker, one at a time; the leader's."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._quiet_at = 0.0
        self.running = False  # a sweep is on its way; no group may be committed

    def wait(self) -> None:
        """A group was committed: another one may follow."""
        self._quiet_at = time.monotonic() + QUIET_S

    def wait_s(self, most_s: float) -> float:
        """For how long, up to `most_s`, there is nothing to sweep."""
        worker = self._worker
        if self.running or not worker.store.has_garbage or worker.gate.flight or worker.mailroom.draining:
            return most_s
        return min(most_s, max(0.0, self._quiet_at - time.monotonic()))

    def run(self, generation: int) -> bool:
        """Sweep a piece if it is time to. False: the leadership is lost.

        Called after each look at the sockets: what that brought goes first, and is never kept waiting by two sweeps.
        """
        worker, leadership = self._worker, self._worker.leadership
        if worker.mailroom.anything_ready or self.wait_s(1.0) > 0:
            return True
        self.running = True
        worker.measures.commit_began_at = now = time.monotonic()
        leadership.open_section(now)
        leadership.hand_over(generation)
        try:
            worker.store.sweep()
        except StoreBrokenError as error:
            return worker.find_broken(error, generation)
        worker.post(partial(self._hand_in, generation))
        return False

    def _hand_in(self, generation: int) -> None:
        self.running = False
        self._worker.leadership.handed_in(generation)
