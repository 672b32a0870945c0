"""Turns from their mailbox to the gate: whether one may run, its run in a section, what follows from its end.

A turn that ran leaves by one way, `_end`: its batch joins the current group, and what it says goes to the gate, which
holds it until that group is durable. A call of a running turn to an idle instance of this worker runs inside its
section, see `call_out`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from holdfast_host.core.errors import InternalError
from holdfast_host.core.failures import required
from holdfast_host.storage.overlay import Overlay
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.wire.pages.running_turns_page import FUNCTION
from holdfast_host.worker.calls.actor_calls import ActorCall
from holdfast_host.worker.calls.outbound import OutboundRead, OutboundRequest
from holdfast_host.worker.commits.replies import HeadReply, Reply
from holdfast_host.worker.running.method_times import MethodTimes
from holdfast_host.worker.running.runner import TurnRunner
from holdfast_host.worker.sockets.events import EventTurn
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.gathered_calls import GatheredCall
    from holdfast_host.storage.store import Changes, Store
    from holdfast_host.wire.pages.running_turns_page import RunningPage
    from holdfast_host.worker.calls.actor_calls import Calls
    from holdfast_host.worker.calls.outbound import OutboundRequests
    from holdfast_host.worker.commits.committer import Committer
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.commits.replies import Replies
    from holdfast_host.worker.inspection.slow_turns import SlowTurns
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.sockets.reception import Sockets
    from holdfast_host.worker.threads.compute_slots import ComputeSlots
    from holdfast_host.worker.threads.inbox import Inbox
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments, LoadedType
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.function_pool import Functions
    from holdfast_host.worker.turns.function_turns import FunctionTurn
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.open_calls import OpenCall, Target
    from holdfast_host.worker.turns.sync_exit import SyncExit
    from holdfast_host.worker.turns.turn import Turn

_BODY: Final = int(CallKind.BODY)


@leaders
@dataclass(eq=False, kw_only=True)
class Executor:
    """Runs the turns of one worker, and is what they need of it meanwhile (`turns.turn_host.TurnHost`)."""

    store: Store
    limits: Limits
    output: Output
    clock: Clock
    leadership: Leadership
    inbox: Inbox
    compute: ComputeSlots
    deployments: Deployments
    directory: Directory
    mailboxes: Mailboxes
    functions: Functions
    calls: Calls
    outbound: OutboundRequests
    sockets: Sockets
    gate: Gate
    committer: Committer
    replies: Replies
    measures: Measures
    slow_turns: SlowTurns
    running: dict[Turn, int]  # the turns that run, each with its record on
    page: RunningPage
    on_failure: Callable[[BaseException], None]  # ends the process, for no guest may swallow what we have done wrong

    def __post_init__(self) -> None:
        """What is nobody else's."""
        self.post, self.is_live = self.inbox.post, self.sockets.is_live
        self._method_times = MethodTimes(self.limits.promotion_after_s)
        # Bound once, for each turn's section.
        self._run = self._runner().run
        self._follow = self._end
        self._lost = self.slow_turns.lost_lead

    def _runner(self) -> TurnRunner:
        return TurnRunner(self.limits, self.output, self.store)

    def run(self, turn: Turn, generation: int, now: float, opened: float | None = None) -> bool:
        """Run a turn that was taken from its mailbox. False: the leadership is lost.

        `opened`: it runs inside the section, opened then, of a turn of this thread that waits for it.
        """
        entry = turn.entry
        loaded = self.deployments.find(entry.type_id) if turn.request.kind != _BODY else entry.loaded
        if turn.is_call:
            refusal = self.mailboxes.refusal(turn, loaded, self.leadership.at_work, now)
            if refusal is not None:
                self.replies.refuse(turn, refusal)
            runs = refusal is None
        elif isinstance(turn, EventTurn):
            if not self.sockets.admit(turn, loaded):
                return True
            runs = True
        else:
            delivery = required(turn.delivery, "what a turn of the host's own is for")
            if not delivery.owner.has_row(turn):
                return delivery.owner.read_row(turn, generation)
            runs = delivery.owner.begin(turn, loaded)
        if not runs:
            if entry.is_function:
                self.functions.bodies.refused(entry)
                self.functions.release(entry, turn)
            self.mailboxes.requeue(entry)
            return True
        if loaded is None:
            raise InternalError(f"{entry.label}: a turn may run, and there is nothing for it to run")
        self._begin(turn, loaded, generation, now)
        slow = self._method_times.is_slow(turn)
        at, nested = (now, False) if opened is None else (opened, True)
        return self.leadership.in_section(generation, at, turn, self._run, self._follow, self._lost, slow, nested)

    def _begin(self, turn: Turn, loaded: LoadedType, generation: int, now: float) -> None:
        """It runs now, as far as anybody can see."""
        entry = turn.entry
        if entry.loaded is not loaded:
            entry.deactivate()
            entry.follow_rename(loaded.type)
        entry.turn = turn
        if entry.is_function:
            self.running[turn] = self.page.note(FUNCTION, loaded.function.encode())
            self.functions.touch(entry, now)
            overlay = self.functions.storage
        else:
            self.running[turn] = self.page.note(entry.type_id, entry.stored.name)
            self.directory.touch(entry, now)
            overlay = Overlay(self.store, entry.stored, entry.pending, self.limits, entry.label)
        turn.begin(self, generation, now, loaded, overlay)

    def _end(self, turn: Turn, _: None) -> None:
        """A turn that ran is over: its batch joins the group, its reply goes to the door."""
        entry, changes = turn.entry, turn.changes
        self._method_times.learn(turn)
        self.page.clear(self.running.pop(turn))
        entry.turn = None
        if turn.broken is not None:
            changes = None
            entry.deactivate()
        if changes is not None:
            if changes:
                turn.mark(self.gate.add(entry, changes))
            if changes.sends is not None:
                self.sockets.leave(turn, changes, ends=True)
        if turn.is_call:
            if entry.is_function:
                self._end_function(cast("FunctionTurn", turn))
            else:
                self.gate.answer(entry, turn, turn.receiver, Reply(turn, self.replies))
        elif turn.delivery is not None:
            self.measures.delivery_ended(turn)
            turn.delivery.owner.end(turn)
        elif isinstance(turn, EventTurn):
            self.sockets.end(turn)
        if self.outbound.streams and not entry.is_function:
            self.outbound.close_all(entry)
        if entry.evictions:
            entry.evict()
        self.mailboxes.requeue(entry)

    def _end_function(self, turn: FunctionTurn) -> None:
        """Its sandbox stands until the next piece of a body, or serves the next request."""
        entry = turn.entry
        bodies = self.functions.bodies
        begun, stands = bodies.ended(turn)
        if not stands:
            self.outbound.close_all(entry)
        if begun is None:
            self.gate.leave(entry, turn, Reply(turn, self.replies))
        else:
            self.gate.leave(entry, turn, HeadReply(turn, self.replies, lambda: bodies.close(begun)))
        self.functions.release(entry, turn)

    # What a running turn needs, on its own thread.

    @any_thread
    def call_out(self, turn: Turn, kind: CallKind, target: Target, arguments: bytes, key: bytes) -> ActorCall:
        """Begin a call of the turn that runs on this thread, under a key or none; it may be over on return.

        Where this thread leads and the callee is idle, the callee's turn runs here and now: a hand-over to another
        thread, and back, would cost more than most turns. It is a turn like any other: from mailbox to gate everything
        is the same, and the monitor sees one section that grows older.
        """
        call = ActorCall(self.calls, turn, kind, target, arguments, key)
        opened = self.leadership.pause_section(turn.generation)
        if opened is None:
            self.post(lambda: self.calls.request(call))
            return call
        try:
            self.calls.request(call, at_once=True)
            callee = call.callee
            if callee is None or not self.mailboxes.take_next(callee):
                leads = True
            else:
                leads = self.run(callee, turn.generation, time.monotonic(), opened)
            if leads:
                self.leadership.resume_section(turn.generation, opened)
        except BaseException as error:  # ours: as in the loop itself
            self.on_failure(error)
            raise
        return call

    @any_thread
    def call_out_together(self, turn: Turn, calls: Sequence[GatheredCall]) -> list[OpenCall]:
        """Begin several calls of the turn that runs on this thread. None runs on it: they are to run side by side."""
        opened = [ActorCall(self.calls, turn, CallKind.METHOD, each.target, each.arguments, each.key) for each in calls]
        self.post(lambda: self._request_all(opened))
        return [*opened]

    def _request_all(self, calls: list[ActorCall]) -> None:
        for call in calls:
            self.calls.request(call)

    @any_thread
    def aim(self, turn: Turn, binding: str, name: str) -> int:
        """The number of the type that a binding of the turn leads to, for an instance of that name."""
        return self.calls.aim(turn, binding, name)

    @any_thread
    def ask_outside(self, turn: Turn, text: bytes, *, streams: bool) -> OutboundRequest:
        """Begin an outbound request of a turn that has given its thread up; it may be over on return."""
        request = OutboundRequest(self.outbound, turn, text, streams=streams)
        self.post(request.begin)
        return request

    @any_thread
    def read_outside(self, turn: Turn, stream: str, bytes_max: int) -> OutboundRead:
        """Begin to read an answer that streams, for a turn that has given its thread up."""
        read = OutboundRead(self.outbound, turn, stream, bytes_max)
        self.post(read.begin)
        return read

    @any_thread
    def request_sync(self, turn: Turn, changes: Changes, leaving: SyncExit) -> None:
        """Have what the turn has written so far committed; `leaving` ends when it is durable."""
        self.post(lambda: self._sync(turn, changes, leaving))

    def _sync(self, turn: Turn, changes: Changes, leaving: SyncExit) -> None:
        self.committer.request_sync(turn, changes, leaving)
        self.sockets.leave(turn, changes, ends=False)
