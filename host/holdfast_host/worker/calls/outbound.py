"""Outbound requests: from a waiting turn, through the gate, to the courier and back.

A request leaves when what its instance's earlier turns wrote is durable; it is no part of the open turn, which stays
atomic. The waiting is the turn's thread's, which leads no more and computes nothing meanwhile: so it does not count
among the turns that do, and there may be many.

An answer that streams is its instance's from its head to its end, or to that of the turn: one turn of an instance runs
at a time, so that no other one can read it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError, HoldfastError, OutboundBusyError, OutboundDeniedError
from holdfast_host.wire.calls.outbound import Ask, Read, pack_ask, pack_read
from holdfast_host.wire.calls.trace_context import NO_CONTEXT
from holdfast_host.worker.calls.awaited import OK, Awaited
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.calls.courier_link import CourierLink
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.tracing.tracer import Tracer
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn import Turn

_SERIALS: Final = 1 << 31  # those of jobs lie above


@leaders
class OutboundQuestion(Awaited):
    """What a waiting turn has asked of the outside."""

    __slots__ = ("_requests", "label", "serial")

    size_bytes = 0  # of what is sent

    def __init__(self, requests: OutboundRequests, turn: Turn, label: str) -> None:
        super().__init__(turn)
        self._requests = requests
        self.label = label
        self.serial = 0

    def begin(self) -> None:
        """The turn waits from now on."""
        raise NotImplementedError

    def refuse(self, error: HoldfastError) -> None:
        """Nobody waits any more."""
        if not self.over:
            self.fail(error)
            self._requests.withdraw(self)

    def _forget(self) -> None:
        self._requests.forget(self)


@leaders
class OutboundRequest(OutboundQuestion):
    """A request of a turn, which waits for the answer, or for its head. An exit of the gate."""

    __slots__ = ("size_bytes", "streams", "text")

    def __init__(self, requests: OutboundRequests, turn: Turn, text: bytes, *, streams: bool) -> None:
        """`text` is the request as its guest wrote it."""
        super().__init__(requests, turn, "the answer to an outbound request")
        self.text = text
        self.size_bytes = len(text)
        self.streams = streams

    def begin(self) -> None:
        """Bring it to the gate."""
        self._requests.request(self)

    def go(self) -> None:
        """What the instance's earlier turns wrote is durable: the request leaves."""
        if not self.over:
            self._requests.send(self)

    def answered(self, status: int, body: bytes) -> None:
        """The answer, or its head."""
        if self.streams and status == OK and not self.over:
            self._requests.opened(self)
        super().answered(status, body)


@leaders
class OutboundRead(OutboundQuestion):
    """A turn waits for the next piece of an answer that streams."""

    __slots__ = ("bytes_max", "stream")

    def __init__(self, requests: OutboundRequests, turn: Turn, stream: str, bytes_max: int) -> None:
        """`stream` is what its guest says, which may be anything."""
        super().__init__(requests, turn, "more of the answer to an outbound request")
        self.stream = stream
        self.bytes_max = bytes_max

    def begin(self) -> None:
        """Ask the courier."""
        self._requests.read(self)

    def answered(self, status: int, body: bytes) -> None:
        """The piece; after one that is empty, or an error, there is no more."""
        if status != OK or not body:
            self._requests.ended(self)
        super().answered(status, body)


@leaders
class OutboundRequests:
    """The requests that turns of this worker wait for."""

    def __init__(
        self, limits: Limits, *, gate: Gate, leadership: Leadership, link: CourierLink, tracer: Tracer | None = None
    ) -> None:
        self._tracer = tracer
        self._limits = limits
        self._gate = gate
        self._leadership = leadership
        self._link = link
        self._serial = 0
        self._waiting: dict[OutboundQuestion, None] = {}
        self._waiting_bytes = 0
        self.streams: dict[Entry, set[int]] = {}  # the answers that are read, by their serials

    @property
    def waiting(self) -> int:
        """How many turns wait."""
        return len(self._waiting)

    def request(self, request: OutboundRequest) -> None:
        """A turn has begun to wait: check what can be known here, and bring the request to the gate."""
        turn = request.turn
        self._serial = (self._serial + 1) % _SERIALS
        request.serial = self._serial
        self._wait(request)
        try:
            self._check(turn)
        except HoldfastError as error:
            request.fail(error)
            return
        self._gate.leave(turn.entry, turn, request)

    def send(self, request: OutboundRequest) -> None:
        """Let it out."""
        turn = request.turn
        turn.mark_left()
        trace = NO_CONTEXT if self._tracer is None else self._tracer.ask(request, turn, request.text)
        ask = Ask(request.serial, _budget_ms(turn), turn.function, request.text, request.streams, trace=trace)
        self._link.send(request, pack_ask(ask))

    def read(self, read: OutboundRead) -> None:
        """A turn has begun to wait for a piece: nothing of it leaves, so that it waits for no gate."""
        self._wait(read)
        turn, stream = read.turn, read.stream
        serial = int(stream) if stream.isascii() and stream.isdigit() and len(stream) < 16 else -1
        if serial not in self.streams.get(turn.entry, ()):
            read.fail(
                BadRequestError(f"{turn.entry.label}: no answer {stream[:16]!r} is open: it has ended, or was closed")
            )
            return
        read.serial = serial
        refusal = _refusal(turn) if read.bytes_max else None
        if refusal is not None:
            read.fail(refusal)
        elif read.bytes_max:
            self._link.send(read, pack_read(Read(serial, read.bytes_max, _budget_ms(turn))))
        else:
            self._link.close_stream(serial)
            read.answered(OK, b"")

    def opened(self, request: OutboundRequest) -> None:
        """The head of an answer that streams has come."""
        self.streams.setdefault(request.turn.entry, set()).add(request.serial)

    def ended(self, read: OutboundRead) -> None:
        """An answer that streamed has ended."""
        streams = self.streams.get(read.turn.entry)
        if streams is not None:
            streams.discard(read.serial)
            if not streams:
                del self.streams[read.turn.entry]

    def close_all(self, entry: Entry) -> None:
        """The turn is over, and with it what it has not read to its end."""
        for serial in self.streams.pop(entry, ()):
            self._link.close_stream(serial)

    def interrupt(self, entry: Entry, error: HoldfastError) -> None:
        """End what this one's turn waits for: nobody takes what it makes of it."""
        for question in [each for each in self._waiting if each.turn.entry is entry]:
            question.refuse(error)

    def withdraw(self, question: OutboundQuestion) -> None:
        """Nobody waits for its answer."""
        self._link.cancel(question)

    def forget(self, question: OutboundQuestion) -> None:
        """It is over."""
        if self._tracer is not None:
            self._tracer.answered(question, question.status, question.body, question.error)
        if self._waiting.pop(question, question) is None:
            self._waiting_bytes -= question.size_bytes
            self._leadership.step_back()

    def _wait(self, question: OutboundQuestion) -> None:
        self._waiting[question] = None
        self._waiting_bytes += question.size_bytes
        self._leadership.step_aside()

    def _check(self, turn: Turn) -> None:
        """Refuse what would find no room here, or has nobody to ask it.

        Raises:
            OutboundDeniedError: the function's manifest lists nothing, so there may be no courier at all.
            OutboundBusyError: too many turns of this worker wait, or what they send is too large together.
            OutboundUnreachableError: the client that the turn makes a response for is gone.
        """
        label, limits = turn.entry.label, self._limits
        refusal = _refusal(turn)
        if refusal is not None:
            raise refusal
        if turn.loaded is None or not turn.loaded.asks_outside:
            raise OutboundDeniedError(
                f'{label}: {turn.function} may ask nothing outside: its holdfast.toml has no [outbound] allow = ["..."]'
            )
        if len(self._waiting) > limits.outbound_turns_max:
            raise OutboundBusyError(
                f"{label}: {limits.outbound_turns_max} turns of this worker wait so, which is the limit"
            )
        if self._waiting_bytes > limits.client_body_bytes_max:
            raise OutboundBusyError(
                f"{label}: outbound requests of {self._waiting_bytes} bytes would wait in this worker, the limit is "
                f"{limits.client_body_bytes_max} bytes"
            )


def _budget_ms(turn: Turn) -> int:
    return max(1, math.ceil(turn.remaining_s() * 1000))


def _refusal(turn: Turn) -> HoldfastError | None:
    """Why nobody takes what the turn makes of an answer."""
    standing = turn.entry.body
    return None if standing is None else standing.refusal(turn)
