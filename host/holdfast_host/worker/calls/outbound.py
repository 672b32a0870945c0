"""Outbound requests: from a waiting turn, through the gate, to the courier and back.

A request leaves when what its instance's earlier turns wrote is durable; it is no part of the open turn, which stays
atomic. The waiting is the turn's thread's, which leads no more and computes nothing meanwhile: so it does not count
among the turns that do, and there may be many.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError, OutboundBusyError, OutboundDeniedError
from holdfast_host.wire.outbound import Ask
from holdfast_host.worker.calls.awaited import Awaited
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.calls.courier_link import CourierLink
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.turn import Turn

_SERIALS: Final = 1 << 32


@leaders
class OutboundRequest(Awaited):
    """One request of a waiting turn. An exit of the gate."""

    __slots__ = ("_requests", "label", "serial", "text")

    def __init__(self, requests: OutboundRequests, turn: Turn, text: bytes) -> None:
        """`text` is the request as its guest wrote it."""
        super().__init__(turn)
        self._requests = requests
        self.text = text
        self.label = "the answer to an outbound request"
        self.serial = 0

    def go(self) -> None:
        """What the instance's earlier turns wrote is durable: the request leaves."""
        if not self.over:
            self._requests.send(self)

    def refuse(self, error: HoldfastError) -> None:
        """Nobody waits any more."""
        if not self.over:
            self.fail(error)
            self._requests.withdraw(self)

    def _forget(self) -> None:
        self._requests.forget(self)


@leaders
class OutboundRequests:
    """The requests that turns of this worker wait for."""

    def __init__(self, limits: Limits, *, gate: Gate, leadership: Leadership, link: CourierLink) -> None:
        self._limits = limits
        self._gate = gate
        self._leadership = leadership
        self._link = link
        self._serial = 0
        self._waiting: dict[OutboundRequest, None] = {}
        self._waiting_bytes = 0

    @property
    def waiting(self) -> int:
        """How many turns wait."""
        return len(self._waiting)

    def request(self, request: OutboundRequest) -> None:
        """A turn has begun to wait: check what can be known here, and bring the request to the gate."""
        turn = request.turn
        self._serial = (self._serial + 1) % _SERIALS
        request.serial = self._serial
        self._waiting[request] = None
        self._waiting_bytes += len(request.text)
        self._leadership.step_aside()
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
        budget_ms = max(1, math.ceil(turn.remaining_s() * 1000))
        self._link.send(request, Ask(request.serial, budget_ms, turn.function, request.text))

    def withdraw(self, request: OutboundRequest) -> None:
        """Nobody waits for its answer."""
        self._link.cancel(request)

    def forget(self, request: OutboundRequest) -> None:
        """It is over."""
        if self._waiting.pop(request, request) is None:
            self._waiting_bytes -= len(request.text)
            self._leadership.step_back()

    def _check(self, turn: Turn) -> None:
        """Refuse what would find no room here, or has nobody to ask it.

        Raises:
            OutboundDeniedError: the function's manifest lists nothing, so there may be no courier at all.
            OutboundBusyError: too many turns of this worker wait, or what they send is too large together.
        """
        label, limits = turn.entry.label, self._limits
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
