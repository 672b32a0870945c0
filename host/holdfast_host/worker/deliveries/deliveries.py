"""Deliveries: what is due becomes a turn in its instance's mailbox; what became of that turn is written down.

What is due is a row: an instance's alarm, or one of its jobs. A delivery goes through these steps; `stages` says which
may follow which:

1. `release` takes what is due from the timetable and puts a turn into the mailbox, a bounded number at a time.
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

import heapq
import itertools
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import HoldfastError, HostUnavailableError
from holdfast_host.core.failures import required
from holdfast_host.wire.calls.frames import Call
from holdfast_host.worker.deliveries.exits import AGAIN_S, Noted, Written
from holdfast_host.worker.deliveries.isolation import Isolation
from holdfast_host.worker.deliveries.kinds import Kind
from holdfast_host.worker.deliveries.retries import after_failure
from holdfast_host.worker.deliveries.stages import UNREAD, Delivery, Stage
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Store, StoredInstance
    from holdfast_host.worker.commits.gate import Gate, Group
    from holdfast_host.worker.deliveries.stages import Row
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments, LoadedType
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.mailboxes import Mailboxes

READY_MAX: Final = 4  # of a kind in the ready queue: what an ordinary call may find before it
UNDER_WAY_MAX: Final = 128  # behind a running turn, running, or waiting for their commit
_PARKED_PAGE: Final = 64
_CROWDED_S: Final = 0.1
_NEVER_US: Final = 1 << 63
_DELIVERY: Final = "the delivery of a turn"


@leaders
class Rest:
    """Until when, by the wall clock, no kind of deliveries has anything to do: what each round asks first."""

    __slots__ = ("until_us",)

    def __init__(self) -> None:
        self.until_us = 0


@leaders
@dataclass(eq=False, kw_only=True)
class Deliveries(Kind):
    """The deliveries of one kind of one worker; what is of that kind alone is in the classes below it."""

    store: Store
    limits: Limits
    output: Output
    clock: Clock
    leadership: Leadership
    gate: Gate
    mailboxes: Mailboxes
    directory: Directory
    deployments: Deployments
    killed: Isolation
    rest: Rest

    def __post_init__(self) -> None:
        """Nothing is known to be due yet."""
        self.under_way_max = UNDER_WAY_MAX
        self._under_way: dict[Hashable, Delivery] = {}
        self._ready = 0
        self._aside: list[tuple[float, int, Delivery]] = []  # by the monotonic time at which they are tried again
        self._tickets = itertools.count()
        self._parked_types: set[int] = set()  # deployed types that may have parked rows
        self._unparking = 0
        self._reading_page = False
        self._reading_rows = 0  # of instances that count as ready
        self._opened_us = self.clock.wall_us()  # what is due by then, a predecessor may have begun
        self._next_us = 0
        self.quiet_until_us = 0  # whatever becomes of those under way, `release` has nothing to do before
        self.delivered = 0
        self.failed = 0
        self.abandoned = 0
        self.parked = 0

    @property
    def under_way(self) -> Collection[StoredInstance]:
        """The instances whose rows are on their way: a bounded number."""
        return {delivery.stored: None for delivery in self._under_way.values()}

    def occupancy(self) -> dict[str, int]:
        """How many are on their way, put aside for a moment, and in line behind one that killed a worker."""
        return {"under_way": len(self._under_way), "aside": len(self._aside), "in_line": self.killed.line_of(self)}

    # What the loop asks.

    @any_thread
    def is_due(self) -> bool:
        """True when `release` would have something to do (monitor)."""
        return self.clock.wall_us() >= self._next_us

    def wait_s(self, longest_s: float) -> float:
        """How long the leader may sleep."""
        if self._parked_types and not self._unparking and not self._reading_page:
            return 0.0
        wait_s = min(longest_s, max(0.0, (self._next_us - self.clock.wall_us()) / 1e6))
        if self._aside:
            wait_s = min(wait_s, max(0.0, self._aside[0][0] - time.monotonic()))
        return wait_s

    def release(self, generation: int, now_us: int) -> bool:
        """Put what is due into the mailboxes, as much as may be there at once. False: the leadership is lost."""
        self.quiet_until_us = 0
        if self.mailboxes.draining:
            self._next_us = _NEVER_US
            self._aside.clear()  # the rows are for the next start
            self._parked_types.clear()
            return True
        while self._aside and time.monotonic() >= self._aside[0][0]:
            self.post(heapq.heappop(self._aside)[2])
        if self._parked_types and not self._unparking and not self._reading_page:
            return self._read_parked(generation, self._parked_types.pop())
        ready_max = self._ready_max()
        while self._ready < ready_max:
            if len(self._under_way) - self.killed.line_of(self) >= self.under_way_max:
                self._next_us = _NEVER_US  # the end of one of them wakes the leader
                return True
            found = self._take(now_us)
            if found is None:
                if not self._lacks(now_us):
                    self._rest()
                    return True
                self._next_us = _NEVER_US  # the end of the read wakes the leader
                if self._reading_page:
                    return True
                if not self._read_due(generation, now_us):
                    return False
                continue
            self.post(found)
        self._next_us = _NEVER_US if self._reading_rows else now_us  # the end of a read wakes the leader too
        return True

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

    def take_up_parked(self, type_ids: Iterable[int]) -> None:
        """These types are deployed now: what is parked of them is due again."""
        self._parked_types.update(type_ids)
        self.wake()

    def wake(self) -> None:
        """There may be something to do now."""
        self._next_us = self.quiet_until_us = self.rest.until_us = 0

    # What the gate lets out.

    def finish(self, delivery: Delivery) -> None:
        """Nothing is left to do for this delivery."""
        delivery.enter(Stage.OVER)
        del self._under_way[delivery.key]
        self._unparking -= delivery.unpark
        self._forget(delivery)
        self._leave_line(delivery)

    def look_again(self, delivery: Delivery) -> None:
        """What is known of its row may be wrong: a delivery that is due now reads it, and notes what it says."""
        self._note_due(delivery, self.clock.wall_us())

    def put_aside(self, delivery: Delivery, seconds: float) -> None:
        """Try it again after a while."""
        delivery.enter(Stage.ASIDE)
        heapq.heappush(self._aside, (time.monotonic() + seconds, next(self._tickets), delivery))
        self.quiet_until_us = self.rest.until_us = 0

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

    def _ready_max(self) -> int:
        """How many may be in the ready queue."""
        return READY_MAX

    def post(self, delivery: Delivery) -> None:
        """Put a turn for it into the mailbox."""
        stored = delivery.stored
        delivery.enter(Stage.QUEUED)
        self._under_way[delivery.key] = delivery
        delivery.row_group = UNREAD
        loaded = self.deployments.find(stored.type_id)
        entry = self.directory.open(stored.type_id, stored.name, loaded.type if loaded else f"type {stored.type_id}")
        delivery.ready = self.mailboxes.deliver(self._turn(entry, delivery))
        self._ready += delivery.ready

    # Inside.

    def _note(self, delivery: Delivery, row: Row | None) -> None:
        """So its row stands now, durably. It may have been on its way to be parked when its type was deployed again."""
        self._note_due(delivery, row.due_us if row is not None and self._comes_due(row) else None)
        if row is not None and self._takes_up(row):
            stored = delivery.stored
            quarantined = self.mailboxes.is_quarantined(stored.type_id, stored.name)
            if not quarantined and self.deployments.find(stored.type_id) is not None:
                self.take_up_parked((stored.type_id,))

    def _note_due(self, delivery: Delivery, due_us: int | None) -> None:
        self._put(delivery, due_us)
        if due_us is not None:
            self._next_us = min(self._next_us, due_us)
            self.quiet_until_us = min(self.quiet_until_us, due_us)
            self.rest.until_us = min(self.rest.until_us, due_us)

    def _rest(self) -> None:
        """Nothing more is to be done now."""
        self._next_us = self._next_due_us()
        self.quiet_until_us = 0 if self._aside or self._parked_types else self._next_us

    def _turn(self, entry: Entry, delivery: Delivery) -> Turn:
        """A turn for it, that has not begun."""
        request = Call(0, entry.type_id, 0, self.CALL_KIND, 0, entry.stored.name, self.WHAT.encode(), b"", b"")
        return Turn(entry, None, request, math.inf, delivery=delivery)

    def _leave_line(self, delivery: Delivery) -> None:
        """Those behind it in the line of what has killed a worker wait for it no longer."""
        following = self.killed.leave(delivery)
        if following is not None:
            following.owner.post(following)

    def _leave_ready(self, delivery: Delivery) -> None:
        self._ready -= delivery.ready
        delivery.ready = False

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
            if row.retry_count > 0 or row.due_us <= self._opened_us:
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

    # What is read of the disk, each piece in a section of its own.

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

    def _read_due(self, generation: int, now_us: int) -> bool:
        """A page of what is due soon. False: the leadership is lost."""
        page = self._open_page(now_us)
        self._reading_page = True
        return self.leadership.read(generation, partial(page.read, self.store), self._have_due)

    def _have_due(self, page: Any) -> None:
        self._end_page()
        self._fill_page(page)

    def _read_parked(self, generation: int, type_id: int) -> bool:
        """A page of what is parked of a type that is deployed again. False: the leadership is lost.

        What would be parked again at once stays as it is: to take it up so would never end.
        """
        kept_away = self.mailboxes.quarantined_of(type_id)
        if b"" in kept_away or self.deployments.find(type_id) is None:
            self.wake()
            return True
        self._reading_page = True
        read = partial(self._parked, type_id, kept_away)
        return self.leadership.read(generation, read, partial(self._have_parked, type_id))

    def _have_parked(self, type_id: int, page: Iterable[Delivery]) -> None:
        self._end_page()
        found = [each for each in page if each.key not in self._under_way]
        if not found or self.mailboxes.draining:
            return
        for delivery in found:
            self._unparking += 1
            self.post(delivery)
        self._parked_types.add(type_id)  # there may be more

    def _end_page(self) -> None:
        self._reading_page = False
        self.wake()
