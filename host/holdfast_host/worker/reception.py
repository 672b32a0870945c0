"""What comes from the worker's clients: their connections, and whom each frame is for."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.wire.calls.frames import CallKind, Kind, ProtocolError, unpack_call, unpack_json, unpack_slot
from holdfast_host.worker.client_connections import ClientConnection
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.calls.actor_calls import Calls
    from holdfast_host.worker.commits.replies import Replies
    from holdfast_host.worker.inspection.queries import Inspection
    from holdfast_host.worker.sockets.reception import Sockets
    from holdfast_host.worker.threads.poller import Poller
    from holdfast_host.worker.turns.function_pool import Functions
    from holdfast_host.worker.turns.mailboxes import Mailboxes

# Plain integers: to look a member of an enumeration up costs more than to compare it.
_CALL: Final = int(Kind.CALL)
_FUNCTION, _SOCKET = int(CallKind.FUNCTION), int(CallKind.SOCKET)
_BODY: Final = int(CallKind.BODY)
_RING_KINDS: Final = (Kind.PROBE, Kind.CONFIRM, Kind.KILL)


@leaders
@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """Where the fronts and the other workers come in."""

    limits: Limits
    poller: Poller
    mailboxes: Mailboxes
    functions: Functions
    calls: Calls
    inspection: Inspection
    replies: Replies
    sockets: Sockets

    def welcome(self, connection: socket.socket, greeting: Callable[[], dict[str, Any]]) -> None:
        """A client has connected; `greeting()` is what its HELLO is answered with."""
        ClientConnection(
            connection,
            self.poller,
            unsent_bytes_max=self.limits.client_unsent_bytes_max,
            greeting=greeting,
            on_frame=self.receive,
            on_close=self._forget,
            on_hello=self.sockets.connect,
        )

    def receive(self, client: ClientConnection, kind: int, payload: bytes) -> None:
        """One frame of a client."""
        if kind == _CALL:
            request = unpack_call(payload)
            if request.kind == _FUNCTION:
                self.functions.submit(client, request)
                return
            if request.kind == _SOCKET:
                self.sockets.receive(client, request)
                return
            if request.kind == _BODY:
                self.functions.bodies.pull(client, request)
                return
            turn = self.mailboxes.submit(client, request, None)
            if turn.origin is not None:
                self.calls.chase(turn)
        elif kind == Kind.CANCEL:
            self.mailboxes.cancel(client, unpack_slot(payload))
        elif kind == Kind.TAKEN:
            self.sockets.taken(client, payload)
        elif kind == Kind.SOCKETS:
            self.sockets.stand(client, payload)
        elif kind == Kind.READ:
            self.inspection.receive(client, payload)
        elif kind in _RING_KINDS:
            self.calls.deadlocks.receive(kind, unpack_json(payload))
        else:
            raise ProtocolError(f"a frame of kind {kind} from {client.name}")

    def _forget(self, client: ClientConnection) -> None:
        """The client is gone: nothing more to send; what it asked for and has not begun does not run."""
        self.replies.forget_client(client)
        self.mailboxes.forget_client(client)
        self.sockets.forget(client)
        self.functions.bodies.forget_client(client)
