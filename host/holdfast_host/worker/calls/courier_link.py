"""The way to the courier: one connection on the leader's poller, over which any number of requests wait at once.

The listener is the supervisor's, so that what is written while there is no courier waits for the next one; its HELLO
says that there is one. What had been written to one that died has an unknown outcome, and is not sent again.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.errors import OutboundUnreachableError, required
from holdfast_host.wire.frames import FrameReader, ProtocolError
from holdfast_host.wire.outbound import OutboundKind, pack_ask, pack_cancel, unpack_answer
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.threads.poller import READ_BYTES

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.wire.outbound import Ask
    from holdfast_host.worker.threads.poller import Poller

_log = logging.getLogger(__name__)

_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR
_WRITE_BYTES: Final = 256 << 10  # at once: what is left over is not copied


class Asked(Protocol):
    """What waits for the courier's answer."""

    serial: int

    def answered(self, status: int, body: bytes) -> None:
        """200 and a response, or an error's status and the error as JSON."""

    def fail(self, error: HoldfastError) -> None:
        """There is no answer, and why."""


@leaders
class CourierLink:
    """The link of one worker. Lives as long as the process; connects when something is first asked."""

    def __init__(self, address: str, poller: Poller, limits: Limits) -> None:
        """`address` is the path of the courier's socket."""
        self._address = address
        self._poller = poller
        self._limits = limits
        self._socket: socket.socket | None = None
        self._greeted = False
        self._connected_at = 0.0
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._writing = False
        self._pending: dict[int, Asked] = {}  # by serial

    def send(self, request: Asked, ask: Ask) -> None:
        """Send it; it is answered, or fails with what is known."""
        if self._socket is None and not self._connect():
            request.fail(OutboundUnreachableError("the host has no courier right now: nothing was sent"))
            return
        self._pending[request.serial] = request
        self._write(pack_ask(ask))

    def cancel(self, request: Asked) -> None:
        """Nobody waits for it any more."""
        if self._pending.pop(request.serial, None) is not None and self._socket is not None:
            self._write(pack_cancel(request.serial))

    def keep_house(self, now: float) -> None:
        """Give up on what waits too long for a courier."""
        waits_s = self._limits.resend_timeout_s
        if self._pending and not self._greeted and now - self._connected_at > waits_s:
            self._end(f"no courier has come within {waits_s:g} s")

    def _connect(self) -> bool:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        try:
            client.connect(self._address)
        except OSError as error:
            _log.error("no connection to the courier: %s", error.strerror)
            client.close()
            return False
        self._socket = client
        self._connected_at = time.monotonic()
        self._reader = FrameReader()
        self._poller.add(client.fileno(), self._ready)
        return True

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        if self._socket is None:
            return
        if events & select.EPOLLIN:
            self._read()
        elif events & _BROKEN:
            self._end("the courier died")

    def _read(self) -> None:
        connection = required(self._socket, "the socket of a link that was read")
        try:
            data = connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end("the courier died")
            return
        try:
            for kind, payload in self._reader.feed(data):
                self._receive(kind, payload)
        except ProtocolError as error:
            _log.error("courier: %s", error)
            self._end("the link to the courier broke")

    def _receive(self, kind: int, payload: bytes) -> None:
        if kind == OutboundKind.HELLO:
            self._greeted = True
        elif kind == OutboundKind.ANSWER:
            serial, status, body = unpack_answer(payload)
            request = self._pending.pop(serial, None)
            if request is not None:  # else it was taken back while its answer was on the way
                request.answered(status, body)
        else:
            raise ProtocolError(f"a frame of kind {kind} from the courier")

    def _write(self, data: bytes) -> None:
        self._unsent.append(memoryview(data))
        if not self._writing:
            self._flush()

    def _flush(self) -> None:
        """Write what the socket takes; the rest when it takes more."""
        connection, unsent = required(self._socket, "the socket of a link that is written to"), self._unsent
        try:
            while unsent:
                piece = unsent[0]
                sent = connection.send(piece[:_WRITE_BYTES])
                if sent < len(piece):
                    unsent[0] = piece[sent:]
                else:
                    unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._end("the courier died")
            return
        if bool(unsent) != self._writing:
            self._writing = bool(unsent)
            self._poller.change(connection.fileno(), reading=True, writing=self._writing)

    def _end(self, why: str) -> None:
        """The connection is over; nobody knows what became of what was asked over it."""
        if self._socket is not None:
            self._poller.remove(self._socket.fileno())
            self._socket.close()
        self._socket = None
        self._greeted = self._writing = False
        self._unsent.clear()
        pending, self._pending = self._pending, {}
        for request in pending.values():
            request.fail(OutboundUnreachableError(f"{why}: the outcome of the request may be unknown"))
