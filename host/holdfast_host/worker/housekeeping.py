"""What the leader does now and then: expire, evict, reconnect, look at the worker's health."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdfast_host.worker.calls.actor_calls import Calls
    from holdfast_host.worker.calls.courier_link import CourierLink
    from holdfast_host.worker.calls.peers import Peers
    from holdfast_host.worker.commits.committer import Committer
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.health import Health
    from holdfast_host.worker.inspection.slow_turns import SlowTurns
    from holdfast_host.worker.jobs.triggers import Triggers
    from holdfast_host.worker.shards import Shards
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.function_pool import Functions
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn

HOUSEKEEPING_S: Final = 0.25


@leaders
@dataclass(eq=False, slots=True, kw_only=True)
class Housekeeping:
    """The housekeeping of one worker."""

    mailboxes: Mailboxes
    directory: Directory
    functions: Functions
    gate: Gate
    committer: Committer
    peers: Peers
    courier: CourierLink
    health: Health
    slow_turns: SlowTurns
    triggers: Triggers
    calls: Calls
    shards: Shards | None  # of a store that several share
    running: Collection[Turn]  # the turns that run
    due_at: float = field(default=0.0, init=False)  # by the monotonic clock

    def run(self, generation: int, now: float) -> bool:
        """A little of it; the rest of what is long follows in the next rounds. False: the leadership is lost."""
        settled = self.gate.settled
        self.due_at = now + HOUSEKEEPING_S
        for turn in self.running:
            self.mailboxes.expire(turn.entry, now)
        for entry in self.mailboxes.held_back.values():
            self.mailboxes.expire(entry, now)
        self.slow_turns.look(self.running, now)
        if self.directory.evict_idle(now, settled):
            self.due_at = now
        self.calls.send_again()
        if self.shards is not None:
            self.due_at = min(self.due_at, self.shards.keep_house(now))
        self.committer.keep_house(now)
        self.peers.keep_house(now)
        self.courier.keep_house(now)
        self.functions.keep_house(now)
        self.triggers.try_again()
        if self.directory.evict_for_memory(settled):
            self.functions.evict_idle()
        return self.health.look(generation, now)
