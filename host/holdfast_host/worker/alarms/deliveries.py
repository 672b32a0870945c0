"""Alarms: what is due becomes a turn in its instance's mailbox; what became of that turn is written down.

A delivery goes through these steps; `stages` says which may follow which:

1. `release` takes what is due from the timetable and puts a turn into the mailbox, a bounded number at a time.
2. `read_row` reads the alarm's row again when that turn is taken from the mailbox, in a section like every read of the
   disk here; then the turn stands first in its mailbox as before.
3. `begin` decides: a row that is gone or has moved means that there is nothing to do. An attempt that may have killed a
   worker before (a retry; an alarm that was due when this worker started) is first written down as *begun*, and runs
   when that is durable.
4. The handler runs. For it the alarm is gone; its writes and the row's removal are one batch.
5. `end`: where it failed, the row is read again, and a batch of the host's own takes it on: count, next due time,
   error; past the last retry the alarm is abandoned.

A row that says *begun* with no attempt of ours behind it was left by a worker that died in the handler: that counts as
a failure. From then on the alarm is *killed*, and alarms that are so run one at a time: a poisonous one must not take
its neighbours along into being abandoned.

The host's own batches are made only while no turn of the instance runs, as `Pending` demands. What could not be written
for want of room is tried again.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import ActorUnknownMethodError, HoldfastError, HostUnavailableError, required
from holdfast_host.storage.lmdb.keys import has_due_row
from holdfast_host.storage.store import Changes
from holdfast_host.storage.unflushed import read_alarm
from holdfast_host.wire.frames import Call, CallKind
from holdfast_host.worker.alarms.due import DueAlarms
from holdfast_host.worker.alarms.exits import AGAIN_S, Noted, Written
from holdfast_host.worker.alarms.isolation import Isolation
from holdfast_host.worker.alarms.retries import after_failure
from holdfast_host.worker.alarms.stages import UNREAD, Delivery, Stage
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Alarm, Store, StoredInstance
    from holdfast_host.worker.alarms.due import DuePage
    from holdfast_host.worker.commits.gate import Gate, Group
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments, LoadedType
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.mailboxes import Mailboxes

READY_MAX: Final = 4  # alarms in the ready queue: what an ordinary call may find before it
UNDER_WAY_MAX: Final = 128  # behind a running turn, running, or waiting for their commit
_PARKED_PAGE: Final = 64
_CROWDED_S: Final = 0.1
_NEVER_US: Final = 1 << 63


@leaders
@dataclass(eq=False, kw_only=True)
class Alarms:
    """The alarms of one worker."""

    store: Store
    limits: Limits
    output: Output
    clock: Clock
    leadership: Leadership
    gate: Gate
    mailboxes: Mailboxes
    directory: Directory
    deployments: Deployments

    def __post_init__(self) -> None:
        """Nothing is known to be due yet."""
        self._due_alarms = DueAlarms()
        self._under_way: dict[StoredInstance, Delivery] = {}
        self._ready = 0
        self._aside: list[tuple[float, int, Delivery]] = []  # by the monotonic time at which they are tried again
        self._tickets = itertools.count()
        self._killed = Isolation()
        self._parked_types: set[int] = set()  # deployed types that may have parked alarms
        self._unparking = 0
        self._reading_page = False
        self._reading_rows = 0  # of instances that count as ready
        self._opened_us = self.clock.wall_us()  # what is due by then, a predecessor may have begun
        self._next_us = 0
        self._quiet_until_us = 0  # whatever becomes of those under way, nothing is due before
        self.delivered = 0
        self.failed = 0
        self.abandoned = 0
        self.parked = 0

    @property
    def under_way(self) -> Collection[StoredInstance]:
        """The instances whose alarms are on their way: a bounded number."""
        return self._under_way.keys()

    def occupancy(self) -> dict[str, int]:
        """How many are on their way, put aside for a moment, and in line behind one that killed a worker."""
        return {"under_way": len(self._under_way), "aside": len(self._aside), "in_line": len(self._killed)}

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

    def release(self, generation: int) -> bool:
        """Put what is due into the mailboxes, as much as may be there at once. False: the leadership is lost."""
        now_us = self.clock.wall_us()
        if now_us < self._quiet_until_us and not self._aside and not self._parked_types:
            return True
        self._quiet_until_us = 0
        if self.mailboxes.draining:
            self._next_us = _NEVER_US
            self._aside.clear()  # the rows are for the next start
            self._parked_types.clear()
            return True
        while self._aside and time.monotonic() >= self._aside[0][0]:
            self._post(heapq.heappop(self._aside)[2])
        if self._parked_types and not self._unparking and not self._reading_page:
            return self._read_parked(generation, self._parked_types.pop())
        while self._ready < READY_MAX:
            if len(self._under_way) - len(self._killed) >= UNDER_WAY_MAX:
                self._next_us = _NEVER_US  # the end of one of them wakes the leader
                return True
            found = self._due_alarms.take(now_us)
            if found is None:
                if not self._due_alarms.lacks(now_us):
                    self._next_us = self._quiet_until_us = self._due_alarms.next_us()
                    return True
                self._next_us = _NEVER_US  # the end of the read wakes the leader
                if self._reading_page:
                    return True
                if not self._read_due(generation, now_us):
                    return False
                continue
            self._post(Delivery(*found))
        self._next_us = _NEVER_US if self._reading_rows else now_us  # the end of a read wakes the leader too
        return True

    def has_row(self, turn: Turn) -> bool:
        """Whether the row was read since the instance last changed: then the turn may `begin`."""
        return required(turn.delivery, "the delivery of an alarm's turn").row_group == turn.entry.last_group

    def read_row(self, turn: Turn, generation: int) -> bool:
        """Read the row for a turn that was in the mailbox, and put it back there. False: the leadership is lost."""
        entry = turn.entry
        required(turn.delivery, "the delivery of an alarm's turn").enter(Stage.READING)
        entry.turn = turn  # nothing of the instance runs or is written meanwhile
        self._reading_rows += 1
        read = partial(read_alarm, self.store, entry.stored, entry.pending)
        return self.leadership.read(generation, read, partial(self._have_row, turn))

    def begin(self, turn: Turn, loaded: LoadedType | None) -> bool:
        """Whether the handler is to run now; if not, everything has been seen to. The row was read."""
        entry, delivery = turn.entry, required(turn.delivery, "the delivery of an alarm's turn")
        self._leave_ready(delivery)
        row = delivery.row
        if delivery.unpark:
            self._take_up(entry, delivery, row, loaded)
        elif row is None or row.due_us != delivery.due_us or not has_due_row(row):
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
        entry, delivery = turn.entry, required(turn.delivery, "the delivery of an alarm's turn")
        error = turn.broken or turn.error
        if error is None:
            self.delivered += 1
            delivery.enter(Stage.WRITING)
            said = turn.changes is not None and turn.changes.alarm_changed  # not where a sync() has said it before
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
            changes, instance = batch.changes, batch.instance
            if changes.alarm_changed and instance not in under_way and instance not in lost_stored:
                self._note(instance, changes.alarm)
        for instance in lost_stored:
            if instance not in under_way:
                self.look_again(instance)

    def take_up_parked(self, type_ids: Iterable[int]) -> None:
        """These types are deployed now: their parked alarms are due again."""
        self._parked_types.update(type_ids)
        self._next_us = 0

    # What the gate lets out.

    def finish(self, delivery: Delivery) -> None:
        """Nothing is left to do for this delivery."""
        delivery.enter(Stage.OVER)
        del self._under_way[delivery.stored]
        self._unparking -= delivery.unpark
        following = self._killed.leave(delivery)
        if following is not None:
            self._post(following)

    def look_again(self, stored: StoredInstance) -> None:
        """What is known of its alarm may be wrong: a delivery that is due now reads the row, and notes what it says."""
        self._note_due(stored, self.clock.wall_us())

    def put_aside(self, delivery: Delivery, seconds: float) -> None:
        """Try it again after a while."""
        delivery.enter(Stage.ASIDE)
        heapq.heappush(self._aside, (time.monotonic() + seconds, next(self._tickets), delivery))

    def resume(self, turn: Turn) -> None:
        """The attempt is written down as begun: now it runs, before anything else of the instance."""
        delivery = required(turn.delivery, "the delivery of an alarm's turn")
        delivery.noted = True
        delivery.enter(Stage.QUEUED)
        self.mailboxes.put_back(turn)

    def give_back(self, turn: Turn) -> None:
        """It could not be written down, and earlier writes of the instance may be lost: the attempt has not begun."""
        entry, delivery = turn.entry, required(turn.delivery, "the delivery of an alarm's turn")
        entry.turn = None
        entry.evict()
        self.mailboxes.requeue(entry)
        self.put_aside(delivery, AGAIN_S)

    # Inside.

    def _note(self, instance: StoredInstance, alarm: Alarm | None) -> None:
        """So its row stands now, durably."""
        self._note_due(instance, alarm.due_us if alarm is not None and has_due_row(alarm) else None)

    def _note_due(self, instance: StoredInstance, due_us: int | None) -> None:
        self._due_alarms.put(instance, due_us)
        if due_us is not None:
            self._next_us = min(self._next_us, due_us)
            self._quiet_until_us = min(self._quiet_until_us, due_us)

    def _post(self, delivery: Delivery) -> None:
        """Put a turn for it into the mailbox."""
        stored = delivery.stored
        delivery.enter(Stage.QUEUED)
        self._under_way[stored] = delivery
        delivery.row_group = UNREAD
        loaded = self.deployments.find(stored.type_id)
        entry = self.directory.open(stored.type_id, stored.name, loaded.type if loaded else f"type {stored.type_id}")
        delivery.ready = self.mailboxes.deliver(self._turn(entry, delivery))
        self._ready += delivery.ready

    def _turn(self, entry: Entry, delivery: Delivery) -> Turn:
        """A turn for it, that has not begun."""
        request = Call(0, entry.type_id, 0, CallKind.ALARM, 0, entry.stored.name, b"alarm", b"", b"")
        return Turn(entry, None, request, math.inf, delivery=delivery)

    def _leave_ready(self, delivery: Delivery) -> None:
        self._ready -= delivery.ready
        delivery.ready = False

    def _may_run(self, turn: Turn, delivery: Delivery, row: Alarm, loaded: LoadedType) -> bool:
        """The row stands, the class is there: run it, unless it has to wait for something."""
        entry = turn.entry
        if not delivery.noted:
            if self.mailboxes.draining or row.due_us > self.clock.wall_us():  # stopping; or the clock was set back
                self._leave_as_it_is(entry, delivery)
                return False
            if not loaded.may_handle("alarm"):
                text = f"{loaded.type} has no alarm handler in version {loaded.version} of {loaded.function!r}"
                self._count_failure(entry, delivery, row, ActorUnknownMethodError(text))
                return False
            if self.leadership.at_work >= self.limits.detached_turns_max:
                self.put_aside(delivery, _CROWDED_S)
                return False
            if row.killed and not self._killed.admit(delivery):
                return False
            if row.retry_count > 0 or row.due_us <= self._opened_us:
                delivery.enter(Stage.NOTING)
                entry.turn = turn
                delivery.row = replace(row, begun=True)
                delivery.row_group = self.gate.add(entry, Changes(alarm=delivery.row, alarm_changed=True))
                self.gate.leave(entry, None, Noted(self, turn))
                return False
        info = {"retry_count": row.retry_count, "scheduled_us": row.scheduled_us}
        turn.request.body = json.dumps(info, separators=(",", ":")).encode()
        delivery.enter(Stage.RUNNING)
        return True

    def _count_failure(
        self, entry: Entry, delivery: Delivery, row: Alarm, error: HoldfastError, *, killed: bool = False
    ) -> None:
        """An attempt has failed: take the row on to the next one, or abandon it."""
        self.failed += 1
        delivery.failure = error
        row = after_failure(
            row, error, killed=killed, now_us=self.clock.wall_us(), retries_max=self.limits.alarm_retries_max
        )
        if row.state == "abandoned":
            self.abandoned += 1
            facts = {"retries": row.retry_count, "last_error": row.last_error}
            self.output.event("error", "alarm abandoned", instance=entry.label, **facts)
        self._write(entry, delivery, row)

    def _write(self, entry: Entry, delivery: Delivery, row: Alarm) -> None:
        """A batch of the host's own; the delivery is over when it is durable."""
        delivery.enter(Stage.WRITING)
        self.gate.add(entry, Changes(alarm=row, alarm_changed=True))
        self.gate.leave(entry, None, Written(self, delivery))

    def _leave_as_it_is(self, entry: Entry, delivery: Delivery) -> None:
        """Nothing is to be done now: note when the row says that the alarm is due, unless `settle` will."""
        self.finish(delivery)
        if not any(layer.changes.alarm_changed for layer in entry.pending.layers):
            self._note(delivery.stored, delivery.row)

    def _take_up(self, entry: Entry, delivery: Delivery, row: Alarm | None, loaded: LoadedType | None) -> None:
        """A parked alarm whose type is deployed: as it was before."""
        if row is None or row.state != "parked" or loaded is None:
            self._leave_as_it_is(entry, delivery)
        else:
            self._write(entry, delivery, replace(row, state="retrying" if row.retry_count else "armed"))

    # What is read of the disk, each piece in a section of its own.

    def _have_row(self, turn: Turn, row: Alarm | None) -> None:
        entry, delivery = turn.entry, required(turn.delivery, "the delivery of an alarm's turn")
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
        page = self._due_alarms.open_page(now_us, len(self._under_way))
        self._reading_page = True
        return self.leadership.read(generation, partial(page.read, self.store), self._have_due)

    def _have_due(self, page: DuePage) -> None:
        self._end_page()
        self._due_alarms.fill(page, self._under_way)

    def _read_parked(self, generation: int, type_id: int) -> bool:
        """A page of parked alarms of a type that is deployed again. False: the leadership is lost."""
        read = partial(self.store.parked_alarms, type_id, _PARKED_PAGE)
        self._reading_page = True
        return self.leadership.read(generation, read, partial(self._have_parked, type_id))

    def _have_parked(self, type_id: int, page: Iterable[StoredInstance]) -> None:
        self._end_page()
        found = [each for each in page if each not in self._under_way]
        if not found or self.mailboxes.draining:
            return
        for stored in found:
            self._unparking += 1
            self._post(Delivery(stored, 0, unpark=True))
        self._parked_types.add(type_id)  # there may be more

    def _end_page(self) -> None:
        self._reading_page = False
        self._next_us = self._quiet_until_us = 0
