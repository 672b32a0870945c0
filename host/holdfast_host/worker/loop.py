"""The leader's loop: frames in, turns, one commit, replies out - and while it syncs, the next frames gather.

The worker's tables belong to the leader; see `leadership` for how that changes hands. Other threads reach it by `post`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from holdfast_host.core.clock import Clock, SystemClock
from holdfast_host.core.errors import ActorOutputGateError, HoldfastError, InternalError
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import CommitReport, StoreBrokenError
from holdfast_host.wire.running_turns_page import FUNCTION, RunningPage
from holdfast_host.worker.alarms.deliveries import Alarms
from holdfast_host.worker.alarms.queries import alarm_readers
from holdfast_host.worker.calls.actor_calls import Calls
from holdfast_host.worker.calls.deadlocks import Deadlocks
from holdfast_host.worker.calls.peers import Peers
from holdfast_host.worker.client_connections import Link, Poller
from holdfast_host.worker.commits.gate import Gate, Group
from holdfast_host.worker.commits.replies import Reply
from holdfast_host.worker.commits.sweeper import Sweeper
from holdfast_host.worker.health import Health
from holdfast_host.worker.inspection.measures import Measures
from holdfast_host.worker.inspection.queries import Inspection
from holdfast_host.worker.inspection.slow_turns import SlowTurns
from holdfast_host.worker.threads.compute_slots import ComputeSlots
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.threads.leadership import Leadership
from holdfast_host.worker.turns.deployments import Deployments
from holdfast_host.worker.turns.directory import Directory
from holdfast_host.worker.turns.function_pool import Functions
from holdfast_host.worker.turns.mailboxes import Mailboxes
from holdfast_host.worker.turns.method_times import MethodTimes
from holdfast_host.worker.turns.runner import TurnRunner
from holdfast_host.worker.turns.turn import SyncExit, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.engine import SandboxEngine
    from holdfast_host.storage.store import Changes, Store
    from holdfast_host.wire.routing import Routing
    from holdfast_host.worker.calls.actor_calls import ActorCall
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry

_Found = TypeVar("_Found")

HOUSEKEEPING_S: Final = 0.25
_POLL_S: Final = 1.0


@leaders
class Worker:
    """One worker's tables and its loop; lives as long as the process."""

    def __init__(
        self,
        store: Store,
        engine: SandboxEngine,
        limits: Limits,
        output: Output,
        routing: Routing,
        *,
        number: int,
        compute_slots: int,
        on_broken_store: Callable[[StoreBrokenError], None],
        on_failure: Callable[[BaseException], None],
        clock: Clock | None = None,
        running_page: RunningPage | None = None,
    ) -> None:
        self.limits = limits
        self.output = output
        self.store = store
        self.compute = ComputeSlots(compute_slots)
        self.deployments = Deployments(engine, limits)
        self.directory = Directory(store, limits)
        self.gate = Gate(max(group for _, group in store.reached().values()))
        self.poller = Poller()
        self.leadership = Leadership(self._lead, self.post, self._fail)
        self.mailboxes = Mailboxes(self, self.directory, self.deployments, limits, self._refuse)
        self.peers = Peers(routing, self.poller, limits)
        self.calls = Calls(
            number,
            routing,
            limits,
            gate=self.gate,
            mailboxes=self.mailboxes,
            deployments=self.deployments,
            peers=self.peers,
        )
        self.deadlocks = Deadlocks(
            number, self.calls, running_call=self._running_call, place=routing.place, send=self.peers.tell
        )
        self.measures = Measures()
        self.inspection = Inspection(
            store, self.directory, self.deployments, self.mailboxes, limits, post=self.post, reply=self._reply_to
        )
        self.inspection.readers["logs"] = output.read
        self.inspection.readers |= alarm_readers(store)
        self.alarms = Alarms(self, clock or SystemClock())
        self.functions = Functions(
            self, self.mailboxes, self.deployments, limits, self._refuse, settled=lambda: self.gate.settled
        )
        self._runner = TurnRunner(limits, output)
        self._on_broken_store = on_broken_store
        self._on_failure = on_failure
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.poller.add(self._wake_fd, self._woken)
        self._dirty: dict[Link, None] = {}
        self.running: dict[Turn, int] = {}  # with its record on the page
        self._page = running_page or RunningPage.create()
        self._method_times = MethodTimes(limits.promotion_after_s)
        self.sweeper = Sweeper(store, self.gate, self.mailboxes, self.leadership, self.measures)
        self.slow_turns = SlowTurns(output)
        self._housekeeping_at = 0.0
        self.health = Health(store, partial(self.measures.stalled_for, self))
        self._draining: Callable[[], None] | None = None
        self.turns = 0
        self.commits = 0

    # Reached from other threads.

    @any_thread
    def post(self, action: Callable[[], None]) -> None:
        """Have the leader run this soon."""
        self._inbox.append(action)
        os.eventfd_write(self._wake_fd, 1)

    @any_thread
    def anything_waits(self) -> bool:
        """True when a leader would have something to do now (monitor)."""
        gate = self.gate
        gathered = gate.flight is None and not self.sweeper.running and bool(gate.current.batches)
        if self.mailboxes.anything_ready or self._inbox or self._dirty or gathered:
            return True
        return self.alarms.is_due() or self.poller.anything_ready()

    # The loop.

    def _lead(self, generation: int) -> None:
        leadership, poller, inbox, mailboxes = self.leadership, self.poller, self._inbox, self.mailboxes
        while self.sweeper.run(generation):
            leadership.busy = True
            while inbox:
                inbox.popleft()()
            if not (self.alarms.release(generation) and self._run_round(generation)):
                return
            self._flush()
            if not self._commit(generation):
                return
            self._flush()
            now = time.monotonic()
            if now >= self._housekeeping_at:
                self._keep_house(now)
            if self._draining is not None:
                self._check_drained(self._draining)
            waiting = mailboxes.anything_ready or bool(inbox)
            leadership.busy = waiting
            poller.run(0 if waiting else self.sweeper.wait_s(self.alarms.wait_s(_POLL_S)))

    def _run_round(self, generation: int) -> bool:
        """One turn of each ready instance, until the round is long enough. False: the leadership is lost."""
        mailboxes, limits, gate = self.mailboxes, self.limits, self.gate
        started = now = time.monotonic()
        while (turn := mailboxes.next_turn()) is not None:
            if not self._run_turn(turn.entry, turn, generation, now):
                return False
            now = time.monotonic()
            if now - started > limits.round_s or gate.current.bytes > limits.round_batch_bytes:
                self.slow_turns.ended(turn)
                break
        return True

    def _run_turn(self, entry: Entry, turn: Turn, generation: int, now: float, opened: float | None = None) -> bool:
        """Run a turn that was taken from its mailbox. False: the leadership is lost.

        `opened`: it runs inside the section, opened then, of a turn of this thread that waits for it.
        """
        if turn.delivery is not None and not self.alarms.has_row(turn):
            return self.alarms.read_row(turn, generation)
        loaded = self.deployments.find(entry.type_id)
        if not self._may_run(turn, loaded, now):
            if entry.is_function:
                self.functions.release(entry, turn)
            self.mailboxes.requeue(entry)
            return True
        if loaded is None:
            raise InternalError(f"{entry.label}: a turn may run, and there is nothing for it to run")
        if entry.loaded is not loaded:
            entry.deactivate()
            entry.follow_rename(loaded.type)
        entry.turn = turn
        if entry.is_function:
            self.running[turn] = self._page.note(FUNCTION, loaded.function.encode())
            self.functions.touch(entry, now)
            overlay = self.functions.storage
        else:
            self.running[turn] = self._page.note(entry.type_id, entry.stored.name)
            self.directory.touch(entry, now)
            overlay = Overlay(self.store, entry.stored, entry.pending, self.limits, entry.label)
        turn.begin(generation, now, loaded, overlay)
        work, slow = partial(self._run, turn, loaded), self._method_times.is_slow(turn)
        if opened is None:
            return self.leadership.in_section(generation, now, work, detached=slow, lost=turn.lost_lead)
        return self.leadership.in_section(generation, opened, work, detached=slow, nested=True, lost=turn.lost_lead)

    def _run(self, turn: Turn, loaded: LoadedType) -> Callable[[], None]:
        """Run it on this thread, in a section, which a place that is new to this worker is looked up in too."""
        entry = turn.entry
        if not entry.stored.number and not entry.is_function:
            self.store.look_up(entry.stored)
        self._runner.run(turn, loaded)
        return partial(self._end, turn)

    @any_thread
    def call_out(self, call: ActorCall) -> None:
        """Begin a call of the turn that runs on this thread; it may be over on return.

        Where this thread leads and the callee is idle, the callee's turn runs here and now: a hand-over to another
        thread, and back, would cost more than most turns. It is a turn like any other: from mailbox to gate everything
        is the same, and the monitor sees one section that grows older.
        """
        turn, leadership = call.turn, self.leadership
        opened = leadership.pause_section(turn.generation)
        if opened is None:
            self.post(lambda: self.calls.request(call))
            return
        try:
            self.calls.request(call, at_once=True)
            callee = call.callee
            if callee is None or not self.mailboxes.take_next(callee):
                leads = True
            else:
                leads = self._run_turn(callee.entry, callee, turn.generation, time.monotonic(), opened)
            if leads:
                leadership.resume_section(turn.generation, opened)
        except BaseException as error:  # ours: as in the loop itself
            self._fail(error)
            raise

    def _may_run(self, turn: Turn, loaded: LoadedType | None, now: float) -> bool:
        """Whether a turn that was taken runs; one that does not has been answered."""
        if turn.delivery is not None:
            return self.alarms.begin(turn, loaded)
        refusal = self.mailboxes.refusal(turn, loaded, self.leadership.detached, now)
        if refusal is not None:
            self._refuse(turn, refusal)
        return refusal is None

    def _end(self, turn: Turn) -> None:
        """A turn that ran is over: its batch joins the group, its reply goes to the door."""
        entry, changes = turn.entry, turn.changes
        self.turns += 1
        self._method_times.learn(turn)
        self._page.clear(self.running.pop(turn))
        entry.turn = None
        if turn.broken is not None:
            changes = None
            entry.deactivate()
        if changes:
            turn.mark(self.gate.add(entry, changes))
        if turn.delivery is not None:
            self.measures.alarm_ended(turn)
            self.alarms.end(turn)
        else:
            self.gate.answer(entry, turn, turn.receiver, Reply(turn, self._dirty, self.measures))
        if entry.evictions:
            entry.evict()
        if entry.is_function:
            self.functions.release(entry, turn)
        self.mailboxes.requeue(entry)

    def _reply_to(self, link: Link, slot: int, status: int, body: bytes) -> None:
        """Answer a frame that is no turn; nothing holds that back."""
        if link.answer(slot, status, body):
            self._dirty[link] = None

    def _refuse(self, turn: Turn, error: HoldfastError) -> None:
        """Answer a turn that never began; nothing holds that back."""
        Reply(turn, self._dirty, self.measures).fail(error)

    # Commits.

    def _commit(self, generation: int) -> bool:
        """Commit the current group, unless one or a sweep is in flight. False: the leadership is lost."""
        group = None if self.sweeper.running else self.gate.take()
        if group is None:
            return True
        self.measures.commit_began_at = began_at = time.monotonic()
        return self.leadership.in_section(generation, began_at, partial(self._write, group))

    def _write(self, group: Group) -> Callable[[], None]:
        """Make it durable, in a section."""
        return partial(self._settle, group, self.store.commit(group.number, group.batches, group.stored_leans()))

    def _settle(self, group: Group, report: CommitReport) -> None:
        self.commits += 1
        self.sweeper.wait()
        self.measures.committed(len(group.batches))
        lost: dict[Entry, HoldfastError] = {}
        if report.lost:
            lost = {entry: report.lost[id(entry.stored)] for entry in group.entries if id(entry.stored) in report.lost}
        self.alarms.settle(group, self.gate.settle(group, lost))

    def read_store(self, generation: int, read: Callable[[], _Found], then: Callable[[_Found], None]) -> bool:
        """Read the disk in a section; `then` is told what was found, by the leader. False: the leadership is lost."""
        return self.leadership.in_section(generation, time.monotonic(), lambda: partial(then, read()))

    def _fail(self, error: BaseException) -> None:
        """The leader cannot go on: the store is broken, or we are. End the process, which is told so."""
        if not isinstance(error, StoreBrokenError):
            self._on_failure(error)
            return
        self.gate.abandon(ActorOutputGateError("the storage failed while committing: the outcome is unknown"))
        self._flush()
        self._on_broken_store(error)

    def forget_link(self, link: Link) -> None:
        """The client is gone: nothing more to send; what it asked for and has not begun does not run."""
        self._dirty.pop(link, None)
        self.mailboxes.forget_link(link)

    def busy_entries(self) -> list[Entry]:
        """The instances whose turns run now."""
        return [turn.entry for turn in self.running]

    def request_sync(self, turn: Turn, changes: Changes, leaving: SyncExit) -> None:
        """Commit what a waiting turn has written so far."""
        if turn.broken is None and changes:
            self.gate.add(turn.entry, changes)
        self.gate.leave(turn.entry, turn, leaving)

    def _flush(self) -> None:
        while self._dirty:
            link, _ = self._dirty.popitem()
            link.flush()

    def _running_call(self, type_id: int, name: bytes) -> ActorCall | None:
        """What the running turn of an instance waits for."""
        entry = self.directory.find(type_id, name)
        return entry.turn.waiting if entry is not None and entry.turn is not None else None

    def _woken(self, events: int) -> None:
        os.eventfd_read(self._wake_fd)

    # Now and then.

    def _keep_house(self, now: float) -> None:
        self._housekeeping_at = now + HOUSEKEEPING_S
        for running in self.running:
            self.mailboxes.expire(running.entry, now)
        self.slow_turns.look(self.running, now)
        if self.directory.evict_idle(now, self.gate.settled):
            self._housekeeping_at = now
        self.peers.keep_house(now)
        self.health.look(now)
        self.functions.keep_house(now)
        if self.directory.evict_for_memory(self.gate.settled):
            self.functions.evict_idle()

    def drain(self, on_drained: Callable[[], None]) -> None:
        """Refuse what has not begun; call back when no turn runs and the groups are settled."""
        self.mailboxes.draining = True
        self._draining = on_drained

    @property
    def is_settled(self) -> bool:
        """True while no turn runs or could begin, and all groups are settled."""
        gate, detached = self.gate, self.leadership.detached
        return not (self.running or self.mailboxes.anything_ready or gate.flight or gate.current.batches or detached)

    def _check_drained(self, on_drained: Callable[[], None]) -> None:
        if self.is_settled:
            self._draining = None
            on_drained()
