"""The way to another worker, for calls between actors: a client's link, as a front has one, on the leader's poller.

Its window of slots is one of its own, so that nested calls are never behind those from outside (`wire.window`).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdfast_host.wire.calls.frames import (
    PROTOCOL,
    Kind,
    ProtocolError,
    pack_call,
    pack_cancel,
    pack_json,
    unpack_reply,
)
from holdfast_host.wire.calls.moved import MOVED
from holdfast_host.wire.calls.window import Window, read_hello
from holdfast_host.wire.pages.state_page import StatePage
from holdfast_host.worker.calls.outgoing import OutgoingConnection
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.wire.calls.frames import Call
    from holdfast_host.wire.calls.window import PendingCall, Reply
    from holdfast_host.wire.control.routing import Routes
    from holdfast_host.worker.threads.poller import Poller

_log = logging.getLogger(__name__)

_REPLY: Final = int(Kind.REPLY)


class PeerCall(Protocol):
    """What waits in a peer's window for the reply."""

    slot: int
    partition: int

    def done(self) -> bool:
        """Whether it is over."""

    def set_result(self, reply: Reply) -> None:
        """The reply."""

    def set_exception(self, error: HoldfastError) -> None:
        """Why there is none."""


@leaders
class Peer:
    """One other worker. Lives as long as the process."""

    def __init__(self, worker: int, address: str, poller: Poller, limits: Limits) -> None:
        self.worker = worker
        self._address = address
        self._limits = limits
        self._connection = OutgoingConnection(poller, on_frame=self._receive, on_end=self._ended)
        self._window = Window(worker, limits, "nested calls")
        self._next_page: StatePage | None = None
        self._greeted = False
        self._down_since = time.monotonic()
        self._told: list[bytes] = []

    def send(self, call: PeerCall, request: Call) -> None:
        """Send it, or keep it for the successor of a worker that is down.

        Raises:
            MailboxFullError: no slot is free, or no room for the body.
            HostUnavailableError: the worker is gone and no successor came in time.
        """
        body_bytes = len(request.body)
        call.slot = request.slot = self._window.take(body_bytes)
        frame, keyed = pack_call(request), request.key != b""
        pending = self._window.enter(call.slot, call, frame, call.partition, body_bytes, keyed)
        if pending.sent:
            self._connection.write(pending.frame)
        elif not self._connection.is_open:
            self.connect()

    def take_back_unbegun(self, is_elsewhere: Callable[[int], bool]) -> list[PendingCall]:
        """What waits here for a successor, and is another worker's by now; see Window."""
        return self._window.take_back_unbegun(is_elsewhere)

    def cancel(self, call: PeerCall) -> None:
        """Nobody waits for it any more; its slot stays taken until the answer."""
        if self._window.can_cancel(call.slot, call):
            self._connection.write(pack_cancel(call.slot))

    def tell(self, kind: Kind, facts: dict[str, Any]) -> None:
        """Send a message; it is lost with the worker, but waits for its HELLO."""
        message = pack_json(kind, facts)
        if self._window.up:
            self._connection.write(message)
        else:
            self._told.append(message)
            if not self._connection.is_open:
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
        self._connection.open(client)

    def keep_house(self, now: float) -> None:
        """Try again to connect; give up on what has waited too long for it."""
        if self._window.up:
            return
        if not self._connection.is_open:
            self.connect()
        if now - self._down_since > self._limits.resend_timeout_s:
            self._window.give_up()

    def _receive(self, kind: int, payload: bytes) -> None:
        if kind == _REPLY and self._greeted:
            self._window.reply(*unpack_reply(payload))
        else:
            self._greet(kind, payload)

    def _greet(self, kind: int, payload: bytes) -> None:
        """The worker, or its successor, is there: send what has not begun."""
        if self._greeted or self._next_page is None:
            raise ProtocolError(f"a frame of kind {kind} out of turn")
        opened = read_hello(kind, payload)
        self._greeted = True
        page, self._next_page = self._next_page, None
        out = self._window.hello(opened, page)
        out += self._told
        self._told = []
        # All or, when that finds the worker gone again, nothing: the next one gets it once.
        self._connection.write(b"".join(out))

    def _ended(self, error: ProtocolError | None) -> None:
        """The connection ended: connect to the successor's backlog at once, unless it ended for what was sent."""
        self._fall()
        if error is None:
            self.connect()
        else:  # `keep_house` tries again: what breaks the protocol would do so at once, without end
            _log.error("worker %d: %s", self.worker, error)

    def _fall(self) -> None:
        self._drop_next_page()
        self._told.clear()
        self._greeted = False
        if self._window.up:
            self._window.lost()
            self._down_since = time.monotonic()

    def _drop_next_page(self) -> None:
        if self._next_page is not None:
            self._next_page.close()
            self._next_page = None


@leaders
class Peers:
    """All other workers; a Peer is made when it is first needed."""

    def __init__(self, routing: Routes, poller: Poller, limits: Limits) -> None:
        self._routing = routing
        self._poller = poller
        self._limits = limits
        self._peers: dict[int, Peer] = {}

    def find(self, worker: int) -> Peer:
        """The way to that worker."""
        peer = self._peers.get(worker)
        if peer is None:
            address = self._routing.addresses[worker]
            peer = self._peers[worker] = Peer(worker, address, self._poller, self._limits)
            peer.connect()
        return peer

    def tell(self, worker: int, kind: Kind, facts: dict[str, Any]) -> None:
        """Send a message that may be lost."""
        self.find(worker).tell(kind, facts)

    def follow_routing(self) -> None:
        """What waits for the successor of a worker, and is another one's by now, is told so, where it has not begun."""
        owners = self._routing.owners
        for worker, peer in self._peers.items():
            elsewhere = {partition for partition, owner in enumerate(owners) if owner != worker}
            for call in peer.take_back_unbegun(elsewhere.__contains__):
                if not call.receiver.done():
                    call.receiver.set_result((MOVED, b""))

    def keep_house(self, now: float) -> None:
        """Now and then."""
        for peer in self._peers.values():
            peer.keep_house(now)
