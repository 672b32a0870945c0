"""The way to the courier: one connection, over which any number of requests wait at once.

The listener is the supervisor's, so that what is written while there is no courier waits for the next one; its HELLO
says that there is one. What had been written to one that died has an unknown outcome, and is not sent again.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Protocol

from holdfast_host.core.errors import HoldfastError, OutboundUnreachableError
from holdfast_host.wire.calls.frames import ProtocolError
from holdfast_host.wire.calls.outbound import (
    OutboundKind,
    check_hello,
    pack_cancel,
    pack_forget,
    pack_hello,
    unpack_answer,
)
from holdfast_host.worker.calls.outgoing import OutgoingConnection
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.threads.poller import Poller

_log = logging.getLogger(__name__)


class Asked(Protocol):
    """What waits for the courier's answer; one at a time under each serial."""

    serial: int

    def answered(self, status: int, body: bytes) -> None:
        """200 and what was asked for, or an error's status and the error as JSON."""

    def fail(self, error: HoldfastError) -> None:
        """There is no answer, and why."""


@leaders
class CourierLink:
    """The link of one worker. Lives as long as the process; connects when something is first asked."""

    def __init__(self, address: str, poller: Poller, limits: Limits) -> None:
        """`address` is the path of the courier's socket."""
        self._address = address
        self._limits = limits
        self._connection = OutgoingConnection(poller, on_frame=self._receive, on_end=self._ended)
        self._greeted = False
        self._connected_at = 0.0
        self._pending: dict[int, Asked] = {}  # by serial

    def send(self, request: Asked, frame: bytes) -> None:
        """Send it; it is answered, or fails with what is known."""
        if not self._connection.is_open and not self._connect():
            request.fail(OutboundUnreachableError("the host has no courier right now: nothing was sent"))
            return
        self._pending[request.serial] = request
        self._connection.write(frame)

    def cancel(self, request: Asked) -> None:
        """Nobody waits for it any more."""
        if self._pending.pop(request.serial, None) is not None:
            self._connection.write(pack_cancel(request.serial))

    def close_stream(self, serial: int) -> None:
        """What is left of the answer that was opened under this serial is nobody's."""
        self._pending.pop(serial, None)
        self._connection.write(pack_cancel(serial))

    def forget(self, job: bytes) -> None:
        """The answer to a job's request is followed no more; where the courier has died there is none."""
        if self._connection.is_open:
            self._connection.write(pack_forget(job))

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
        self._connected_at = time.monotonic()
        self._connection.open(client)
        self._connection.write(pack_hello())
        return True

    def _receive(self, kind: int, payload: bytes) -> None:
        if not self._greeted:
            check_hello(kind, payload)
            self._greeted = True
        elif kind == OutboundKind.ANSWER:
            serial, status, body = unpack_answer(payload)
            request = self._pending.pop(serial, None)
            if request is not None:  # else it was taken back while its answer was on the way
                request.answered(status, body)
        else:
            raise ProtocolError(f"a frame of kind {kind} from the courier")

    def _ended(self, error: ProtocolError | None) -> None:
        if error is not None:
            _log.error("courier: %s", error)
        self._end("the courier died" if error is None else "the link to the courier broke")

    def _end(self, why: str) -> None:
        """The connection is over; nobody knows what became of what was asked over it."""
        self._connection.close()
        self._greeted = False
        pending, self._pending = self._pending, {}
        for request in pending.values():
            request.fail(OutboundUnreachableError(f"{why}: the outcome of the request may be unknown"))
