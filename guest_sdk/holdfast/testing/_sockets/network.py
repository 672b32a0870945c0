"""The connections of a local host: who is connected, what reaches them, and what of them reaches the actors.

A message is a turn at once, in the test's own thread. What a turn sends reaches the clients when it has committed; the
closes that follow of it run when the outermost turn is over. A `socket_close` that fails is run again at once, three
times at most; a real host waits 1, 4 and 16 seconds.
"""

from __future__ import annotations

import binascii
import json
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from holdfast._http import Headers, Request, Response
from holdfast.testing._failures import RefusedError
from holdfast.testing._function import fetch_function
from holdfast.testing._sockets.clients import Client, Closing, Event, EventsClient, NotAcceptedError, SocketClient

if TYPE_CHECKING:
    from holdfast.testing._records import Record
    from holdfast.testing._runner import Runner
    from holdfast.testing._sockets.rows import Sent

TRIES_MAX: Final = 4
_FRONT: Final = 1 << 32


class Network:
    """The connections of one host."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._numbers = count(1)
        self._clients: dict[str, tuple[Client, Record]] = {}  # those that are open, by their ids
        self._offered = ""  # whose handshake is under way
        self._early: list[Sent] = []  # sent to it before it is finished
        self._acceptors: list[Record] = []  # whose turns have accepted it
        self._ended: deque[tuple[Record, str, Closing, bool]] = deque()  # whose close is to be heard
        self._settling = False

    def is_live(self, id_: str) -> bool:
        """Whether its client is there."""
        return id_ in self._clients or id_ == self._offered

    def accepted(self, record: Record) -> None:
        """A turn of that instance accepts what is offered; it may still fail."""
        self._acceptors.append(record)

    def open(self, record: Record | None, url: str, headers: Headers, *, events: bool) -> Client:
        """Ask an actor, or the function, for a socket.

        Raises:
            NotAcceptedError: Nobody accepted it.
            RefusedError: The handler failed.
        """
        offer = f"{_FRONT + next(self._numbers):016x}"
        request = Request(url, headers=headers, client="127.0.0.1", offer=offer)
        self._offered, self._early, self._acceptors = offer, [], []
        try:
            if record is None:
                response = fetch_function(self._runner, request.to_wire(), offer)
            else:
                response = Response.from_wire(self._runner.fetch(record, request.to_wire(), offer=offer))
        except RefusedError:
            self._decline(offer, None)
            raise
        finally:
            self._offered = ""
        accepted = response.accepted
        owner = None if accepted is None else self._runner.record(accepted["type"], accepted["name"])
        if owner is None or offer not in owner.sockets:
            self._decline(offer, None)
            raise NotAcceptedError(response)
        client: Client = (EventsClient if events else SocketClient)(self, offer, response)
        self._clients[offer] = (client, owner)
        self.leave(self._early)
        self._decline(offer, owner)
        return client

    def leave(self, sends: Iterable[Sent]) -> None:
        """What a turn that has committed has sent."""
        for sent in sends:
            for id_ in sent.ids:
                self._deliver(id_, sent)

    def message(self, client: SocketClient, message: str | bytes) -> None:
        """A client's message."""
        if client.closed is not None:
            raise RuntimeError(f"{client!r} is closed: nothing can be sent")
        record = self._clients[client.id][1]
        auto = record.auto_response
        if auto is not None and message == auto[0]:
            client.received.append(auto[1])
            return
        row = record.sockets.get(client.id)
        if row is None or row.closed:
            return
        client.wake_count += 1
        binary = isinstance(message, bytes)
        text = binascii.b2a_base64(message, newline=False).decode() if isinstance(message, bytes) else message
        self._run(record, {"event": "message", "binary": binary, "socket": row.facts()}, text)
        self.settle()

    def close_by_client(self, client: Client, code: int, reason: str) -> None:
        """The client has closed it."""
        if client.closed is None:
            self._close(client.id, Closing(code, reason), clean=True)
            self.settle()

    def break_all(self, code: int) -> None:
        """The host dies: every connection breaks, and each instance hears of it once it is back."""
        for id_ in list(self._clients):
            client, record = self._clients.pop(id_)
            client.closed = Closing(code, "")
            self._ended.append((record, id_, Closing(1006, ""), False))

    def settle(self) -> None:
        """Have instances hear of what was closed; not inside a turn."""
        if self._settling or self._runner.is_running:
            return
        self._settling = True
        try:
            while self._ended:
                self._hear(*self._ended.popleft())
        finally:
            self._settling = False

    # Inside

    def _decline(self, offer: str, owner: Record | None) -> None:
        """Who has accepted what another one has, or nobody, hears of a close."""
        for each in self._acceptors:
            if each is not owner and offer in each.sockets:
                self._ended.append((each, offer, Closing(1006, ""), False))
        self.settle()

    def _deliver(self, id_: str, sent: Sent) -> None:
        if id_ == self._offered:
            self._early.append(sent._replace(ids=(id_,)))
            return
        found = self._clients.get(id_)
        if found is None:
            return
        client, _ = found
        if sent.code:
            self._close(id_, Closing(sent.code, sent.reason), clean=True)
        elif isinstance(client, SocketClient):
            client.received.append(sent.message)
        elif isinstance(client, EventsClient) and isinstance(sent.message, str):
            client.received.append(Event(sent.message, sent.event, sent.event_id))

    def _close(self, id_: str, closing: Closing, *, clean: bool) -> None:
        client, record = self._clients.pop(id_)
        client.closed = closing
        self._ended.append((record, id_, closing, clean))

    def _hear(self, record: Record, id_: str, closing: Closing, clean: bool) -> None:
        row = record.sockets.get(id_)
        if row is None:
            return
        if not self._runner.handles(record, "socket_close"):
            del record.sockets[id_]
            return
        event = {"event": "close", "code": closing.code, "reason": closing.reason, "clean": clean}
        for _ in range(TRIES_MAX):
            if self._run(record, {**event, "socket": row.facts()}, "", ends=id_):
                return
        del record.sockets[id_]
        self._runner.write_log(record.label, "error", "socket_close given up")

    def _run(self, record: Record, event: dict[str, Any], message: str, *, ends: str = "") -> bool:
        """Run a handler; whether it did not fail."""
        try:
            self._runner.socket(record, json.dumps(event), message, ends=ends)
        except RefusedError:
            return False
        return True
