"""Calls between actors: from a waiting turn, through the gate, to another instance and back.

A call leaves when what its caller's earlier turns wrote is durable; the open turn stays atomic. It carries the path of
instances that wait for it, so that coming back to one of them is refused without a message, and its caller's remaining
time. The waiting itself is the calling turn's thread's.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import (
    ActorReentrancyError,
    HoldfastError,
    HostUnavailableError,
    LimitError,
    UnknownActorTypeError,
    UnknownBindingError,
)
from holdfast_host.core.ids import check_instance_name
from holdfast_host.wire.calls.frames import Call, CallFlag, CallKind
from holdfast_host.wire.calls.idempotency import REPLAYED
from holdfast_host.wire.calls.moved import MOVED
from holdfast_host.wire.calls.nested_calls import CallNumber, Origin
from holdfast_host.wire.calls.trace_context import NO_CONTEXT
from holdfast_host.worker.calls.awaited import Awaited
from holdfast_host.worker.calls.deadlocks import Deadlocks
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.wire.calls.window import Reply
    from holdfast_host.wire.control.routing import Routes
    from holdfast_host.worker.calls.peers import Peer, Peers
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.tracing.tracer import Tracer
    from holdfast_host.worker.turns.deployments import Deployments, LoadedType
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn

TYPED: Final = int(CallFlag.TYPED_ARGUMENTS | CallFlag.TYPED_RESULT)


@leaders
class ActorCall(Awaited):
    """One call of a waiting turn. An exit of the gate, and a caller for the turn at its other end."""

    __slots__ = (
        "_calls", "again_until", "arguments", "binding", "callee", "key", "kind", "label", "method", "name", "number",
        "owner", "partition", "peer", "slot", "type_id",
    )  # fmt: skip

    def __init__(
        self,
        calls: Calls,
        turn: Turn,
        kind: CallKind,
        target: tuple[str, str, str],
        arguments: bytes,
        key: bytes = b"",
    ) -> None:
        """`target` is binding, name, method, as the guest gave them; `key` an idempotency key with its scope."""
        super().__init__(turn)
        self._calls = calls
        self.kind = kind
        self.binding, name, method = target
        self.name = name.encode(errors="surrogatepass")
        self.method = method.encode(errors="surrogatepass")
        self.arguments = arguments
        self.key = key
        self.type_id = 0
        self.owner = self.partition = 0  # the worker and the partition of what is called
        self.label = ""
        self.again_until = 0.0  # it is sent again where it was moved, until then
        self.number = CallNumber(0, 0, 0)
        self.callee: Turn | None = None  # where it runs in this worker
        self.peer: Peer | None = None  # where it runs in another,
        self.slot = 0  # and the slot that it has there

    @property
    def origin(self) -> Origin:
        """What the callee is told of its callers."""
        return Origin((*self.turn.path, self.turn.entry.label), self.number)

    @property
    def receiver(self) -> Entry | None:
        """The instance whose turn waits."""
        return None if self.over else self.turn.entry

    def go(self) -> None:
        """What the caller's earlier turns wrote is durable: the call leaves."""
        if not self.over:
            self._calls.send(self)

    def answered(self, status: int, body: bytes) -> None:
        """The callee's reply; whether it was given before is nothing to the caller."""
        if status == MOVED:
            self._calls.note_moved(self)
            return
        super().answered(status & ~REPLAYED, body)

    def done(self) -> bool:
        """Whether it is over; this and the next two are for a peer's window."""
        return self.over

    def set_result(self, reply: Reply) -> None:
        """The reply of another worker."""
        self.answered(*reply)

    def set_exception(self, error: HoldfastError) -> None:
        """Why there is none."""
        self.fail(error)

    def refuse(self, error: HoldfastError) -> None:
        """It is ended from here: what has not begun does not run, and the caller gets the error."""
        if not self.over:
            self.fail(error)
            self._calls.withdraw(self)

    def _forget(self) -> None:
        self._calls.forget(self)


@leaders
class Calls:
    """The calls that turns of this worker wait for."""

    def __init__(
        self,
        worker: int,
        routing: Routes,
        limits: Limits,
        *,
        gate: Gate,
        mailboxes: Mailboxes,
        directory: Directory,
        deployments: Deployments,
        peers: Peers,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._worker = worker
        self._routing = routing
        self._limits = limits
        self._gate = gate
        self._mailboxes = mailboxes
        self._deployments = deployments
        self._peers = peers
        self._count = 0
        self._moved: list[ActorCall] = []
        self.waiting: dict[CallNumber, ActorCall] = {}
        self.deadlocks = Deadlocks(
            worker, self, running_calls=directory.running_calls, place=routing.place, send=peers.tell
        )

    def request(self, call: ActorCall, *, at_once: bool = False) -> None:
        """A turn has begun to wait for this call: check it, and bring it to the gate.

        `at_once`: who asks will run the callee's turn before anything else happens, where the callee is idle.
        """
        turn = call.turn
        try:
            self._aim(call)
        except HoldfastError as error:
            call.fail(error)
            return
        self._count += 1
        call.number = CallNumber(time.time_ns() // 1000, self._worker, self._count)
        self.waiting[call.number] = call
        turn.waiting = (*turn.waiting, call)
        if call.owner != self._worker:
            self._gate.leave(turn.entry, turn, call)
            return
        callee = self._mailboxes.idle_entry(call.type_id, call.name) if at_once else None
        self._gate.call(turn.entry, turn, callee, call)

    def send(self, call: ActorCall) -> None:
        """Let it out: to an instance of this worker, or to the worker that owns it."""
        call.turn.mark_left()
        request = Call(
            slot=0,
            type_id=call.type_id,
            budget_ms=max(1, math.ceil(call.turn.remaining_s() * 1000)),  # not less: its caller's own end is told first
            kind=call.kind,
            flags=TYPED,
            name=call.name,
            method=call.method,
            origin=b"",
            body=call.arguments,
            key=call.key,
            offer=call.turn.request.offer if call.kind == CallKind.FETCH else 0,
            trace=NO_CONTEXT if self._tracer is None else self._tracer.context_of(call.turn),
        )
        try:
            if call.owner == self._worker:
                call.callee = self._mailboxes.submit(None, request, call)
                self.chase(call.callee)
            else:
                request.origin = call.origin.pack()
                call.peer = self._peers.find(call.owner)
                call.peer.send(call, request)
        except HoldfastError as error:
            call.fail(error)

    def chase(self, turn: Turn) -> None:
        """A nested call that waits behind a running turn: look whether that one waits for its caller."""
        entry, origin = turn.entry, turn.origin
        if origin is not None and entry.turn is not None and not turn.begun:
            self.deadlocks.chase(entry.type_id, entry.stored.name, origin.number, origin.path[-1])

    def note_moved(self, call: ActorCall) -> None:
        """Who was asked does not own what is called, and has not begun it."""
        now = time.monotonic()
        call.again_until = call.again_until or now + self._limits.resend_timeout_s
        call.callee = call.peer = None
        if now > call.again_until:
            call.fail(HostUnavailableError(f"{call.label}: no worker has owned it for so long; the call did not run"))
        elif not call.over:
            self._moved.append(call)

    def send_again(self) -> None:
        """Send what was moved to who owns it by now."""
        if self._moved:
            moved, self._moved = self._moved, []
            for call in moved:
                if not call.over:
                    call.owner, call.partition = self._routing.place(call.type_id, call.name)
                    self.send(call)

    def withdraw(self, call: ActorCall) -> None:
        """Take it back where it has not begun."""
        if call.callee is not None:
            self._mailboxes.withdraw(call.callee)
        elif call.peer is not None:
            call.peer.cancel(call)

    def forget(self, call: ActorCall) -> None:
        """It is over."""
        self.waiting.pop(call.number, None)
        turn = call.turn
        turn.waiting = tuple([each for each in turn.waiting if each is not call])

    def _aim(self, call: ActorCall) -> None:
        """Find what the call is for, and refuse what cannot work."""
        caller = call.turn.entry.label
        target = self._find_target(call.turn, call.binding)
        name = call.name.decode(errors="replace")
        check_instance_name(name)
        call.type_id = target.type_id
        call.label = f"{target.type}/{name}"
        call.owner, call.partition = self._routing.place(target.type_id, call.name)
        path = (*call.turn.path, caller)
        if call.label in path:
            raise ActorReentrancyError(
                f"{' -> '.join((*path, call.label))}: {call.label} waits for this call and cannot run it"
            )
        if len(path) > self._limits.call_depth_max:
            raise LimitError(
                f"{' -> '.join((*path, call.label))}: calls nest {len(path)} deep, the limit is "
                f"{self._limits.call_depth_max}"
            )

    @any_thread
    def aim(self, turn: Turn, binding: str, name: str) -> int:
        """The number of the type that a binding of the turn leads to, for an instance of that name."""
        check_instance_name(name)
        return self._find_target(turn, binding).type_id

    def _find_target(self, turn: Turn, binding: str) -> LoadedType:
        loaded = turn.loaded
        bindings = loaded.bindings if loaded is not None else {}
        type_name = bindings.get(binding)
        if loaded is None or type_name is None:
            known = ", ".join(sorted(bindings)) or "none"
            raise UnknownBindingError(f"{turn.entry.label}: no binding {binding!r}; there are: {known}")
        target = self._deployments.find_name(loaded.tenant, type_name)
        if target is None:
            raise UnknownActorTypeError(
                f"{turn.entry.label}: the binding {binding} leads to the actor type {type_name}, which no deployed "
                "function owns: deploy its owner"
            )
        return target
