"""The leader's loop: frames in, turns, one commit, replies out - and while it syncs, the next frames gather.

The worker's tables belong to the leader; see `threads.leadership` for how that changes hands.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.commits.committer import Committer
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.commits.replies import Replies
    from holdfast_host.worker.commits.sweeper import Sweeper
    from holdfast_host.worker.housekeeping import Housekeeping
    from holdfast_host.worker.inspection.slow_turns import SlowTurns
    from holdfast_host.worker.jobs.timers import Timers
    from holdfast_host.worker.running.executor import Executor
    from holdfast_host.worker.running.loads import Loads
    from holdfast_host.worker.sockets.reception import Sockets
    from holdfast_host.worker.threads.inbox import Inbox
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.threads.poller import Poller
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn

_POLL_S: Final = 1.0


@leaders
@dataclass(eq=False, kw_only=True)
class Loop:
    """The rounds of one worker; lives as long as the process."""

    limits: Limits
    leadership: Leadership
    inbox: Inbox
    poller: Poller
    mailboxes: Mailboxes
    timers: Timers
    sockets: Sockets
    executor: Executor
    loads: Loads | None  # of a store that reads several instances in one question
    gate: Gate
    committer: Committer
    sweeper: Sweeper
    replies: Replies
    slow_turns: SlowTurns
    housekeeping: Housekeeping
    running: Collection[Turn]  # the turns that run
    _draining: Callable[[], None] | None = field(default=None, init=False)

    @any_thread
    def anything_waits(self) -> bool:
        """True when a leader would have something to do now (monitor)."""
        if self.mailboxes.anything_ready() or self.inbox.actions or self.replies.anything_unsent():
            return True
        if self.committer.anything_gathered() or self.timers.is_due() or self.sockets.is_due():
            return True
        if self.loads is not None and self.loads.anything_unsent():
            return True
        return self.poller.anything_ready()

    def lead(self, generation: int) -> None:
        """Round after round, until the leadership is lost."""
        leadership, poller, mailboxes, actions = self.leadership, self.poller, self.mailboxes, self.inbox.actions
        sweeper, timers, committer, replies = self.sweeper, self.timers, self.committer, self.replies
        housekeeping, sockets, gate, loads = self.housekeeping, self.sockets, self.gate, self.loads
        while sweeper.run(generation):
            leadership.busy = True
            while actions:
                actions.popleft()()
            if not timers.release(generation) or not (sockets.at_rest or sockets.release(generation)):
                return
            if not self._run_round(generation):
                return
            if loads is not None:
                loads.send()
            replies.flush()
            if not committer.run(generation):
                return
            replies.flush()
            now = time.monotonic()
            if now >= housekeeping.due_at and not housekeeping.run(generation, now):
                return
            if self._draining is not None:
                self._check_drained(self._draining)
            waiting = (mailboxes.anything_ready() and not gate.is_full) or bool(actions)
            leadership.busy = waiting
            wait_s = 0.0 if waiting else timers.wait_s(_POLL_S)
            poller.run(sweeper.wait_s(wait_s if sockets.at_rest else sockets.wait_s(wait_s)) if wait_s else 0)

    def drain(self, on_drained: Callable[[], None]) -> None:
        """Refuse what has not begun; call back when no turn runs and the groups are settled."""
        self.mailboxes.draining = True
        self._draining = on_drained

    @property
    def is_settled(self) -> bool:
        """True while no turn runs or could begin, no body goes on, and all groups are settled."""
        unsettled = not self.committer.all_settled or self.leadership.detached
        mailboxes = self.mailboxes
        goes_on = mailboxes.anything_ready() or mailboxes.anything_held_back
        goes_on = goes_on or self.executor.functions.bodies.anything_open
        return not (self.running or goes_on or unsettled)

    def _run_round(self, generation: int) -> bool:
        """One turn of each ready instance, until the round is long enough. False: the leadership is lost."""
        mailboxes, executor, limits, gate, loads = self.mailboxes, self.executor, self.limits, self.gate, self.loads
        started = now = time.monotonic()
        if gate.is_full:
            return True
        while (turn := mailboxes.next_turn()) is not None:
            if loads is not None and loads.hold_back(turn):
                continue
            if not executor.run(turn, generation, now):
                return False
            now = time.monotonic()
            if now - started > limits.round_s or gate.current.bytes > limits.round_batch_bytes:
                self.slow_turns.ended(turn)
                break
        return True

    def _check_drained(self, on_drained: Callable[[], None]) -> None:
        if self.is_settled:
            self._draining = None
            on_drained()
