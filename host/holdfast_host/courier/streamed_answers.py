"""Answers to requests of jobs that stream to a topic: read piece by piece, for whoever asks for the next one.

The one who asks is a worker, which may die: an answer is its job's, not its link's. The last piece is kept until the
next one is asked for, which says that it is committed: so a successor has it again. Nothing is read ahead of what is
asked for but what the connection has taken in, and one read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError, LimitError, OutboundTimeoutError, OutboundUnreachableError
from holdfast_host.courier.event_boundaries import PIECE_BYTES, EventCutter
from holdfast_host.courier.requests import pack_response
from holdfast_host.wire.calls.outbound import PIECE

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.courier.exchange import Exchanges, OpenAnswer
    from holdfast_host.wire.calls.outbound import Ask

GATHER_S: Final = 0.05  # between two pieces of one answer, where they do not grow too long

Deliver = Callable[[Callable[[], bytes]], Awaitable[None]]


class FollowedAnswers:
    """Those of one courier; belongs to the loop."""

    def __init__(self, exchanges: Exchanges, limits: Limits) -> None:
        self._exchanges = exchanges
        self._limits = limits
        self._answers: dict[bytes, _FollowedAnswer] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many are followed, or wait to be."""
        return len(self._answers)

    async def serve(self, ask: Ask, deliver: Deliver) -> bool:
        """Deliver the piece after those that are committed, or the whole answer at its end; whether it was that.

        Raises:
            OutboundUnreachableError: the answer broke off, or there is none any more that had begun.
            HoldfastError: as for `Exchanges.request`.
        """
        answer = self._answers.get(ask.job)
        if answer is None:
            if ask.after:
                raise OutboundUnreachableError("the answer broke off: nobody holds the rest of it any more")
            answer = self._answers[ask.job] = _FollowedAnswer(self._exchanges, ask, self._limits)
        answer.readers += 1
        answer.expire(None)
        try:
            text = await answer.take(ask.after)
        except HoldfastError:
            self._drop(ask.job, answer)
            raise
        finally:
            answer.readers -= 1
            if not answer.readers:
                answer.expire(lambda: self._drop(ask.job, answer))
        await deliver(lambda: text)
        return not text.startswith(PIECE)

    def forget(self, job: bytes) -> None:
        """Nobody wants the rest of the answer to this job's request."""
        answer = self._answers.get(job)
        if answer is not None:
            self._drop(job, answer)

    async def aclose(self) -> None:
        """Cut all of them."""
        for job in list(self._answers):
            self.forget(job)
        await asyncio.gather(*self._closing)

    def _drop(self, job: bytes, answer: _FollowedAnswer) -> None:
        answer.expire(None)
        if self._answers.get(job) is answer:
            del self._answers[job]
            closing = asyncio.get_running_loop().create_task(answer.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _FollowedAnswer:
    """One of them; lives from the first question for it until it is forgotten, breaks off, or nobody asks for more."""

    def __init__(self, exchanges: Exchanges, ask: Ask, limits: Limits) -> None:
        self._exchanges = exchanges
        self._ask = ask
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._open = AsyncExitStack()
        self._answer: OpenAnswer | None = None
        self._cutter = EventCutter("", limits.outbound_event_bytes_max)
        self._whole = bytearray()
        self._size = 0
        self._ended = False
        self._reading: asyncio.Task[memoryview] | None = None
        self._number = 0  # of the piece that is made, or was made last
        self._making: asyncio.Task[bytes] | None = None
        self._begun_at = self._handed_at = self._loop.time()
        self._expiry: asyncio.TimerHandle | None = None
        self.readers = 0

    def expire(self, drop: Callable[[], None] | None) -> None:
        """Call this unless somebody asks for more; None: somebody does."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None if drop is None else self._loop.call_later(self._limits.outbound_unread_s, drop)

    async def take(self, after: int) -> bytes:
        """The piece after so many, once more if it was taken before; or the whole answer, as `request` delivers it."""
        if after == self._number:
            self._number += 1
            self._making = self._loop.create_task(self._make())
            self._making.add_done_callback(_look_at)
        making = self._making
        if making is None or after != self._number - 1:
            raise OutboundUnreachableError(f"the answer broke off: piece {after + 1} is not there any more")
        await asyncio.wait({making})  # who asks may go, and the next one has what is made
        if making.cancelled():
            raise OutboundUnreachableError("the answer was cut: its job is over")
        return making.result()

    async def aclose(self) -> None:
        """Cut it."""
        for task in (self._making, self._reading):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task})
        await self._open.aclose()

    async def _make(self) -> bytes:
        answer = self._answer
        if answer is None:
            answer = self._answer = await self._open.enter_async_context(self._exchanges.opened(self._ask))
            self._begun_at = self._loop.time()
            self._cutter = EventCutter(answer.headers.get("Content-Type", ""), self._limits.outbound_event_bytes_max)
        if 200 <= answer.status < 300:
            text = await self._gather(answer)
            if text:
                return PIECE + json.dumps(self._cutter.form).encode() + b',"text":' + json.dumps(text).encode() + b"}"
        else:
            self._whole = await answer.read_whole(self._limits.fetch_body_bytes_max)
        if self._size > self._limits.job_outcome_bytes_max:
            raise LimitError(
                f"an answer of {self._size} bytes exceeds the limit of {self._limits.job_outcome_bytes_max} bytes that "
                "is kept for a job"
            )
        return pack_response(*answer.head, self._whole, inflated=answer.body.inflated)

    async def _gather(self, answer: OpenAnswer) -> str:
        """The next of its text, as soon as there is any and the last piece is old enough; empty at its end."""
        loop, cutter = self._loop, self._cutter
        due = self._handed_at + GATHER_S
        while not self._ended and cutter.size < PIECE_BYTES and (not cutter.size or loop.time() < due):
            if loop.time() > self._begun_at + self._limits.stream_timeout_s:
                raise OutboundTimeoutError(f"the answer goes on for more than {self._limits.stream_timeout_s:g} s")
            if self._reading is None:
                self._reading = loop.create_task(answer.read(PIECE_BYTES))
                self._reading.add_done_callback(_look_at)
            await asyncio.wait({self._reading}, timeout=max(0.0, due - loop.time()) if cutter.size else None)
            if self._reading.done():
                reading, self._reading = self._reading, None
                self._take_in(answer, reading.result())
        self._handed_at = loop.time()
        return cutter.take()

    def _take_in(self, answer: OpenAnswer, piece: memoryview) -> None:
        self._ended = not piece
        self._size += len(piece)
        if self._size <= self._limits.job_outcome_bytes_max:
            answer.admitted.hold(len(piece))
            self._whole += piece
        else:
            self._whole.clear()
        if self._ended:
            self._cutter.finish()
        else:
            self._cutter.feed(piece)


def _look_at(task: asyncio.Task[bytes] | asyncio.Task[memoryview]) -> None:
    """Its error is somebody's, or nobody's any more."""
    if not task.cancelled():
        task.exception()
