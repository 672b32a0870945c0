"""How long a client may take to read, and how much of what it does not read may lie in memory.

An answer that nobody takes stays in memory as a body that never ends would, see `client_timeouts`. It has a deadline
that moves with what is taken, so that a slow line gets its answer and a trickle does not. All that waits to be taken
is bounded: past that, who has waited longest without taking anything is cut.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from holdfast_host.core.limits import KIB, MIB

TAKE_S: Final = 20.0  # until the first byte is taken, and between two
RATE_BYTES_S: Final = 8 * KIB  # below this on average, after TAKE_S, it is a trickle
DRAIN_S: Final = 3.0  # for what is still to be taken when the front is to stop
UNREAD_BYTES_MAX: Final = 128 * MIB  # over all connections
_SWEEP_S: Final = 0.5


@dataclass(slots=True)
class _Answer:
    """What one connection is to take."""

    began_at: float
    moved_at: float
    given_bytes: int
    left_bytes: int


class WriteBackpressure:
    """The answers that wait to be taken over the connections of one front; for its loop."""

    def __init__(
        self, *, take_s: float = TAKE_S, rate_bytes_s: int = RATE_BYTES_S, unread_bytes_max: int = UNREAD_BYTES_MAX
    ) -> None:
        self._take_s = take_s
        self._rate_bytes_s = rate_bytes_s
        self._unread_bytes_max = unread_bytes_max
        self._loop = asyncio.get_running_loop()
        self._answers: dict[asyncio.Transport, _Answer] = {}
        self._ends_at = float("inf")
        self._sweeping: asyncio.TimerHandle | None = None
        self.unread_bytes = 0
        self.cut = 0

    def watch(self, transport: asyncio.Transport, count: int) -> None:
        """So many bytes were written, and not all were taken at once."""
        left, now = transport.get_write_buffer_size(), self._loop.time()
        answer = self._answers.get(transport)
        if answer is None:
            answer = self._answers[transport] = _Answer(now, now, 0, 0)
        answer.given_bytes += count
        self.unread_bytes += left - answer.left_bytes
        answer.left_bytes = left
        if self.unread_bytes > self._unread_bytes_max:
            self._look()
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(min(_SWEEP_S, self._take_s), self._sweep)

    def end(self) -> None:
        """The front is to stop: what is still to be taken has a moment left."""
        self._ends_at = self._loop.time() + DRAIN_S

    def _sweep(self) -> None:
        self._look()
        self._sweeping = None
        if self._answers:
            self._sweeping = self._loop.call_later(min(_SWEEP_S, self._take_s), self._sweep)

    def _look(self) -> None:
        """Forget what was taken; cut who takes nothing, and who waits longest where all of it is too much."""
        now = self._loop.time()
        self.unread_bytes = 0
        for transport, answer in list(self._answers.items()):
            left = transport.get_write_buffer_size()
            if not left:
                del self._answers[transport]
                continue
            if left < answer.left_bytes:
                answer.moved_at = now
            answer.left_bytes = left
            self.unread_bytes += left
            if now >= self._late_at(answer):
                self._cut(transport)
        longest = sorted(self._answers, key=lambda each: self._answers[each].moved_at)
        for transport in longest:
            if self.unread_bytes <= self._unread_bytes_max:
                break
            self._cut(transport)

    def _late_at(self, answer: _Answer) -> float:
        taken_bytes = answer.given_bytes - answer.left_bytes
        trickles_at = answer.began_at + self._take_s + taken_bytes / self._rate_bytes_s
        return min(trickles_at, answer.moved_at + self._take_s, self._ends_at)

    def _cut(self, transport: asyncio.Transport) -> None:
        self.unread_bytes -= self._answers.pop(transport).left_bytes
        self.cut += 1
        transport.abort()
