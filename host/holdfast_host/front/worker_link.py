"""One link per worker: a window of slots on a connection that is made again when its worker dies.

One write per loop iteration carries all frames of that iteration.

What does not live here: the slots, and what becomes of their calls when the worker dies (wire.window), the frames
(wire.frames), who may call what (front.calls.actor_calls).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.failures import required
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.wire.calls.frames import (
    EVENT_SLOT,
    PROTOCOL,
    Call,
    FrameReader,
    Kind,
    ProtocolError,
    pack_call,
    pack_cancel,
    pack_json,
    pack_read,
    unpack_reply,
)
from holdfast_host.wire.calls.moved import MOVED
from holdfast_host.wire.calls.window import PendingCall, Receiver, Reply, Window, read_hello
from holdfast_host.wire.pages.state_page import StatePage
from holdfast_host.wire.sockets.pages import SocketPages

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.wire.pages.evidence import Opened

_log = logging.getLogger(__name__)

RECONNECT_PAUSE_S: Final = 0.02
READS_MAX: Final = 32  # questions under way at one worker, so that they never take the slots of calls
_SOCKET_BUFFER_BYTES: Final = MIB
_REPLY: Final = int(Kind.REPLY)
_OK: Final = 200


class LinkUp(NamedTuple):
    """What a link knows of its worker and of the one before."""

    before: Opened | None  # the worker that was connected last, if any
    after: Opened
    left: SocketPages | None  # the pages to which that one wrote; they are closed behind this


class SocketFrames(Protocol):
    """Who holds the front's sockets: what a link's two ends say of them is his."""

    def hello(self) -> dict[str, int]:
        """Further facts for our HELLO."""

    def on_up(self, link: WorkerLink, up: LinkUp) -> None:
        """A link begins: what its predecessor left is to be judged, and our sockets to be said."""

    def on_lost(self, link: WorkerLink) -> None:
        """It is gone, and read to its end."""

    def on_frame(self, link: WorkerLink, kind: int, payload: bytes) -> None:
        """A frame that is no answer; ProtocolError where no worker says that."""

    def on_reply(self, link: WorkerLink, slot: int) -> None:
        """An event is over."""


class WorkerLink:
    """The front's way to one worker. Lives as long as the front; belongs to its event loop.

    A link is *up* from the worker's HELLO to the end of the connection. While it is down, calls take slots and wait for
    the successor, at most `resend_timeout_s` from the moment the link went down; after that calls are refused at once.
    """

    def __init__(self, worker: int, address: str, limits: Limits, sockets: SocketFrames) -> None:
        self.worker = worker
        self.sockets = sockets
        self.on_moved: Callable[[PendingCall], None] | None = None  # gets calls of instances that are another worker's
        self._address = address
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._window = Window(worker, limits)
        self._out: list[bytes] = []
        self._flush_due = False
        self._transport: asyncio.Transport | None = None
        self._give_up_timer: asyncio.TimerHandle | None = None
        self._reads = asyncio.Semaphore(READS_MAX)
        self._task: asyncio.Task[None] | None = None
        self._opened: Opened | None = None  # by the worker of the current pages
        self._pages: SocketPages | None = None

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._await_worker()
        self._task = self._loop.create_task(self._stay_connected())

    async def aclose(self) -> None:
        """Close the connection; unanswered calls fail with HostUnavailableError or what the evidence says."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._window.close()
        if self._pages is not None:
            self._pages.close()

    @property
    def pages(self) -> SocketPages:
        """Those of the current link, or of the last one."""
        return required(self._pages, "the pages of a link that is up")

    @property
    def up(self) -> bool:
        """Whether its worker is there."""
        return self._window.up

    @property
    def unanswered(self) -> int:
        """Slots in use."""
        return self._window.unanswered

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
        body_bytes = len(call.body)
        slot = call.slot = self._window.take(body_bytes)
        pending = self._window.enter(slot, answer, pack_call(call), partition, body_bytes, call.key != b"")
        if pending.sent:
            self._send(pending.frame)
        return pending

    def send_again(self, call: PendingCall) -> None:
        """Give the worker a call that another one has not begun, now or when there is one; errors as `send`."""
        pending = self._window.enter_again(self._window.take(call.body_bytes), call)
        if pending.sent:
            self._send(pending.frame)

    def take_back_unbegun(self, is_elsewhere: Callable[[int], bool]) -> list[PendingCall]:
        """What waits here for a successor, and is another worker's by now; see Window."""
        return self._window.take_back_unbegun(is_elsewhere)

    def cancel(self, pending: PendingCall) -> None:
        """Nobody waits any more: the turn is dropped if it has not begun; the slot stays taken until the REPLY."""
        if self._window.can_cancel(pending.slot, pending.receiver):
            self._send(pack_cancel(pending.slot))

    async def read(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Ask the worker something about its instances; `facts` as `worker.inspection.queries` knows them.

        Few questions are under way at once: others wait here for their turn.

        Raises:
            HoldfastError: what the worker answered, or why it could not be asked; see `call`.
        """
        async with self._reads:
            slot = self._window.take(0)
            reply: asyncio.Future[Reply] = self._loop.create_future()
            pending = self._window.enter(slot, reply, pack_read(slot, facts), self.worker, 0, question=True)
            if pending.sent:
                self._send(pending.frame)
            status, body = await self._await(pending, reply)
        answer: dict[str, Any] = json.loads(body)
        if status != _OK:
            raise HoldfastError.from_facts(answer["error"], status)
        return answer

    def send_frame(self, frame: bytes) -> None:
        """Send a frame that has no slot of the window's; where the worker is gone, so is what it was about."""
        if self._window.up:
            self._send(frame)

    async def _await(self, pending: PendingCall, answer: asyncio.Future[Reply]) -> Reply:
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancel(pending)
            raise

    def on_hello(self, opened: Opened, transport: asyncio.Transport, page: StatePage, pages: SocketPages) -> None:
        """A worker is there: send what waited for it."""
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
            self._give_up_timer = None
        self._transport = transport
        again = self._window.hello(opened, page)
        up = LinkUp(self._opened, opened, self._pages)
        self._opened, self._pages = opened, pages
        self.sockets.on_up(self, up)
        if up.left is not None:
            up.left.close()
        if again:
            _log.info("worker %d: %d calls sent that waited for it", self.worker, len(again))
            self._out.extend(again)
            self._flush()

    def on_reply(self, slot: int, status: int, body: bytes) -> None:
        """A slot's answer."""
        if slot < EVENT_SLOT:
            if status == MOVED and self.on_moved is not None:
                self.on_moved(self._window.take_back(slot))
                return
            self._window.reply(slot, status, body)
        else:
            self.sockets.on_reply(self, slot)

    def on_lost(self) -> None:
        """The connection ended: wait for the successor."""
        if not self._window.up:
            return
        self._window.lost()
        self._transport = None
        self._out.clear()
        self.sockets.on_lost(self)
        unanswered = self._window.unanswered
        level = logging.WARNING if unanswered else logging.INFO  # without calls it may be an orderly end
        _log.log(level, "worker %d: link lost with %d calls unanswered", self.worker, unanswered)
        self._await_worker()

    async def _stay_connected(self) -> None:
        while True:
            page, pages = StatePage.create(), SocketPages.create()
            wire: Wire | None = None
            try:
                wire = await self._connect(page, pages)
                await wire.ended
            except OSError as error:
                _log.debug("worker %d: %s", self.worker, error)
            finally:
                if wire is not None:
                    wire.abort()
                if not self._window.owns(page):
                    page.close()
                    pages.close()
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _connect(self, page: StatePage, pages: SocketPages) -> Wire:
        """Connect and say HELLO. The backlog belongs to the supervisor, so this may precede the worker itself."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            client.connect(
                self._address
            )  # a Unix socket never waits here: it is taken, refused, or the backlog is full
            facts = {"protocol": PROTOCOL, "client": "front", "pid": os.getpid(), **self.sockets.hello()}
            hello = pack_json(Kind.HELLO, facts)
            socket.send_fds(client, [hello], [page.fd, *pages.descriptors])
            _, wire = await self._loop.create_unix_connection(lambda: Wire(self, page, pages), sock=client)
        except BaseException:
            client.close()
            raise
        return wire

    def _await_worker(self) -> None:
        self._give_up_timer = self._loop.call_later(self._limits.resend_timeout_s, self._window.give_up)

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

    def __init__(self, link: WorkerLink, page: StatePage, pages: SocketPages) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._link = link
        self._page = page
        self._pages = pages
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
                elif self._greeted:
                    self._link.sockets.on_frame(self._link, kind, payload)
                else:
                    self._greet(kind, payload)
        except ProtocolError as error:
            _log.error("worker %d: %s", self._link.worker, error)
            self.abort()

    def _read_to_the_end(self) -> None:
        """It broke as we wrote: what the worker said before is still to be read, or it would count as lost."""
        wire = None if self._transport is None else self._transport.get_extra_info("socket")
        if wire is None or wire.fileno() < 0:
            return
        with wire.dup() as rest, contextlib.suppress(OSError):
            while data := rest.recv(_SOCKET_BUFFER_BYTES):
                self.data_received(data)

    def _greet(self, kind: int, payload: bytes) -> None:
        if self._transport is None:
            raise ProtocolError(f"a frame of kind {kind} out of turn")
        opened = read_hello(kind, payload)
        self._greeted = True
        self._link.on_hello(opened, self._transport, self._page, self._pages)

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone, or we cut the connection."""
        if exc is not None:
            self._read_to_the_end()
        if self._greeted:
            self._greeted = False
            self._link.on_lost()
        if not self.ended.done():
            self.ended.set_result(None)
