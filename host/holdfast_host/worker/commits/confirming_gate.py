"""The gate over a store that another process may have taken over: what was read leaves behind a confirm.

An instance is read from memory, or by a plain read: both may be the past, for whoever has taken the instance over since
may have written. So whatever leaves is held until a commit that *began after the read* has come back: that locks the
fence in itself, and is refused once there is another owner. A group may have no batches and be only that.

Every turn of an instance may have read. What leaves one is therefore held by the group that gathers, whatever the
instance wrote last. A function reads nothing by itself: it waits for what it was told (`seen_group`). Between instances
of this worker nothing waits for a confirm: caller and callee stand behind one fence, and what leaves either is held.

A confirm cannot be lost for one instance. Where a commit was refused as a whole, those that wrote have lost that; those
that have only read wait for the next one. Nor does what left before an instance wrote anything fail with what it wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.core.limits import MIB
from holdfast_host.storage.store import StoredInstance
from holdfast_host.worker.commits.gate import Exit, Gate, Group
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.store import Changes
    from holdfast_host.worker.commits.gate import Breakable

_GATHERED_BYTES_MAX: Final = 64 * MIB  # far below what one statement may have
_NOBODY: Final = Entry(0, "", StoredInstance(0, 0, b""))  # for what depends on no writes: nothing is lost for it


@leaders
class ConfirmingGate(Gate):
    """The groups of one worker over a store that confirms.

    Attributes:
        confirms: groups that were sent for what they confirm alone.
        refusals: groups that the store has rolled back as a whole.
    """

    def __init__(self, settled: int) -> None:
        super().__init__(settled)
        self.confirms = self.refusals = 0
        self._confirmed = settled  # all that was read before this group was taken was no past
        self._passed = 0  # others have used numbers up to this one

    def pass_group(self, number: int, then: Callable[[], None]) -> None:
        """Give no further group a number that is not above this one; `then()` once none of them may get one.

        What was written under a number of an earlier owner of a shard could not be told from what follows.
        """
        self._passed = max(self._passed, number)
        current = self.current
        if current.number > number:
            then()
        elif current.batches or current.held or current.entries or current.leans or current.late_leans:
            current.held.append((_NOBODY, _Passed(then)))
        else:
            self.current = Group(number + 1)
            then()

    def _seal(self) -> Group:
        group = super()._seal()
        if self.current.number <= self._passed:
            self.current = Group(self._passed + 1)
        return group

    @property
    @any_thread
    def anything_gathered(self) -> bool:
        """Whether there is something to commit or to confirm (monitor)."""
        return bool(self.current.batches or self.current.held)

    def add(self, entry: Entry, changes: Changes) -> int:
        """As over any store; behind a group in flight there is an end to what may gather."""
        number = super().add(entry, changes)
        self.is_full = self.flight is not None and self.current.bytes > _GATHERED_BYTES_MAX
        return number

    def take(self) -> Group | None:
        """The group to commit or to confirm now, sealed; None while another is in flight or nothing is gathered."""
        if self.flight is not None or not (self.current.batches or self.current.held):
            return None
        self.confirms += not self.current.batches
        return self._seal()

    def leave(self, entry: Entry, turn: Breakable | None, leaving: Exit) -> None:
        """Let it out when all that the instance has read and written by now is confirmed and durable."""
        if turn is not None and turn.broken is not None:
            leaving.fail(turn.broken)
            return
        number = max(entry.last_group, entry.seen_group) if entry.is_function else self.current.number
        held_for = entry if entry.last_group > self.settled else _NOBODY
        if number <= self._confirmed:
            leaving.go()
        elif self.flight is not None and self.settled < number <= self.flight.number:
            self.flight.held.append((held_for, leaving))
        else:
            self.current.held.append((held_for, leaving))

    _leave_within = Gate.leave  # caller and callee stand behind one fence

    def settle(self, group: Group, lost: Mapping[Entry, HoldfastError]) -> Mapping[Entry, HoldfastError]:
        """The group is durable but for the lost; where it is not confirmed, what it held waits for the next one."""
        self.is_full = False
        if group.confirmed:
            self._confirmed = group.number
            return super().settle(group, lost)
        self.refusals += 1
        held, group.held = group.held, []
        sealed_lost = self._with_leaning(lost, group.leans)
        all_lost = super().settle(group, lost)
        waiting = []
        for at, (entry, leaving) in enumerate(held):
            error = (sealed_lost if at < group.sealed_held else all_lost).get(entry)
            if error is None:
                waiting.append((entry, leaving))
            else:
                leaving.fail(error)
        self.current.held[:0] = waiting
        return all_lost

    def _lean(self, receiver: Entry, giver: Entry) -> None:
        """Beside what `giver` wrote, hold back what leaves `receiver` until what `giver` has read is confirmed."""
        super()._lean(receiver, giver)
        if receiver.is_function:
            receiver.seen_group = giver.seen_group if giver.is_function else self.current.number


@leaders
class _Passed:
    """Who waits for the end of the last group with a number that others may have used."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def go(self) -> None:
        """It is settled."""
        self._then()

    def fail(self, error: HoldfastError) -> None:
        """The worker ends."""
