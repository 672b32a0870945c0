"""A turn: one uninterrupted run of guest code for an instance, and what that code can reach meanwhile.

Made by the leader when a call arrives, begun when it is taken from the mailbox, run on whichever thread has it, ended
by the leader. While it runs, its fields are its thread's; `broken` alone is set by the leader meanwhile.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Final, NoReturn

from holdfast_host.core.errors import (
    ActorFetchTimeoutError,
    ActorMethodTimeoutError,
    ActorTrapError,
    BadRequestError,
    HoldfastError,
    LimitError,
)
from holdfast_host.core.json_text import is_nested_deeper
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.wire.calls.idempotency import CALLERS, scoped
from holdfast_host.wire.calls.trace_context import NO_CONTEXT
from holdfast_host.wire.pages.state_page import BEGUN, LEFT
from holdfast_host.worker.logs.output import shortened
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.fetch_messages import check_fetch_message
from holdfast_host.worker.turns.keyed_turn import KeyedTurn
from holdfast_host.worker.turns.open_calls import outcome_of, refuse_all
from holdfast_host.worker.turns.sync_exit import SyncExit
from holdfast_host.worker.turns.turn_jobs import TurnJobs
from holdfast_host.worker.turns.turn_sockets import TurnSockets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast_host.sandbox.gathered_calls import GatheredCall
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.storage.store import Changes
    from holdfast_host.wire.calls.frames import Call
    from holdfast_host.wire.calls.nested_calls import Origin
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.deliveries.stages import Delivery
    from holdfast_host.worker.turns.call_quotas import CallQuota
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.open_calls import Caller, OpenAnswer, OpenCall, Target
    from holdfast_host.worker.turns.turn_host import TurnHost

_THROTTLE_S: Final = 0.0001  # what a detached turn's storage call waits while the leader has work


class ThreadState(Enum):
    """What the thread of a turn that runs without the lead does."""

    DETACHED = "detached"  # its first slice, or a host call; one that leads is so too
    COMPUTING = "computing"  # and has a compute slot
    IN_LINE = "waiting for a processor"  # others have the compute slots
    CALLING = "waiting for a call"  # only where somebody asks: `waiting` says it
    SYNCING = "waiting for a commit"
    ASKING = "waiting for an answer from outside"


# Looked up once: a member of an enumeration costs more than a global.
DETACHED, COMPUTING = ThreadState.DETACHED, ThreadState.COMPUTING


class Turn:
    """One turn and the capabilities of its guest; lives from the arrival of its call to its reply."""

    __slots__ = (
        "_deadline", "_host", "_host_calls", "_log_lines", "arrived_at", "begun_at", "broken", "caller",
        "changes", "client", "computed_s", "delivery", "ended_by", "entry", "error", "function", "generation",
        "is_call", "keyed", "loaded", "origin", "quota", "request", "result", "started_cold", "state", "storage",
        "waiting",
    )  # fmt: skip

    storage: Overlay
    _host: TurnHost

    def __init__(
        self,
        entry: Entry,
        client: ClientConnection | None,
        request: Call,
        arrived_at: float,
        origin: Origin | None = None,
        caller: Caller | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        """A turn that waits in its entry's mailbox.

        Args:
            entry: the instance.
            client: whose slot waits for the reply; None where `caller` does, or nobody.
            request: what to run.
            arrived_at: monotonic time.
            origin: the call of another turn that it is; None for a root turn.
            caller: the call of this worker that waits for the reply.
            delivery: the alarm or job that it handles.
        """
        self.entry = entry
        self.client = client
        self.request = request
        self.arrived_at = arrived_at
        self.origin = origin
        self.caller = caller
        self.delivery = delivery
        self.is_call = delivery is None  # else it is the host's own, and outside what limits calls
        self.loaded: LoadedType | None = None
        self.waiting: tuple[OpenCall, ...] = ()  # what this turn waits for; the leader's
        self.begun_at = 0.0
        self.computed_s = 0.0  # on a processor, without the turns that it called on its own thread
        self.generation = 0
        self.quota: CallQuota | None = None  # its tenant's, which counts it until it is answered
        self.function = ""
        self.broken: HoldfastError | None = None
        self.error: HoldfastError | None = None  # how it failed
        self.result = b""  # what it returned, where it did not fail
        self.changes: Changes | None = None  # what it commits, where it did not fail
        self.started_cold = False
        self.keyed = KeyedTurn(request.key) if request.key else None
        self._deadline = 0.0
        self.state = DETACHED  # what it is once it has lost the lead
        self.ended_by: HoldfastError | None = None  # why the host ended the guest, where it did
        self._host_calls = 0
        self._log_lines = 0

    @property
    def log_name(self) -> str:
        """What this turn is called in the log: two of one worker never begin at the same time."""
        return f"{round(self.begun_at * 1e6):x}"

    @property
    def path(self) -> tuple[str, ...]:
        """The instances whose turns wait for this one, outermost first."""
        return self.origin.path if self.origin is not None else ()

    @property
    def receiver(self) -> Entry | None:
        """The instance of this worker whose turn waits for the answer."""
        return self.caller.receiver if self.caller is not None else None

    @property
    def begun_by(self) -> bytes:
        """The trace context of what it answers to, where only its run shows that; empty for none."""
        return NO_CONTEXT

    @property
    def label(self) -> str:
        """`Account/alice.deposit`, for messages."""
        return f"{self.entry.label}.{self.request.method.decode(errors='replace')}"

    @property
    def begun(self) -> bool:
        """True once it has left the mailbox."""
        return self.generation > 0

    @leaders
    def begin(self, host: TurnHost, generation: int, now: float, loaded: LoadedType, overlay: Overlay) -> None:
        """It is taken from the mailbox; its budget runs from here."""
        self._host = host
        limits = host.limits
        timeout_s = limits.method_timeout_s if loaded.type else limits.fetch_timeout_s
        if loaded.method_timeout_s < timeout_s:
            timeout_s = loaded.method_timeout_s
        if self.delivery is not None:
            timeout_s = limits.alarm_timeout_s
            self.delivery.owner.hold(self.delivery, overlay)
        self.loaded = loaded
        self.generation = generation
        self.begun_at = now
        self.function = loaded.function
        budget_ms = self.request.budget_ms
        self._deadline = now + (min(timeout_s, budget_ms / 1000) if budget_ms else timeout_s)
        self.storage = overlay
        if self.client is not None:
            self.client.page.words[self.request.slot] = BEGUN

    @leaders
    def mark(self, group: int) -> None:
        """Note in the state page which group its batch is in, before that group commits."""
        if self.client is not None:
            words, slot = self.client.page.words, self.request.slot
            if not words[slot] & LEFT:
                words[slot] = group

    def mark_left(self) -> None:
        """Note that something of it has left: its outcome cannot be told from its group alone."""
        if self.keyed is not None:
            self.keyed.has_left = True
        if self.client is not None:
            self.client.page.words[self.request.slot] |= LEFT

    def abandon(self) -> None:
        """Nobody waits any more for what has begun: it runs to its end all the same."""

    def remaining_s(self) -> float:
        """What is left of its budget."""
        return self._deadline - time.monotonic()

    def finish_running(self) -> None:
        """The guest has returned or trapped: give a compute slot back."""
        if self.state is COMPUTING:
            self.state = DETACHED
            self._host.compute.leave()

    def told(self, error: HoldfastError) -> HoldfastError:
        """What its caller gets for an error of its guest."""
        return error

    # What the guest reaches, on the turn's own thread.

    @property
    def sockets(self) -> TurnSockets:
        """The instance's sockets."""
        return TurnSockets(self, self._host.limits, self._host.is_live)

    @property
    def jobs(self) -> TurnJobs:
        """The instance's jobs."""
        return TurnJobs(self, self._host)

    def host_call(self) -> bool:
        """Count an import; let the leader go first where this turn is detached and the leader has work."""
        self._host_calls += 1
        limit = self._host.limits.turn_host_calls_max
        if self._host_calls > limit:
            self.ended_by = ActorTrapError(f"{self.entry.label}: more than {limit} host calls in one turn")
            return False
        leadership = self._host.leadership
        if self.generation != leadership.generation and leadership.busy:
            time.sleep(_THROTTLE_S)
        return True

    def tick(self) -> bool:
        """End of a slice: end the turn past its budget; share the compute slots once detached."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            return self._end_late()
        host = self._host
        if self.generation == host.leadership.generation:
            return True
        wait = host.compute.pass_on if self.state is COMPUTING else host.compute.enter
        self.state = ThreadState.IN_LINE
        has_slot = wait(self.function, left_s)
        self.state = COMPUTING if has_slot else DETACHED
        return has_slot or self._end_late()

    def wall_us(self) -> int:
        """The worker's wall clock, in microseconds since 1970 UTC."""
        return self._host.clock.wall_us()

    def check_alarm_handler(self) -> None:
        """Refuse to set an alarm that nobody would handle."""
        if self.loaded is not None:
            self.loaded.check_alarm_handler()

    def sync(self) -> None:
        """Commit what has been written so far, and return when it is durable."""
        self._check_whole()
        if self.storage.open_savepoints:
            raise BadRequestError(f"{self.entry.label}: sync() inside transaction() would commit half of it")
        changes = self.storage.take_early()
        self._give_up_thread()
        leaving = SyncExit(self)
        self.mark_left()
        self._host.request_sync(self, changes, leaving)
        self.state = ThreadState.SYNCING
        durable = leaving.woken.acquire(timeout=max(0.0, self._deadline - time.monotonic()))
        self.state = DETACHED
        if not durable:
            # The commit may still succeed: what it wrote is the guest's own, and the turn is over its budget.
            self._end_late()
            raise ActorMethodTimeoutError(f"{self.entry.label}: sync() did not end within the turn's budget")
        if leaving.error is not None:
            raise leaving.error

    def key(self) -> bytes:
        """The idempotency key that the turn runs under; empty for none."""
        return self.request.key[len(CALLERS) :]

    def call(self, binding: str, name: str, method: str, arguments: bytes, key: bytes = b"") -> bytes:
        """Call another instance with typed arguments, under an idempotency key or none; its typed result."""
        keyed = scoped(key) if key else b""
        self._check_arguments(arguments)
        return self._wait_for(self._call_out(CallKind.METHOD, (binding, name, method), arguments, keyed))

    def call_many(self, calls: list[GatheredCall]) -> list[bytes | HoldfastError]:
        """Call several other instances at once, and wait for all: the result of each, or why it has none."""
        limits, label = self._host.limits, self.entry.label
        if len(calls) > limits.calls_at_once_max:
            raise LimitError(f"{label}: {len(calls)} calls at once, the limit is {limits.calls_at_once_max}")
        for each in calls:
            self._check_arguments(each.arguments)
        wanted = [each._replace(key=scoped(each.key)) if each.key else each for each in calls]
        self._check_whole()
        opened = self._host.call_out_together(self, wanted)
        self._give_up_thread()
        for call in opened:
            if not call.wait(self.remaining_s()) or self.remaining_s() <= 0:
                self._give_up(opened, call)
        return [outcome_of(call) for call in opened]

    def fetch(self, binding: str, name: str, request: bytes) -> bytes:
        """Call another instance's fetch."""
        check_fetch_message(request, self._host.limits, f"{self.entry.label}: a request of fetch")
        return self._wait_for(self._call_out(CallKind.FETCH, (binding, name, "fetch"), request))

    def request_http(self, request: bytes, *, streams: bool = False) -> bytes:
        """Send an outbound request, as `wit/http.wit` has it; the text of the answer, or of its head."""
        check_fetch_message(request, self._host.limits, f"{self.entry.label}: an outbound request")
        self._check_whole()
        return self._ask(lambda: self._host.ask_outside(self, request, streams=streams))

    def read_http(self, stream: str, bytes_max: int) -> bytes:
        """The next piece of an answer that streams, as base64; empty at its end. 0 bytes close it."""
        return self._ask(lambda: self._host.read_outside(self, stream, bytes_max))

    def _ask(self, begin: Callable[[], OpenAnswer]) -> bytes:
        self._give_up_thread()
        self.state = ThreadState.ASKING
        try:
            return self._wait_for(begin())
        finally:
            self.state = DETACHED

    def clock_us(self) -> int:
        """What the wall clock says, in microseconds."""
        return self._host.clock.wall_us()

    def log(self, level: str, text: str) -> None:
        """One line of the guest's output; past the turn's limit lines are dropped, and that is said once."""
        self._log_lines += 1
        limit = self._host.limits.turn_log_lines_max
        if self._log_lines <= limit:
            line = shortened(text, self._host.limits.log_line_bytes_max)
            self._host.output.guest_line(self.entry.label, self.function, level, line, self.log_name)
        elif self._log_lines == limit + 1:
            line = f"further lines of this turn are dropped: the limit is {limit}"
            self._host.output.guest_line(self.entry.label, self.function, "warning", line, self.log_name)

    def _call_out(self, kind: CallKind, target: Target, arguments: bytes, key: bytes = b"") -> OpenCall:
        """Begin a call of another instance; that one's turn may run meanwhile, which is none of this one's time."""
        self._check_whole()
        began_s = time.thread_time()
        call = self._host.call_out(self, kind, target, arguments, key)
        self.computed_s -= time.thread_time() - began_s
        return call

    def _wait_for(self, call: OpenAnswer) -> bytes:
        """Wait for another instance, or for what is outside, without holding up this worker."""
        if not call.over:
            self._give_up_thread()
        if not call.wait(self.remaining_s()) or self.remaining_s() <= 0:
            self._give_up([call], call)
        return call.result()

    def _give_up(self, calls: Sequence[OpenAnswer], waited_for: OpenAnswer) -> NoReturn:
        """The budget is over: what has not begun of these calls does not run."""
        late = ActorMethodTimeoutError(f"{self.entry.label}: over its budget while it waited for {waited_for.label}")
        self._host.post(lambda: refuse_all(calls, late))
        self._end_late()
        raise late

    def _check_arguments(self, arguments: bytes) -> None:
        limits, label = self._host.limits, self.entry.label
        if len(arguments) > limits.arguments_bytes_max:
            raise LimitError(
                f"{label}: arguments of {len(arguments)} bytes, the limit is {limits.arguments_bytes_max} bytes"
            )
        if is_nested_deeper(arguments, limits.nesting_max):
            raise LimitError(f"{label}: arguments nested deeper than the limit of {limits.nesting_max}")

    def _check_whole(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _end_late(self) -> bool:
        if self.ended_by is None:
            budget_s = self._deadline - self.begun_at
            is_fetch = self.request.kind in {CallKind.FETCH, CallKind.FUNCTION, CallKind.BODY}
            kind = ActorFetchTimeoutError if is_fetch else ActorMethodTimeoutError
            self.ended_by = kind(f"{self.entry.label}: over its budget of {budget_s:g} s")
        return False

    def _give_up_thread(self) -> None:
        """Before blocking: leadership and compute slot go to others."""
        self._host.leadership.hand_over(self.generation)
        self.finish_running()
