"""Deleting, between the groups, what cleared instances have left; a little of it goes with each group anyway.

It begins when no group was committed for a moment, for a client that calls again and again must not wait for a sweep
each time. A sweep runs on a thread that has given the leadership up, so that turns go on meanwhile; a group that is
ready by then waits for it, a few milliseconds, for a store does one commit at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.storage.store import Store
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.mailboxes import Mailboxes

QUIET_S: Final = 0.010


@leaders
class Sweeper:
    """The sweeps of one worker, one at a time."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        mailboxes: Mailboxes,
        leadership: Leadership,
        measures: Measures,
    ) -> None:
        self._store = store
        self._gate = gate
        self._mailboxes = mailboxes
        self._leadership = leadership
        self._measures = measures
        self._quiet_at = 0.0
        self.running = False  # a sweep is on its way; no group may be committed

    def wait(self) -> None:
        """A group was committed: another one may follow."""
        self._quiet_at = time.monotonic() + QUIET_S

    def wait_s(self, most_s: float) -> float:
        """For how long, up to `most_s`, there is nothing to sweep."""
        if self.running or not self._store.has_garbage or self._gate.flight or self._mailboxes.draining:
            return most_s
        return min(most_s, max(0.0, self._quiet_at - time.monotonic()))

    def run(self, generation: int) -> bool:
        """Sweep a piece if it is time to. False: the leadership is lost.

        Called after each look at the sockets: what that brought goes first, and is never kept waiting by two sweeps.
        """
        if self._mailboxes.anything_ready() or self.wait_s(1.0) > 0:
            return True
        self.running = True
        self._measures.commit_began_at = now = time.monotonic()
        return self._leadership.in_section(generation, now, self._store, _sweep, self._end, detached=True)

    def _end(self, store: Store, _: None) -> None:
        self.running = False


def _sweep(store: Store) -> None:
    """In a section."""
    store.sweep()
