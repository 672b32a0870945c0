"""One link per worker: calls go out in slots, replies come back, and a worker's death is answered from evidence.

Invariants: a slot is free again only by its REPLY, or when its worker is known to be gone; one write per loop iteration
carries all frames of that iteration; a link never sends a call twice unless the evidence says that it has not begun.
Calls keep their order, also when they are sent again.

What does not live here: the decision itself (wire.evidence), the frames (wire.frames), who may call what
(front.calls).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from typing import Any, Final, Protocol, cast

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, MailboxFullError
from holdfast_host.core.limits import MIB, SLOTS, Limits
from holdfast_host.front.errors import error_of
from holdfast_host.wire.evidence import Opened, judge
from holdfast_host.wire.frames import (
    PROTOCOL,
    Call,
    FrameReader,
    Kind,
    ProtocolError,
    pack_call,
    pack_cancel,
    pack_json,
    pack_read,
    unpack_json,
    unpack_reply,
)
from holdfast_host.wire.page import StatePage

_log = logging.getLogger(__name__)

RECONNECT_PAUSE_S: Final = 0.02
READS_MAX: Final = 32  # questions under way at one worker, so that they never take the slots of calls
_SOCKET_BUFFER_BYTES: Final = MIB
_REPLY: Final = int(Kind.REPLY)
_OK: Final = 200

Reply = tuple[int, bytes]  # HTTP status and body


class Receiver(Protocol):
    """Who gets a call's answer: a future that somebody awaits, or `front.direct`.

    It is told within the link's own work, and so raises nothing and begins no other call before the loop's next
    iteration.
    """

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, reply: Reply, /) -> None:
        """The worker's answer."""

    def set_exception(self, error: HoldfastError, /) -> None:
        """Why there is none."""


class PendingCall:
    """A call that took a slot and has no answer yet. The frame stays, in case it must be sent again."""

    __slots__ = ("answer", "body_bytes", "frame", "partition", "sent", "slot")

    def __init__(self, slot: int, answer: Receiver, frame: bytes, partition: int, body_bytes: int) -> None:
        self.slot = slot
        self.answer = answer
        self.frame = frame
        self.partition = partition
        self.body_bytes = body_bytes
        self.sent = False  # to the worker of the current page


class Link:
    """The front's way to one worker. Lives as long as the front; belongs to its event loop.

    A link is *up* from the worker's HELLO to the end of the connection. While it is down, calls take slots and wait for
    the successor, at most `resend_timeout_s` from the moment the link went down; after that calls are refused at once.
    """

    def __init__(self, worker: int, address: str, limits: Limits) -> None:
        self.worker = worker
        self.up = False
        self._address = address
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._page = StatePage.create()  # the words of the calls that have slots; replaced at each HELLO
        self._pending: dict[int, PendingCall] = {}  # by slot, in order of arrival
        self._free = list(range(SLOTS))
        self._unanswered_bytes = 0
        self._out: list[bytes] = []
        self._flush_due = False
        self._opened: Opened | None = None
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._patient = True
        self._reads = asyncio.Semaphore(READS_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._await_worker()
        self._task = self._loop.create_task(self._stay_connected())

    async def aclose(self) -> None:
        """Close the connection; unanswered calls fail with HostUnavailableError or what the evidence says."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._patience is not None:
            self._patience.cancel()
        self.up = False
        if self._transport is not None:
            self._transport.abort()
        self._give_up()
        self._page.close()

    @property
    def unanswered(self) -> int:
        """Slots in use."""
        return len(self._pending)

    async def call(self, call: Call, partition: int) -> Reply:
        """Run a turn at the worker; see `send`. A caller that is cancelled cancels the call.

        Raises:
            MailboxFullError: no slot or no room for the body.
            HostUnavailableError: the worker died and the call committed nothing, or there is no worker.
            ActorOutputGateError: the worker died, the outcome is unknown or the result lost.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        return await self._await(self.send(call, partition, answer), answer)

    def send(self, call: Call, partition: int, answer: Receiver) -> PendingCall:
        """Give a turn to the worker, now or when there is one; `call.slot` is filled in here.

        Raises:
            MailboxFullError: no slot or no room for the body.
            HostUnavailableError: there is no worker.
        """
        slot = call.slot = self._take_slot(len(call.body))
        return self._enter(PendingCall(slot, answer, pack_call(call), partition, len(call.body)))

    def cancel(self, pending: PendingCall) -> None:
        """Nobody waits any more: the turn is dropped if it has not begun; the slot stays taken until the REPLY."""
        # The slot may have been answered, freed and taken by another call before the cancellation got here.
        if self._pending.get(pending.slot) is pending and self.up:
            self._send(pack_cancel(pending.slot))

    async def read(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Ask the worker something about its instances; `facts` as `worker.inspection` knows them.

        Few questions are under way at once: others wait here for their turn.

        Raises:
            HoldfastError: what the worker answered, or why it could not be asked; see `call`.
        """
        async with self._reads:
            slot = self._take_slot(0)
            reply: asyncio.Future[Reply] = self._loop.create_future()
            pending = self._enter(PendingCall(slot, reply, pack_read(slot, facts), self.worker, 0))
            status, body = await self._await(pending, reply)
        answer: dict[str, Any] = json.loads(body)
        if status != _OK:
            raise error_of({**answer["error"], "status": status})
        return answer

    def _take_slot(self, body_bytes: int) -> int:
        if not self._free or self._unanswered_bytes + body_bytes > self._limits.client_body_bytes_max:
            raise self._full(body_bytes)
        if not self._patient:
            raise HostUnavailableError(
                f"worker {self.worker} is gone since over {self._limits.resend_timeout_s:g} s: the call has not begun"
            )
        slot = self._free.pop()
        self._page.words[slot] = 0
        self._unanswered_bytes += body_bytes
        return slot

    def _enter(self, pending: PendingCall) -> PendingCall:
        """It has taken its slot."""
        self._pending[pending.slot] = pending
        if self.up:
            pending.sent = True
            self._send(pending.frame)
        return pending

    async def _await(self, pending: PendingCall, answer: asyncio.Future[Reply]) -> Reply:
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancel(pending)
            raise

    def on_hello(self, opened: Opened, transport: asyncio.Transport, page: StatePage) -> None:
        """A worker is there: judge what its predecessor left, send what has not begun, go up."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._patient = True
        self._transport = transport
        before, self._opened = self._opened, opened
        words, old_page, self._page = self._page.words, self._page, page
        again: list[bytes] = []
        for slot, pending in list(self._pending.items()):
            verdict = judge(words[slot], pending.partition, before, opened) if pending.sent else None
            if verdict is None and not pending.answer.done():
                pending.sent = True
                again.append(pending.frame)
            else:
                self._fail(slot, verdict)
        old_page.close()
        self.up = True
        if again:
            _log.info("worker %d: %d calls sent that waited for it", self.worker, len(again))
            self._out.extend(again)
            self._flush()

    def on_reply(self, slot: int, status: int, body: bytes) -> None:
        """A slot's answer: free the slot, wake who waits."""
        pending = self._pending.pop(slot, None)
        if pending is None:
            raise ProtocolError(f"a REPLY for slot {slot}, which waits for none")
        self._free.append(slot)
        self._unanswered_bytes -= pending.body_bytes
        if not pending.answer.done():
            pending.answer.set_result((status, body))

    def on_lost(self) -> None:
        """The connection ended: keep the evidence, wait for the successor."""
        if not self.up:
            return
        self.up = False
        self._transport = None
        self._out.clear()
        level = logging.WARNING if self._pending else logging.INFO  # without calls it may be an orderly end
        _log.log(level, "worker %d: link lost with %d calls unanswered", self.worker, len(self._pending))
        self._await_worker()

    async def _stay_connected(self) -> None:
        while True:
            page = StatePage.create()
            wire: Wire | None = None
            try:
                wire = await self._connect(page)
                await wire.ended
            except OSError as error:
                _log.debug("worker %d: %s", self.worker, error)
            finally:
                if wire is not None:
                    wire.abort()
                if page is not self._page:
                    page.close()
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _connect(self, page: StatePage) -> Wire:
        """Connect and say HELLO. The backlog belongs to the supervisor, so this may precede the worker itself."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            client.connect(
                self._address
            )  # a Unix socket never waits here: it is taken, refused, or the backlog is full
            hello = pack_json(Kind.HELLO, {"protocol": PROTOCOL, "client": "front", "pid": os.getpid()})
            socket.send_fds(client, [hello], [page.fd])
            _, wire = await self._loop.create_unix_connection(lambda: Wire(self, page), sock=client)
        except BaseException:
            client.close()
            raise
        return wire

    def _await_worker(self) -> None:
        self._patience = self._loop.call_later(self._limits.resend_timeout_s, self._give_up)

    def _give_up(self) -> None:
        """No successor in time: answer all from what is known, refuse from now on."""
        self._patient = False
        for slot, pending in list(self._pending.items()):
            self._fail(slot, judge(self._page.words[slot], pending.partition, self._opened, None))

    def _fail(self, slot: int, verdict: HoldfastError | None) -> None:
        pending = self._pending.pop(slot)
        self._free.append(slot)
        self._unanswered_bytes -= pending.body_bytes
        if verdict is not None and not pending.answer.done():
            pending.answer.set_exception(verdict)

    def _full(self, body_bytes: int) -> MailboxFullError:
        if not self._free:
            return MailboxFullError(f"worker {self.worker} has {SLOTS} unanswered calls, the limit is {SLOTS}")
        return MailboxFullError(
            f"worker {self.worker} has {self._unanswered_bytes} bytes of unanswered bodies, {body_bytes} more exceed "
            f"the limit of {self._limits.client_body_bytes_max} bytes"
        )

    def _send(self, frame: bytes) -> None:
        self._out.append(frame)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out) if len(self._out) > 1 else self._out[0])
            self._out.clear()


class Wire(asyncio.Protocol):
    """One connection of a link. A late event of an old one cannot reach the link as if it were the current one's."""

    def __init__(self, link: Link, page: StatePage) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._link = link
        self._page = page
        self._reader = FrameReader()
        self._greeted = False
        self._cut = False
        self._transport: asyncio.Transport | None = None

    def abort(self) -> None:
        """Cut the connection; what still comes is not looked at."""
        self._cut = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the worker's HELLO."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand each whole frame to the link."""
        if self._cut:
            return
        try:
            for kind, payload in self._reader.feed(data):
                if kind == _REPLY and self._greeted:
                    self._link.on_reply(*unpack_reply(payload))
                else:
                    self._greet(kind, payload)
        except (ProtocolError, LookupError, TypeError, ValueError) as error:
            _log.error("worker %d: %s", self._link.worker, error)
            self.abort()

    def _greet(self, kind: int, payload: bytes) -> None:
        if kind != Kind.HELLO or self._greeted:
            raise ProtocolError(f"a frame of kind {kind} out of turn")
        facts = unpack_json(payload)
        if facts.get("protocol") != PROTOCOL:
            raise ProtocolError(f"the worker speaks protocol {facts.get('protocol')}, this front {PROTOCOL}")
        assert self._transport is not None
        self._greeted = True
        self._link.on_hello(Opened.from_hello(facts), self._transport, self._page)

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone, or we cut the connection."""
        if self._greeted:
            self._greeted = False
            self._link.on_lost()
        if not self.ended.done():
            self.ended.set_result(None)
