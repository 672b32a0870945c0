"""The output gate and the groups: what leaves an instance waits for the writes it depends on.

Every turn's batch joins the current group; a group commits in one transaction and one sync, one group at a time.
Whatever leaves an instance - a reply, an error, a call, the end of a `sync()` - goes through `leave`, the one door, and
is held until the group that the instance last wrote to is settled. A group that is lost for an instance fails what that
instance holds, and what its later turns built on it.

Between instances of one worker there is another way, for nothing leaves the host there. `answer` gives an answer to the
turn that waits for it at once, and that turn's instance *leans* on the one that answered: from then on it is held back
as that one is, its writes are not committed without that one's, and what is lost for that one is lost for it. Nobody
leans in a circle. `call` lets a call of an instance out that leans on others but has no unsettled writes of its own:
the callee leans on the same ones.

`take` seals a group: what its commit is told does not change any more, whoever reads it and for however long. A group
in flight may still be leaned on. What leans on it since then was written, or held back, later than what is in flight,
so that it means nothing to the commit; it means all to what the same instance does later, which is lost if what it
leans on is.

Nothing here waits, commits or knows sockets: `take` says what to commit, `settle` is told
how it went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.errors import ActorOutputGateError, HoldfastError, InternalError
from holdfast_host.core.failures import required
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.store import Batch, Changes
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.worker.turns.entry import Entry


_Leans = dict["Entry", dict["Entry", None]]  # from the receiver of an answer to those that gave it one

_GIVERS_MAX: Final = 16  # past it a call waits: what all callees together lean on would grow with the square


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
    """What commits together; once it is taken for that, only `late_leans` and the end of `held` may still grow."""

    __slots__ = ("batches", "bytes", "confirmed", "entries", "held", "late_leans", "leans", "number", "sealed_held")

    def __init__(self, number: int) -> None:
        self.number = number
        self.confirmed = True  # once it is settled; see ConfirmingGate
        self.batches: list[Batch] = []
        self.entries: dict[Entry, None] = {}
        self.held: list[tuple[Entry, Exit]] = []
        self.leans: _Leans = {}  # those that the commit is told of
        self.late_leans: _Leans = {}  # since it was taken
        self.sealed_held = 0  # how many exits it held when it was taken
        self.bytes = 0

    def __repr__(self) -> str:
        """The group's state in one line."""
        return f"<Group {self.number} batches={len(self.batches)} held={len(self.held)} leans={len(self.leans)}>"

    def stored_leans(self) -> Leans:
        """The leans as the store knows instances; a function has nothing stored, and nobody leans on it.

        Any thread, once the group is taken.
        """
        if not self.leans:
            return NO_LEANS
        return {
            id(receiver.stored): {id(giver.stored) for giver in givers}
            for receiver, givers in self.leans.items()
            if not receiver.is_function
        }


@leaders
class Gate:
    """The groups of one worker: one that gathers, at most one in flight; all before are settled."""

    def __init__(self, settled: int) -> None:
        """Number groups from the one after `settled`, the last that any of the worker's partitions reached."""
        self.settled = settled
        self.current = Group(settled + 1)
        self.flight: Group | None = None
        self.is_full = False  # so much is gathered behind the group in flight that no further turn may begin

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
            required(self.flight, "the group in flight").held.append((entry, leaving))

    _leave_within = leave  # for another instance of this worker

    def call(self, caller: Entry, turn: Breakable, callee: Entry | None, leaving: Exit) -> None:
        """Let a call out: now, where the caller has nothing unsettled, or has it from others that `callee` can lean on.

        `callee` is None where its turn does not begin at once in this worker: by then it could be lost what the call
        says.
        """
        if turn.broken is None and callee is not None and caller.last_group > self.settled and not caller.pending:
            givers = self._givers(caller)
            if 0 < len(givers) <= _GIVERS_MAX and all(self._may_lean(callee, giver) for giver in givers):
                for giver in givers:
                    self._lean(callee, giver)
                leaving.go()
                return
        self._leave_within(caller, turn, leaving)

    def answer(self, giver: Entry, turn: Breakable, receiver: Entry | None, leaving: Exit) -> None:
        """Let an answer out: now, where `receiver` waits for it and can lean on `giver`.

        `receiver` is None where it is not a turn of this worker that waits.
        """
        if turn.broken is None and receiver is not None and self._may_lean(receiver, giver):
            self._lean(receiver, giver)
            leaving.go()
        else:
            self.leave(giver, turn, leaving)

    def _may_lean(self, receiver: Entry, giver: Entry) -> bool:
        if giver.last_group <= self.settled or receiver is giver:
            return True
        if not receiver.is_function and receiver.stored.partition != giver.stored.partition:
            return False  # two transactions: a crash between them could keep the one without the other
        return receiver.last_group <= self.settled or not self._leans(giver, receiver)

    def _leans(self, receiver: Entry, giver: Entry) -> bool:
        """Whether the one leans on the other, directly or not."""
        seen, ahead = {receiver}, [receiver]
        while ahead:
            for each in self._givers(ahead.pop()):
                if each is giver:
                    return True
                if each not in seen:
                    seen.add(each)
                    ahead.append(each)
        return False

    def _givers(self, receiver: Entry) -> list[Entry]:
        """The instances that this one leans on directly."""
        now, flight = self.current.leans.get(receiver, ()), self.flight
        if flight is None:
            return [*now]
        return [*flight.leans.get(receiver, ()), *flight.late_leans.get(receiver, ()), *now]

    def _lean(self, receiver: Entry, giver: Entry) -> None:
        """Hold back what leaves `receiver` until what `giver` says is durable."""
        number = giver.last_group
        if number <= self.settled or receiver is giver:
            return
        leans = self.current.leans
        if number != self.current.number:
            leans = required(self.flight, "the group in flight").late_leans
        leans.setdefault(receiver, {})[giver] = None
        receiver.last_group = max(receiver.last_group, number)

    @property
    @any_thread
    def anything_gathered(self) -> bool:
        """Whether the current group has something to commit (monitor)."""
        return bool(self.current.batches)

    def take(self) -> Group | None:
        """The group to commit now, sealed; None while another is in flight or nothing is gathered."""
        if self.flight is not None or not self.current.batches:
            return None
        return self._seal()

    def _seal(self) -> Group:
        group = self.flight = self.current
        group.sealed_held = len(group.held)
        self.current = Group(group.number + 1)
        return group

    def settle(self, group: Group, lost: Mapping[Entry, HoldfastError]) -> Mapping[Entry, HoldfastError]:
        """The group is durable but for the lost entries' batches, of which nothing is; all that was lost by that.

        Among those are the instances that lost only what they did since the group was taken: what they have in it is
        durable, and leaves.
        """
        if group is not self.flight:
            raise InternalError(f"{group} was settled, in flight is {self.flight}")
        all_lost = lost
        if lost:
            lost = self._with_leaning(lost, group.leans)
            all_lost = self._with_leaning(lost, group.late_leans, self.current.leans)
        self.flight = None
        self.settled = group.number
        failed = self._forget(all_lost) if all_lost else []
        for entry in group.entries:
            if entry not in all_lost:
                entry.pending.settle(group.number)
        if not all_lost:
            for _, leaving in group.held:
                leaving.go()
        for at, (entry, leaving) in enumerate(group.held if all_lost else ()):
            error = (lost if at < group.sealed_held else all_lost).get(entry)
            if error is None:
                leaving.go()
            else:
                leaving.fail(error)
        for entry, leaving in failed:
            leaving.fail(ActorOutputGateError(f"{entry.label}: an earlier turn's writes were lost"))
        return all_lost

    def abandon(self, error: HoldfastError) -> None:
        """The store is broken: everything that is held fails, nothing more can be committed."""
        groups = [group for group in (self.flight, self.current) if group is not None]
        for group in groups:
            held, group.held = group.held, []
            for _, leaving in held:
                leaving.fail(error)

    def _with_leaning(self, lost: Mapping[Entry, HoldfastError], *leans: _Leans) -> Mapping[Entry, HoldfastError]:
        """The lost and whoever leans on them, directly or not, by these leans."""
        all_lost = dict(lost)
        pairs = [(receiver, giver) for each in leans for receiver, givers in each.items() for giver in givers]
        grew = True
        while grew:
            grew = False
            for receiver, giver in pairs:
                if giver in all_lost and receiver not in all_lost:
                    error = ActorOutputGateError(f"{receiver.label}: what another instance told it was lost")
                    all_lost[receiver] = error
                    grew = True
        return all_lost

    def _forget(self, lost: Mapping[Entry, HoldfastError]) -> list[tuple[Entry, Exit]]:
        """Take what the lost entries have in the current group out of it; the exits that must fail for it."""
        group = self.current
        stored = {id(entry.stored) for entry in lost}
        group.batches = [batch for batch in group.batches if id(batch.instance) not in stored]
        failed = [(entry, leaving) for entry, leaving in group.held if entry in lost]
        group.held = [(entry, leaving) for entry, leaving in group.held if entry not in lost]
        for entry, error in lost.items():
            group.entries.pop(entry, None)
            group.leans.pop(entry, None)
            entry.pending.clear()
            entry.last_group = 0
            if entry.turn is None:
                entry.deactivate()
            else:
                entry.turn.broken = ActorOutputGateError(
                    f"{entry.label}: writes that this turn may have read were lost: {error.message}"
                )
        return failed
