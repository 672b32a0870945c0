"""The traces that a worker's turns are part of: decided when a turn begins, a span when what it says has left.

A turn that is called is part of its caller's trace. What comes later and on its own (an alarm, a job, an event of a
socket) begins a trace, and links to the turn that made it, whose context lies in its row. Of a turn that is not
recorded the context goes along all the same: so what it calls is not recorded either.

What does not live here: when a turn begins and ends (running.traced), and how a span leaves the host (export).
"""

from __future__ import annotations

import json
import random
import time
from math import isfinite
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.storage.store import Alarm
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.wire.calls.trace_context import (
    NO_CONTEXT,
    as_link,
    is_link,
    is_sampled,
    pack_context,
    span_id_of,
    trace_id_of,
)
from holdfast_host.worker.measures import OK
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.tracing.spans import CLIENT, CONSUMER, INTERNAL, SERVER, Part, SpanRecord, SpanSink, head_of
from holdfast_host.worker.turns.job_texts import trace_of, with_trace

if TYPE_CHECKING:
    from collections.abc import Hashable

    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.store import Changes
    from holdfast_host.worker.turns.turn import Turn

_KINDS: Final = {
    int(CallKind.METHOD): "call",
    int(CallKind.FETCH): "fetch",
    int(CallKind.EDIT): "edit",
    int(CallKind.ALARM): "alarm",
    int(CallKind.FUNCTION): "request",
    int(CallKind.SOCKET): "socket",
    int(CallKind.JOB): "job",
}
_BODY: Final = int(CallKind.BODY)  # a piece of a response: its turns are part of no trace
_METHOD_BYTES: Final = 256  # a guest may call by a name of any length
_ANSWER_BYTES: Final = 64  # in which a response says its status
_OK_STATUS: Final = 200


class TurnTrace:
    """The span of a turn that runs."""

    __slots__ = ("activation", "context", "ended_at", "link", "parent", "ran_at")

    def __init__(self, context: bytes, parent: bytes, link: bytes) -> None:
        self.context = context
        self.parent = parent
        self.link = link
        self.activation: Part | None = None  # this and the next are noted by the turn's own thread
        self.ran_at = 0.0  # when the guest had returned
        self.ended_at = 0.0  # when what it says went to the gate


class AskedTrace:
    """The span of a request that is outside."""

    __slots__ = ("attributes", "began_at", "context", "link", "parent", "request")

    def __init__(self, context: bytes, parent: bytes, link: bytes, request: bytes, attributes: dict[str, str]) -> None:
        self.context = context
        self.parent = parent
        self.link = link
        self.request = request
        self.attributes = attributes
        self.began_at = time.monotonic()


@leaders
class Tracer:
    """The spans of one worker that are not over."""

    def __init__(self, sink: SpanSink, worker: int) -> None:
        self._sink = sink
        self._worker = worker
        self._turns: dict[Turn, TurnTrace] = {}
        self._asked: dict[Hashable, AskedTrace] = {}
        self._commit = Part("commit", 0.0, 0.0)  # the last one

    @any_thread
    def of(self, turn: Turn) -> TurnTrace | None:
        """The trace of a turn that has begun; None for one that is part of none."""
        return self._turns.get(turn)

    @any_thread
    def context_of(self, turn: Turn) -> bytes:
        """What is called or asked by that turn carries this."""
        trace = self._turns.get(turn)
        return NO_CONTEXT if trace is None else trace.context

    def begin(self, turn: Turn) -> None:
        """It has left its mailbox, and runs."""
        if turn.request.kind != _BODY:
            self._turns[turn] = self._decide(turn)

    def made(self, turn: Turn, changes: Changes | None) -> None:
        """What a turn leaves to later ones is to say whose it is; before it joins its group."""
        context = self.context_of(turn)
        if changes is None or not context or not is_sampled(context):
            return
        if changes.alarm_changed and changes.alarm is not None:
            changes.alarm.trace = context
        own = b"" if turn.delivery is None else turn.delivery.id
        for id_, job in (changes.jobs or {}).items():
            if job is not None and id_ != own and not trace_of(job):
                changes.jobs[id_] = with_trace(job, context)  # type: ignore[index] # it is the one gone through
        accepted = changes.sockets.get(turn.request.offer) if changes.sockets and turn.request.offer else None
        if accepted is not None and changes.sockets is not None:
            changes.sockets[turn.request.offer] = accepted._replace(trace=context)

    def ended(self, turn: Turn) -> None:
        """Its guest has returned, and what it says goes to the gate."""
        trace = self._turns.get(turn)
        if trace is not None:
            trace.ended_at = time.monotonic()

    def committed(self, began_at: float) -> None:
        """A group that began to commit then is durable; what it held leaves next."""
        self._commit = Part("commit", began_at, time.monotonic())

    def left(self, turn: Turn, outcome: str) -> None:
        """What a turn says has left, or will not: `ok`, or the name of an error. The span of one that never began."""
        trace = self._turns.pop(turn, None)
        if trace is None:
            if turn.begun or turn.request.kind == _BODY:
                return
            trace = self._decide(turn)
        if is_sampled(trace.context):
            self._sink.offer(self._record(turn, trace, "" if outcome == OK else outcome, time.monotonic()))

    def ask(self, question: Hashable, turn: Turn, request: bytes) -> bytes:
        """A request of a turn leaves for the outside; what it carries. `answered` follows."""
        parent = self.context_of(turn)
        if not parent or not is_sampled(parent):
            return parent
        context = pack_context(trace_id_of(parent), _new_id(8), sampled=True)
        attributes = {"holdfast.function": turn.function}
        self._asked[question] = AskedTrace(context, span_id_of(parent), NO_CONTEXT, head_of(request), attributes)
        return context

    def ask_for(self, question: Hashable, job: Job, id_: bytes, function: str, request: bytes) -> bytes:
        """The same for one of a job, which is a trace of its own."""
        trace_id = _new_id(16)
        context = pack_context(trace_id, _new_id(8), sampled=self._sink.is_sampled(NO_CONTEXT, trace_id))
        if is_sampled(context):
            attributes = {"holdfast.function": function, "holdfast.job": id_.hex()}
            self._asked[question] = AskedTrace(context, b"", trace_of(job), head_of(request), attributes)
        return context

    def link_of(self, job: Job) -> bytes:
        """What a call of that job carries: it is a trace of its own, which links to the job's maker."""
        context = trace_of(job)
        return as_link(context) if context else NO_CONTEXT

    def answered(self, question: Hashable, status: int, body: bytes, error: HoldfastError | None) -> None:
        """A request is over: its answer, or the head of that, is there, or there is none."""
        asked = self._asked.pop(question, None)
        if asked is None:
            return
        failure = error.name if error is not None else ""
        if error is None and status != _OK_STATUS:
            failure = HoldfastError.from_facts(json.loads(body)["error"], status).name
        self._sink.offer(
            SpanRecord(
                "outbound",
                CLIENT,
                asked.context,
                asked.parent,
                asked.link,
                asked.began_at,
                time.monotonic(),
                failure,
                {**asked.attributes, "holdfast.worker": self._worker},
                request=asked.request,
                response=b"" if failure else body[:_ANSWER_BYTES],
            )
        )

    def _decide(self, turn: Turn) -> TurnTrace:
        """Which trace it is part of, and whether that is recorded."""
        given = turn.request.trace
        if given and not is_link(given):
            trace_id, parent, link = trace_id_of(given), span_id_of(given), NO_CONTEXT
        else:
            trace_id, parent, link = _new_id(16), b"", given or _context_in_row(turn)
        sampled = self._sink.is_sampled(given if parent else NO_CONTEXT, trace_id)
        return TurnTrace(pack_context(trace_id, _new_id(8), sampled=sampled), parent, link)

    def _record(self, turn: Turn, trace: TurnTrace, error: str, now: float) -> SpanRecord:
        request, entry = turn.request, turn.entry
        kind = _KINDS[request.kind]
        attributes: dict[str, str | int | bool] = {"holdfast.kind": kind, "holdfast.worker": self._worker}
        if turn.function:
            attributes["holdfast.function"] = turn.function
        name = turn.function or entry.label
        if not entry.is_function:
            type_name, _, instance = entry.label.partition("/")
            method = request.method[:_METHOD_BYTES].decode(errors="replace")
            name = f"{type_name}.{method}"
            attributes |= {"holdfast.type": type_name, "holdfast.instance": instance, "holdfast.method": method}
        if turn.begun:
            attributes["holdfast.turn"] = turn.log_name
        if turn.keyed is not None and turn.keyed.replayed:
            attributes["holdfast.replayed"] = True
        is_request = request.kind == CallKind.FUNCTION
        return SpanRecord(
            name,
            _span_kind(turn, trace),
            trace.context,
            trace.parent,
            trace.link or turn.begun_by,
            turn.arrived_at if isfinite(turn.arrived_at) else turn.begun_at,
            now,
            error,
            attributes,
            self._parts(turn, trace, now),
            head_of(request.body) if is_request else b"",
            _answer_of(turn) if is_request else b"",
        )

    def _parts(self, turn: Turn, trace: TurnTrace, now: float) -> tuple[Part, ...]:
        """Where its time went; a gate that held nothing is none."""
        parts = []
        if isfinite(turn.arrived_at):
            parts.append(Part("queue", turn.arrived_at, turn.begun_at if turn.begun else now))
        if turn.begun:
            ran_from, activation = turn.begun_at, trace.activation
            if activation is not None:
                parts.append(activation)
                ran_from = activation.ended_at
            parts.append(Part("run", ran_from, trace.ran_at))
            commit = self._commit
            if commit.ended_at >= trace.ended_at > 0:  # else it waited for none
                parts.append(Part("gate", trace.ended_at, now))
                parts.append(commit._replace(began_at=max(commit.began_at, trace.ended_at)))
        return tuple(parts)


@leaders
class SpanExit:
    """The end of a turn for whose answer nobody waits; held by the gate until what it wrote is durable."""

    __slots__ = ("_tracer", "_turn")

    def __init__(self, tracer: Tracer, turn: Turn) -> None:
        self._tracer = tracer
        self._turn = turn

    def go(self) -> None:
        """It is durable, or has failed by itself."""
        error = self._turn.error
        self._tracer.left(self._turn, OK if error is None else error.name)

    def fail(self, error: HoldfastError) -> None:
        """It is lost."""
        self._tracer.left(self._turn, error.name)


def _new_id(size_bytes: int) -> bytes:
    return (random.getrandbits(size_bytes * 8) or 1).to_bytes(size_bytes, "big")  # it keeps nobody out


def _span_kind(turn: Turn, trace: TurnTrace) -> str:
    if not turn.is_call or trace.link:
        return CONSUMER
    return INTERNAL if turn.origin is not None or turn.request.kind == CallKind.EDIT else SERVER


def _context_in_row(turn: Turn) -> bytes:
    """The context of the turn that set an alarm or made a job."""
    row = None if turn.delivery is None else turn.delivery.row
    if row is None:
        return NO_CONTEXT
    return row.trace if isinstance(row, Alarm) else trace_of(row)


def _answer_of(turn: Turn) -> bytes:
    """The beginning of a function's response; the status of what is answered in its place."""
    if turn.error is None:
        return turn.result[:_ANSWER_BYTES]
    return b'{"status":%d}' % turn.error.status
