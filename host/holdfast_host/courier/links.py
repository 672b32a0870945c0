"""The workers' way in: asks over a Unix socket, each of which is a task until it is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, cast

from holdfast_host.core.errors import HoldfastError, InternalError, OutboundUnreachableError
from holdfast_host.wire.calls.frames import FrameReader, ProtocolError
from holdfast_host.wire.calls.outbound import (
    Ask,
    OutboundKind,
    Read,
    check_hello,
    pack_answer,
    pack_hello,
    unpack_ask,
    unpack_cancel,
    unpack_follow,
    unpack_forget,
    unpack_read,
)

_log = logging.getLogger(__name__)
_OK: Final = 200

Serve = Callable[[Ask, asyncio.Queue[Read], Callable[[Callable[[], bytes]], Awaitable[None]]], Awaitable[None]]


class WorkerLink(asyncio.Protocol):
    """One worker's connection. Lives as long as that worker; belongs to the loop.

    Answers are made one by one, when the connection takes more: all that wait are held as they came, and no longer. A
    request's bytes count as under way until its answer has been taken.
    """

    def __init__(self, serve: Serve, forget: Callable[[bytes], None]) -> None:
        """`serve(ask, reads, deliver)` delivers what makes an answer's text, or raises a HoldfastError.

        For an OPEN it goes on with an answer for each of `reads`. It is cancelled when nobody waits any more. `forget`
        is told of which job nobody follows the answer any more.
        """
        self._serve = serve
        self._forget = forget
        self._reader = FrameReader()
        self._greeted = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._reads: dict[int, asyncio.Queue[Read]] = {}  # of the answers that stream
        self._transport: asyncio.Transport | None = None
        self._answering = asyncio.Lock()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A worker is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(pack_hello())

    def data_received(self, data: bytes) -> None:
        """Frames, whole or in part."""
        try:
            for kind, payload in self._reader.feed(data):
                self._receive(kind, payload)
        except ProtocolError as error:
            _log.error("a worker's link is closed: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def pause_writing(self) -> None:
        """The worker reads more slowly than answers come."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has read."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone: nobody waits for its requests."""
        self._transport = None
        self._writable.set()
        for task in self._tasks.values():
            task.cancel()

    def _receive(self, kind: int, payload: bytes) -> None:
        if not self._greeted:
            check_hello(kind, payload)
            self._greeted = True
        elif kind in {OutboundKind.ASK, OutboundKind.OPEN}:
            ask = unpack_ask(payload, streams=kind == OutboundKind.OPEN)
            reads: asyncio.Queue[Read] = asyncio.Queue()
            if ask.streams:
                self._reads[ask.serial] = reads
            self._tasks[ask.serial] = asyncio.get_running_loop().create_task(self._answer(ask, reads))
        elif kind == OutboundKind.FOLLOW:
            ask = unpack_follow(payload)
            self._tasks[ask.serial] = asyncio.get_running_loop().create_task(self._answer(ask, asyncio.Queue()))
        elif kind == OutboundKind.FORGET:
            self._forget(unpack_forget(payload))
        elif kind == OutboundKind.READ:
            read = unpack_read(payload)
            waiting = self._reads.get(read.serial)
            if waiting is not None:
                waiting.put_nowait(read)
            else:
                self._tasks[read.serial] = asyncio.get_running_loop().create_task(self._refuse(read))
        elif kind == OutboundKind.CANCEL:
            task = self._tasks.get(unpack_cancel(payload))
            if task is not None:
                task.cancel()
        else:
            raise ProtocolError(f"a frame of kind {kind} from a worker")

    async def _refuse(self, read: Read) -> None:
        """An answer that was opened over the courier before this one."""
        error = OutboundUnreachableError("the answer broke off: the courier that it came through died")
        try:
            await self._reply(read.serial, error.status, error.to_json)
        finally:
            self._tasks.pop(read.serial, None)

    async def _answer(self, ask: Ask, reads: asyncio.Queue[Read]) -> None:
        try:
            await self._serve(ask, reads, partial(self._reply, ask.serial, _OK))
            return
        except HoldfastError as error:
            status, body = error.status, error.to_json()
        except Exception as error:  # one request's bug must not leave its turn waiting
            _log.exception("a request could not be sent", exc_info=error)
            bug = InternalError("a bug in the courier")
            status, body = bug.status, bug.to_json()
        finally:
            self._tasks.pop(ask.serial, None)
            self._reads.pop(ask.serial, None)
        await self._reply(ask.serial, status, lambda: body)

    async def _reply(self, serial: int, status: int, make: Callable[[], bytes]) -> None:
        """Make an answer and write it; returns when the connection takes more."""
        async with self._answering:
            await self._writable.wait()
            if self._transport is not None:
                self._transport.write(pack_answer(serial, status, make()))
                await self._writable.wait()
