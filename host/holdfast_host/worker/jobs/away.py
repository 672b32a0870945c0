"""Calls and requests of jobs while they are elsewhere: sent to who is asked, until they are answered.

A call is a root turn of the callee, in this worker or another, under the job's id as its idempotency key; no caller's
key is ever the same. A request is the courier's. Nobody waits: no thread, and no turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError, OutboundDeniedError, OutboundUnreachableError
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.calls.idempotency import JOBS, REPLAYED
from holdfast_host.wire.calls.outbound import Ask, pack_ask, pack_follow
from holdfast_host.wire.calls.trace_context import NO_CONTEXT
from holdfast_host.worker.calls.actor_calls import TYPED
from holdfast_host.worker.jobs.outcomes import Answer
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.job_texts import read_facts, request_text

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.jobs import Job
    from holdfast_host.wire.calls.window import Reply
    from holdfast_host.wire.control.routing import Routes
    from holdfast_host.worker.calls.courier_link import CourierLink
    from holdfast_host.worker.calls.peers import Peers
    from holdfast_host.worker.jobs.deliveries import JobDelivery, Jobs
    from holdfast_host.worker.tracing.tracer import Tracer
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.job_texts import Facts
    from holdfast_host.worker.turns.mailboxes import Mailboxes

_FIRST_SERIAL: Final = 1 << 31  # of requests: turns count below
_SERIALS: Final = 1 << 31


@leaders
class AwayJob:
    """One try that is under way. A caller for the turn at its other end, and what the courier answers."""

    __slots__ = ("_delivery", "_jobs", "over", "partition", "serial", "slot")

    origin = None  # it is a root call,
    receiver = None  # for which no instance waits

    def __init__(self, jobs: Jobs, delivery: JobDelivery) -> None:
        self._jobs = jobs
        self._delivery = delivery
        self.over = False
        self.partition = 0  # of what is called, where that is another worker's,
        self.slot = 0  # and the slot that it has there
        self.serial = 0  # of a request

    def answered(self, status: int, body: bytes) -> None:
        """What became of it; whether that was said before is nothing to us."""
        if not self.over:
            self.over = True
            tracer = self._jobs.away.tracer
            if tracer is not None:
                tracer.answered(self, status, body, None)
            self._jobs.answered(self._delivery, Answer(status & ~REPLAYED, body))

    def fail(self, error: HoldfastError) -> None:
        """There is no answer, and why."""
        self.answered(error.status, error.to_json())

    def done(self) -> bool:
        """Whether it is over; this and the next two are for a peer's window."""
        return self.over

    def set_result(self, reply: Reply) -> None:
        """The reply of another worker."""
        self.answered(*reply)

    def set_exception(self, error: HoldfastError) -> None:
        """Why there is none."""
        self.fail(error)


@leaders
@dataclass(eq=False, kw_only=True)
class Away:
    """Sends what jobs of one worker call and ask."""

    worker: int
    routing: Routes
    limits: Limits
    mailboxes: Mailboxes
    peers: Peers
    courier: CourierLink
    tracer: Tracer | None = None
    _count: int = field(default=0, init=False)

    def send(self, jobs: Jobs, delivery: JobDelivery, job: Job, loaded: LoadedType) -> None:
        """Let it out; `jobs.answered` follows, perhaps at once."""
        away, facts = AwayJob(jobs, delivery), read_facts(job)
        delivery.away = away
        try:
            if job.kind == "call":
                self._call(away, delivery.id, facts.head, facts.payload, self._link_of(job))
            else:
                self._ask(away, delivery, facts, loaded, job)
        except HoldfastError as error:
            away.fail(error)

    def _link_of(self, job: Job) -> bytes:
        return NO_CONTEXT if self.tracer is None else self.tracer.link_of(job)

    def _call(self, away: AwayJob, id_: bytes, head: JsonObject, arguments: bytes, trace: bytes) -> None:
        name = head["name"].encode()
        request = Call(
            slot=0,
            type_id=head["type_id"],
            budget_ms=0,
            kind=CallKind.METHOD,
            flags=TYPED,
            name=name,
            method=head["method"].encode(),
            origin=b"",
            body=arguments,
            key=JOBS + id_.hex().encode(),
            trace=trace,
        )
        owner, away.partition = self.routing.place(request.type_id, name)
        if owner == self.worker:
            self.mailboxes.submit(None, request, away)
        else:
            self.peers.find(owner).send(away, request)

    def stop(self, away: AwayJob) -> None:
        """What it is the answer to was taken back."""
        self.courier.cancel(away)
        away.fail(OutboundUnreachableError("the job was cancelled"))

    def forget(self, id_: bytes) -> None:
        """Nothing is wanted of the answer to this job's request any more."""
        self.courier.forget(id_)

    def _ask(self, away: AwayJob, delivery: JobDelivery, facts: Facts, loaded: LoadedType, job: Job) -> None:
        if not loaded.asks_outside:
            raise OutboundDeniedError(
                f'{loaded.function} may ask nothing outside: its holdfast.toml has no [outbound] allow = ["..."]'
            )
        self._count = (self._count + 1) % _SERIALS
        away.serial = _FIRST_SERIAL + self._count
        budget_ms = round(self.limits.outbound_timeout_s * 1000)
        ask = Ask(away.serial, budget_ms, loaded.function, b"")
        if not job.pieces:
            ask.request = request_text(facts.payload, delivery.id, keyed="keyed" in facts.head)
            if self.tracer is not None:
                ask.trace = self.tracer.ask_for(away, job, delivery.id, loaded.function, ask.request)
        if "stream_to" in facts.head:
            delivery.follows = True
            ask.job, ask.after = delivery.id, job.pieces
            self.courier.send(away, pack_follow(ask))
        else:
            self.courier.send(away, pack_ask(ask))
