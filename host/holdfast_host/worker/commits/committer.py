"""Committing: the current group in one transaction and one sync, and what follows once it is settled.

While a group is in flight the next one gathers: group commit without a timer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import ActorOutputGateError
from holdfast_host.core.failures import required
from holdfast_host.storage.store import OwnerLostError, StoreBrokenError
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.store import Changes, CommitReport, Store
    from holdfast_host.worker.commits.gate import Gate, Group
    from holdfast_host.worker.commits.replies import Replies
    from holdfast_host.worker.commits.sweeper import Sweeper
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.sync_exit import SyncExit
    from holdfast_host.worker.turns.turn import Turn

HOLD_MAX_S: Final = 5.0  # a backup's cut takes milliseconds


@leaders
@dataclass(eq=False, kw_only=True)
class Committer:
    """The commits of one worker, one at a time."""

    store: Store
    leadership: Leadership
    gate: Gate
    sweeper: Sweeper  # a store does one of the two at a time
    replies: Replies
    measures: Measures
    on_settled: Callable[[Group, Mapping[Entry, HoldfastError]], None]  # what was lost; after the gate has let all out
    on_broken_store: Callable[[StoreBrokenError], None]  # ends the process: no commit's outcome is known any more
    commits: int = field(default=0, init=False)
    _held_until: float = field(default=0.0, init=False)  # nothing is committed before; by the monotonic clock
    _on_held: Callable[[], None] | None = field(default=None, init=False)  # waits for the commit in flight

    def __post_init__(self) -> None:
        """What each section is given is bound once."""
        self._work, self._follow = self._write, self._settle
        self._later = self.store.settles_later

    def run(self, generation: int) -> bool:
        """Commit the current group, unless one or a sweep is in flight. False: the leadership is lost."""
        group = None if self.sweeper.running or self._held_until else self.gate.take()
        if group is None:
            return True
        self.measures.commit_began_at = began_at = time.monotonic()
        if self._later:  # nothing waits for it but what it holds
            self.store.commit(group.number, group.batches, group.stored_leans())
            return True
        return self.leadership.in_section(generation, began_at, group, self._work, self._follow)

    def settled(self, report: CommitReport) -> None:
        """The group in flight is durable, but for what the report says (a store that settles later)."""
        group = required(self.gate.flight, "the group in flight")
        group.confirmed = report.confirmed
        self._settle(group, report)

    def request_sync(self, turn: Turn, changes: Changes, leaving: SyncExit) -> None:
        """Commit what a waiting turn has written so far, and let it go on then."""
        if turn.broken is None and changes:
            self.gate.add(turn.entry, changes)
        self.gate.leave(turn.entry, turn, leaving)

    def break_off(self, error: StoreBrokenError) -> None:
        """The store is broken: what is held fails, and is told so before the process ends.

        Where a successor will know what became of it, nobody is told anything.
        """
        if not isinstance(error, OwnerLostError):
            self.gate.abandon(ActorOutputGateError("the storage failed while committing: the outcome is unknown"))
            self.replies.flush()
        self.on_broken_store(error)

    def hold(self, then: Callable[[], None]) -> None:
        """Commit no further group, for some seconds at most; `then()` when none is in flight."""
        self._held_until = time.monotonic() + HOLD_MAX_S
        self._on_held = then
        self._tell_held()

    def release(self) -> bool:
        """Commit again; whether nothing was committed since `hold`."""
        was_held, self._held_until, self._on_held = self._held_until > 0, 0.0, None
        return was_held

    def keep_house(self, now: float) -> None:
        """Whoever had commits held back is late, and what waits for them has waited long enough."""
        if 0 < self._held_until < now:
            self.release()

    def _tell_held(self) -> None:
        if self._on_held is not None and self.gate.flight is None:
            then, self._on_held = self._on_held, None
            then()

    @any_thread
    def anything_gathered(self) -> bool:
        """Whether `run` has something to do (monitor)."""
        gate = self.gate
        return gate.flight is None and not self.sweeper.running and not self._held_until and gate.anything_gathered

    @property
    def all_settled(self) -> bool:
        """Whether everything that was written is durable, or lost, and told so."""
        return self.gate.flight is None and not self.gate.anything_gathered

    def in_flight_s(self, now: float) -> float:
        """For how many seconds the commit in flight, or the sweep, has been so; 0 where there is none."""
        in_flight = self.gate.flight is not None or self.sweeper.running
        return now - self.measures.commit_began_at if in_flight else 0.0

    def _write(self, group: Group) -> CommitReport:
        """Make it durable, in a section."""
        return required(self.store.commit(group.number, group.batches, group.stored_leans()), "a commit's report")

    def _settle(self, group: Group, report: CommitReport) -> None:
        self.commits += 1
        self.sweeper.wait()
        self.measures.committed(len(group.batches))
        lost: dict[Entry, HoldfastError] = {}
        if report.lost:
            lost = {entry: report.lost[id(entry.stored)] for entry in group.entries if id(entry.stored) in report.lost}
        self.on_settled(group, self.gate.settle(group, lost))
        if self._on_held is not None:
            self._tell_held()
