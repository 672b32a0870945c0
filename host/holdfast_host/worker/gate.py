"""The output gate and the groups: what leaves an instance waits for the writes it depends on.

Every turn's batch joins the current group; a group commits in one transaction and one sync, one group at a time.
Whatever leaves an instance - a reply, an error, a call, the end of a `sync()` - goes through `leave`, the one door, and
is held until the group that the instance last wrote to is settled. A group that is lost for an instance fails what that
instance holds, and what its later turns built on it.

All of it is the leader's. Nothing here waits, commits or knows sockets: `take` says what to commit, `settle` is told
how it went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast_host.core.errors import ActorOutputGateError, HoldfastError
from holdfast_host.storage.store import Batch, Changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.worker.entry import Entry


class Exit(Protocol):
    """Something that waits to leave."""

    def go(self) -> None:
        """It may leave: everything that it depends on is durable."""

    def fail(self, error: HoldfastError) -> None:
        """It must not leave; whoever waits for it gets the error."""


class Breakable(Protocol):
    """A turn, as far as the gate is concerned: broken once writes that it may have read are lost."""

    broken: HoldfastError | None


class Group:
    """What commits together."""

    __slots__ = ("batches", "bytes", "entries", "held", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.batches: list[Batch] = []
        self.entries: dict[Entry, None] = {}
        self.held: list[tuple[Entry, Exit]] = []
        self.bytes = 0

    def __repr__(self) -> str:
        """The group's state in one line."""
        return f"<Group {self.number} batches={len(self.batches)} held={len(self.held)}>"


class Gate:
    """The groups of one worker: one that gathers, at most one in flight; all before are settled."""

    def __init__(self, settled: int) -> None:
        """Number groups from the one after `settled`, the last that any of the worker's partitions reached."""
        self.settled = settled
        self.current = Group(settled + 1)
        self.flight: Group | None = None

    def add(self, entry: Entry, changes: Changes) -> int:
        """Put a turn's changes into the current group; its number."""
        group = self.current
        group.batches.append(Batch(entry.stored, changes))
        group.entries[entry] = None
        group.bytes += changes.size_bytes
        entry.last_group = group.number
        entry.pending.add(changes, group.number)
        return group.number

    def leave(self, entry: Entry, turn: Breakable | None, leaving: Exit) -> None:
        """Let it out now, or when the instance's last group is settled; fail it now where the turn is broken."""
        if turn is not None and turn.broken is not None:
            leaving.fail(turn.broken)
        elif entry.last_group <= self.settled:
            leaving.go()
        elif entry.last_group == self.current.number:
            self.current.held.append((entry, leaving))
        else:
            assert self.flight is not None
            self.flight.held.append((entry, leaving))

    def take(self) -> Group | None:
        """The group to commit now; None while another is in flight or nothing is gathered."""
        if self.flight is not None or not self.current.batches:
            return None
        group = self.flight = self.current
        self.current = Group(group.number + 1)
        return group

    def settle(self, group: Group, lost: Mapping[Entry, HoldfastError]) -> None:
        """The group is durable but for the lost entries' batches, of which nothing is."""
        assert group is self.flight
        self.flight = None
        self.settled = group.number
        failed = self._forget(lost) if lost else []
        for entry in group.entries:
            if entry not in lost:
                entry.pending.settle(group.number)
        for entry, leaving in group.held:
            if entry in lost:
                leaving.fail(lost[entry])
            else:
                leaving.go()
        for entry, leaving in failed:
            leaving.fail(ActorOutputGateError(f"{entry.label}: an earlier turn's writes were lost"))

    def abandon(self, error: HoldfastError) -> None:
        """The store is broken: everything that is held fails, nothing more can be committed."""
        groups = [group for group in (self.flight, self.current) if group is not None]
        for group in groups:
            held, group.held = group.held, []
            for _, leaving in held:
                leaving.fail(error)

    def _forget(self, lost: Mapping[Entry, HoldfastError]) -> list[tuple[Entry, Exit]]:
        """Take what the lost entries have in the current group out of it; the exits that must fail for it."""
        group = self.current
        stored = {id(entry.stored) for entry in lost}
        group.batches = [batch for batch in group.batches if id(batch.instance) not in stored]
        failed = [(entry, leaving) for entry, leaving in group.held if entry in lost]
        group.held = [(entry, leaving) for entry, leaving in group.held if entry not in lost]
        for entry, error in lost.items():
            group.entries.pop(entry, None)
            entry.pending.clear()
            entry.last_group = 0
            if entry.turn is None:
                entry.deactivate()
            else:
                entry.turn.broken = ActorOutputGateError(
                    f"{entry.label}: writes that this turn may have read were lost: {error.message}"
                )
        return failed
