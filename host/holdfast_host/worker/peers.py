"""The way to another worker, for calls between actors: a client's link, as a front has one, on the leader's poller.

Slots, state page and evidence are those of every client (`wire`); its window is its own, so that nested calls are never
behind those from outside. While the other worker is down, calls wait for its successor.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import HoldfastError, MailboxFullError
from holdfast_host.core.limits import SLOTS
from holdfast_host.wire.evidence import Opened, judge
from holdfast_host.wire.frames import (
    PROTOCOL,
    FrameReader,
    Kind,
    ProtocolError,
    pack_call,
    pack_cancel,
    pack_json,
    unpack_json,
    unpack_reply,
)
from holdfast_host.wire.page import StatePage
from holdfast_host.worker.links import READ_BYTES

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.wire.frames import Call
    from holdfast_host.wire.routing import Routing
    from holdfast_host.worker.calls import ActorCall
    from holdfast_host.worker.links import Poller

_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR


class _Sent:
    """A call that has a slot and no answer."""

    __slots__ = ("call", "frame", "partition", "sent")

    def __init__(self, call: ActorCall, frame: bytes, partition: int) -> None:
        self.call = call
        self.frame = frame
        self.partition = partition
        self.sent = False


class Peer:
    """One other worker. Lives as long as the process; the leader's."""

    def __init__(self, worker: int, address: str, partitions: int, poller: Poller, limits: Limits) -> None:
        self.worker = worker
        self._address = address
        self._partitions = partitions
        self._poller = poller
        self._limits = limits
        self._socket: socket.socket | None = None
        self._page = StatePage.create()
        self._next_page: StatePage | None = None
        self._pending: dict[int, _Sent] = {}
        self._slots: dict[ActorCall, int] = {}
        self._free = list(range(SLOTS))
        self._opened: Opened | None = None
        self._up = False
        self._down_since = time.monotonic()
        self._reader = FrameReader()
        self._unsent = b""
        self._writing = False
        self._told: list[bytes] = []

    def send(self, call: ActorCall, request: Call) -> None:
        """Send it, or keep it for the successor of a worker that is down.

        Raises:
            MailboxFullError: no slot is free.
        """
        if not self._free:
            raise MailboxFullError(f"worker {self.worker} has {SLOTS} unanswered nested calls, the limit is {SLOTS}")
        slot = request.slot = self._free.pop()
        self._page.words[slot] = 0
        pending = _Sent(call, pack_call(request), call.shard % self._partitions)
        self._pending[slot] = pending
        self._slots[call] = slot
        if self._up:
            pending.sent = True
            self._write(pending.frame)
        elif self._socket is None:
            self.connect()

    def cancel(self, call: ActorCall) -> None:
        """Nobody waits for it any more; its slot stays taken until the answer."""
        slot = self._slots.get(call)
        if slot is not None and self._up:
            self._write(pack_cancel(slot))

    def tell(self, kind: Kind, facts: dict[str, Any]) -> None:
        """Send a message; it is lost with the worker, but waits for its HELLO."""
        message = pack_json(kind, facts)
        if self._up:
            self._write(message)
        else:
            self._told.append(message)
            if self._socket is None:
                self.connect()

    def connect(self) -> None:
        """Connect and say HELLO; the backlog is the supervisor's, so the worker itself may come later."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        try:
            client.connect(self._address)
            self._next_page = StatePage.create()
            hello = pack_json(Kind.HELLO, {"protocol": PROTOCOL, "client": "worker", "pid": os.getpid()})
            socket.send_fds(client, [hello], [self._next_page.fd])
        except OSError:
            client.close()  # `keep_house` tries again
            self._drop_next_page()
            return
        self._socket = client
        self._reader = FrameReader()
        self._unsent = b""
        self._writing = False
        self._poller.add(client.fileno(), self._ready)

    def keep_house(self, now: float) -> None:
        """Try again to connect while something waits; give up on what has waited too long."""
        if self._up or not self._pending:
            return
        if self._socket is None:
            self.connect()
        if now - self._down_since > self._limits.resend_timeout_s:
            for slot, pending in list(self._pending.items()):
                self._answer(slot, judge(self._page.words[slot], pending.partition, self._opened, None))

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._write(b"")
        if self._socket is None:
            return
        if events & select.EPOLLIN:
            self._read()
        elif events & _BROKEN:
            self._lose()

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        try:
            for kind, payload in self._reader.feed(data):
                if kind == Kind.REPLY:
                    slot, status, body = unpack_reply(payload)
                    self._reply(slot, status, body)
                elif kind == Kind.HELLO:
                    self._greet(unpack_json(payload))
        except (ProtocolError, LookupError, TypeError, ValueError):
            self._lose()

    def _greet(self, facts: dict[str, Any]) -> None:
        """The worker, or its successor, is there: judge what its predecessor left and send what has not begun."""
        opened = Opened.from_hello(facts)
        before, self._opened = self._opened, opened
        assert self._next_page is not None
        old, self._page, self._next_page = self._page, self._next_page, None
        self._up = True
        out: list[bytes] = []
        for slot, pending in list(self._pending.items()):
            verdict = judge(old.words[slot], pending.partition, before, opened) if pending.sent else None
            if verdict is None and not pending.call.over:
                pending.sent = True
                out.append(pending.frame)
            else:
                self._answer(slot, verdict)
        old.close()
        out += self._told
        self._told = []
        self._write(b"".join(out))  # all or, when that finds the worker gone again, nothing: the next one gets it once

    def _reply(self, slot: int, status: int, body: bytes) -> None:
        pending = self._pending.pop(slot)
        del self._slots[pending.call]
        self._free.append(slot)
        pending.call.answered(status, body)

    def _answer(self, slot: int, verdict: HoldfastError | None) -> None:
        pending = self._pending.pop(slot)
        del self._slots[pending.call]
        self._free.append(slot)
        if verdict is not None:
            pending.call.fail(verdict)

    def _write(self, data: bytes) -> None:
        if self._socket is None:
            return
        data = self._unsent + data
        try:
            sent = self._socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose()
            return
        self._unsent = data[sent:]
        if bool(self._unsent) != self._writing:
            self._writing = bool(self._unsent)
            self._poller.change(self._socket.fileno(), reading=True, writing=self._writing)

    def _lose(self) -> None:
        """The connection ended: keep the evidence, connect to the successor's backlog at once."""
        if self._socket is None:
            return
        self._poller.remove(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._drop_next_page()
        self._told.clear()
        if self._up:
            self._up = False
            self._down_since = time.monotonic()
        self.connect()

    def _drop_next_page(self) -> None:
        if self._next_page is not None:
            self._next_page.close()
            self._next_page = None


class Peers:
    """All other workers; a Peer is made when it is first needed. The leader's."""

    def __init__(self, routing: Routing, poller: Poller, limits: Limits) -> None:
        self._routing = routing
        self._poller = poller
        self._limits = limits
        self._peers: dict[int, Peer] = {}

    def find(self, worker: int) -> Peer:
        """The way to that worker."""
        peer = self._peers.get(worker)
        if peer is None:
            address = self._routing.addresses[worker]
            peer = self._peers[worker] = Peer(worker, address, self._routing.partitions, self._poller, self._limits)
            peer.connect()
        return peer

    def tell(self, worker: int, kind: Kind, facts: dict[str, Any]) -> None:
        """Send a message that may be lost."""
        self.find(worker).tell(kind, facts)

    def keep_house(self, now: float) -> None:
        """Now and then."""
        for peer in self._peers.values():
            peer.keep_house(now)
