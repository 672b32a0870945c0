"""Deliveries: what is due becomes a turn in its instance's mailbox; what became of that turn is written down.

What is due is a row: an instance's alarm, or one of its jobs. A delivery goes through these steps; `stages` says which
may follow which:

1. `release` takes what is due from the timetable and puts a turn into the mailbox, a bounded number at a time; that is
   `dispatch`, the rest is here.
2. `read_row` reads the row again when that turn is taken from the mailbox, in a section like every read of the disk
   here; then the turn stands first in its mailbox as before.
3. `begin` decides: a row that is gone or has moved means that there is nothing to do. An attempt that may have killed a
   worker before (a retry; a row that was due when this worker started) is first written down as *begun*, and runs when
   that is durable.
4. The handler runs. For it the row is gone; its writes and the row's removal are one batch.
5. `end`: where it failed, the row is read again, and a batch of the host's own takes it on: count, next due time,
   error; past the last retry it is abandoned.

A row that says *begun* with no attempt of ours behind it was left by a worker that died in the handler: that counts as
a failure. From then on it is *killed*, and those that are so run one at a time: a poisonous one must not take its
neighbours along into being abandoned.

The host's own batches are made only while no turn of the instance runs, as `Pending` demands. What could not be written
for want of room is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError, HostUnavailableError
from holdfast_host.core.failures import required
from holdfast_host.worker.deliveries.dispatch import Dispatcher
from holdfast_host.worker.deliveries.exits import AGAIN_S, Noted, Written
from holdfast_host.worker.deliveries.retries import after_failure
from holdfast_host.worker.deliveries.stages import UNREAD, Delivery, Stage
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.commits.gate import Gate, Group
    from holdfast_host.worker.deliveries.stages import Row
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn import Turn

_CROWDED_S: Final = 0.1
_DELIVERY: Final = "the delivery of a turn"


@leaders
@dataclass(eq=False, kw_only=True)
class Deliveries(Dispatcher):
    """The deliveries of one kind of one worker; what is of that kind alone is in the classes below it."""

    limits: Limits
    output: Output
    gate: Gate

    def __post_init__(self) -> None:
        """Nothing is known to be due yet."""
        super().__post_init__()
        self.delivered = 0
        self.failed = 0
        self.abandoned = 0
        self.parked = 0

    # What the loop asks.

    def has_row(self, turn: Turn) -> bool:
        """Whether the row was read since the instance last changed: then the turn may `begin`."""
        return required(turn.delivery, _DELIVERY).row_group == turn.entry.last_group

    def read_row(self, turn: Turn, generation: int) -> bool:
        """Read the row for a turn that was in the mailbox, and put it back there. False: the leadership is lost."""
        entry = turn.entry
        required(turn.delivery, _DELIVERY).enter(Stage.READING)
        entry.turn = turn  # nothing of the instance runs or is written meanwhile
        self._reading_rows += 1
        read = partial(self._read, entry, required(turn.delivery, _DELIVERY))
        return self.leadership.read(generation, read, partial(self._have_row, turn))

    def begin(self, turn: Turn, loaded: LoadedType | None) -> bool:
        """Whether the handler is to run now; if not, everything has been seen to. The row was read."""
        entry, delivery = turn.entry, required(turn.delivery, _DELIVERY)
        self._leave_ready(delivery)
        row = delivery.row
        if delivery.unpark:
            self._take_up(entry, delivery, row, loaded)
        elif row is None or row.due_us != delivery.due_us or not self._waits(row):
            self._leave_as_it_is(entry, delivery)
        elif delivery.failure is not None:
            self._count_failure(entry, delivery, row, delivery.failure)
        elif loaded is None or self.mailboxes.is_quarantined(entry.type_id, entry.stored.name):
            self.parked += 1
            self._write(entry, delivery, replace(row, state="parked", begun=False))
        elif row.begun and not delivery.noted:
            died = HostUnavailableError("the worker died while the handler ran")
            self._count_failure(entry, delivery, row, died, killed=True)
        else:
            return self._may_run(turn, delivery, row, loaded)
        return False

    def end(self, turn: Turn) -> None:
        """The handler has returned or failed; its batch is in the current group."""
        entry, delivery = turn.entry, required(turn.delivery, _DELIVERY)
        error = turn.broken or turn.error
        if error is None:
            self.delivered += 1
            delivery.enter(Stage.WRITING)
            # Not where a sync() has said it before.
            said = turn.changes is not None and self._is_said(turn.changes, delivery)
            self.gate.leave(entry, None, Written(self, delivery, handled=True, said=said))
        else:
            delivery.enter(Stage.QUEUED)
            delivery.failure, delivery.row_group = error, UNREAD  # a sync() may have changed the row
            entry.mail.appendleft(self._turn(entry, delivery))

    def settle(self, group: Group, lost: Mapping[Entry, HoldfastError]) -> None:
        """The group is durable, but for the lost: learn what it changed. After the gate has let out what it held."""
        under_way = self._under_way
        lost_stored = {entry.stored for entry in lost if not entry.is_function}
        for batch in group.batches:
            if batch.instance not in lost_stored:
                for delivery, row in self._changed(batch):
                    if delivery.key not in under_way:
                        self._note(delivery, row)
        for instance in lost_stored:
            self._look_for(instance)

    # What the gate lets out.

    def resume(self, turn: Turn) -> None:
        """The attempt is written down as begun: now it runs, before anything else of the instance."""
        delivery = required(turn.delivery, _DELIVERY)
        delivery.noted = True
        delivery.enter(Stage.QUEUED)
        self.mailboxes.put_back(turn)

    def give_back(self, turn: Turn) -> None:
        """It could not be written down, and earlier writes of the instance may be lost: the attempt has not begun."""
        entry, delivery = turn.entry, required(turn.delivery, _DELIVERY)
        entry.turn = None
        entry.evict()
        self.mailboxes.requeue(entry)
        self.put_aside(delivery, AGAIN_S)

    # Inside.

    def _may_run(self, turn: Turn, delivery: Delivery, row: Row, loaded: LoadedType) -> bool:
        """The row stands, the class is there: run it, unless it has to wait for something."""
        entry = turn.entry
        if not delivery.noted:
            if self.mailboxes.draining or row.due_us > self.clock.wall_us():  # stopping; or the clock was set back
                self._leave_as_it_is(entry, delivery)
                return False
            refusal = self._refusal(loaded)
            if refusal is not None:
                self._count_failure(entry, delivery, row, refusal)
                return False
            if self.leadership.at_work >= self.limits.detached_turns_max:
                self.put_aside(delivery, _CROWDED_S)
                return False
            if row.killed and not self.killed.admit(delivery):
                return False
            if row.retry_count > 0 or row.due_us <= self.opened_us:
                self._write_down(turn, delivery, replace(row, begun=True))
                return False
        self._prepare(turn, delivery, row)
        delivery.enter(Stage.RUNNING)
        return True

    def _write_down(self, turn: Turn, delivery: Delivery, row: Row) -> None:
        """Write down that an attempt begins; it does when that is durable."""
        entry = turn.entry
        delivery.enter(Stage.NOTING)
        entry.turn = turn
        delivery.row = row
        delivery.row_group = self.gate.add(entry, self._changes(delivery, row))
        self.gate.leave(entry, None, Noted(self, turn))

    def _count_failure(
        self, entry: Entry, delivery: Delivery, row: Row, error: HoldfastError, *, killed: bool = False
    ) -> None:
        """An attempt has failed: take the row on to the next one, or abandon it."""
        self.failed += 1
        delivery.failure = error
        state = self._retrying_state(row)
        row = after_failure(
            row,
            error,
            killed=killed,
            state=state,
            now_us=self.clock.wall_us(),
            retries_max=self.limits.alarm_retries_max,
        )
        if row.state == "abandoned":
            self._note_abandoned(entry, delivery, row)
        self._write(entry, delivery, row)

    def _note_abandoned(self, entry: Entry, delivery: Delivery, row: Row) -> None:
        self.abandoned += 1
        facts = {"retries": row.retry_count, "last_error": row.last_error, **self._named(delivery)}
        self.output.event("error", f"{self.WHAT} abandoned", instance=entry.label, **facts)

    def _write(self, entry: Entry, delivery: Delivery, row: Row | None) -> None:
        """A batch of the host's own; the delivery is over when it is durable."""
        delivery.enter(Stage.WRITING)
        self.gate.add(entry, self._changes(delivery, row))
        self.gate.leave(entry, None, Written(self, delivery))

    def _leave_as_it_is(self, entry: Entry, delivery: Delivery) -> None:
        """Nothing is to be done now: note when the row says that it is due, unless `settle` will."""
        self.finish(delivery)
        if not any(self._is_said(layer.changes, delivery) for layer in entry.pending.layers):
            self._note(delivery, delivery.row)

    def _take_up(self, entry: Entry, delivery: Delivery, row: Row | None, loaded: LoadedType | None) -> None:
        """A parked row whose type is deployed: as it was before."""
        if row is None or row.state != "parked" or loaded is None:
            self._leave_as_it_is(entry, delivery)
        else:
            self._write(entry, delivery, replace(row, state=self._unparked_state(row)))

    def _have_row(self, turn: Turn, row: Row | None) -> None:
        entry, delivery = turn.entry, required(turn.delivery, _DELIVERY)
        self._reading_rows -= 1
        if turn.broken is not None:  # of what was read, something may be lost
            self._leave_ready(delivery)
            self.give_back(turn)
            return
        delivery.enter(Stage.QUEUED)
        delivery.row, delivery.row_group = row, entry.last_group
        self.mailboxes.put_back(turn)
        if entry.evictions:
            entry.evict()
