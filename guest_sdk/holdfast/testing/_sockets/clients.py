"""The client's end of a socket, as a test holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast._http import Response

if TYPE_CHECKING:
    from holdfast.testing._sockets.network import Network


class NotAcceptedError(Exception):
    """Nobody accepted the socket that the client wanted.

    Attributes:
        response: What the client got instead.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(f"the socket was not accepted: {response.status} {response.body[:200]!r}")
        self.response = response


class Closing(NamedTuple):
    """How a socket was closed."""

    code: int
    reason: str


class Event(NamedTuple):
    """One event of an event stream."""

    data: str
    event: str | None
    id: str | None


class Client:
    """What both kinds of clients share.

    Attributes:
        id: The socket's name, as the actor has it.
        response: What its request was answered with.
        closed: How it was closed; None while it is open.
        wake_count: How many messages of it the actor was woken for: those that the host answers itself are not.
    """

    def __init__(self, network: Network, id: str, response: Response) -> None:  # noqa: A002
        self.id = id
        self.response = response
        self.closed: Closing | None = None
        self.wake_count = 0
        self._network = network

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it from the client's side; the actor's `socket_close` runs."""
        self._network.close_by_client(self, code, reason)

    def __repr__(self) -> str:
        return f"<holdfast {type(self).__name__} {self.id}, {self.closed or 'open'}>"


class SocketClient(Client):
    """A WebSocket. Get it as `host.socket(Room, "lobby", "/ws")`.

    Attributes:
        received: All messages that it was sent, in order.
    """

    def __init__(self, network: Network, id: str, response: Response) -> None:  # noqa: A002
        super().__init__(network, id, response)
        self.received: list[str | bytes] = []
        self._read = 0

    def send(self, message: str | bytes) -> None:
        """Send the actor a message; its handler has run when this returns. What it raises is in `host.log`."""
        self._network.message(self, message)

    def receive(self) -> str | bytes:
        """The next message that was not received yet.

        Raises:
            LookupError: There is none.
        """
        if self._read >= len(self.received):
            raise LookupError(f"no further message was sent to {self!r}: it got {len(self.received)}")
        self._read += 1
        return self.received[self._read - 1]


class EventsClient(Client):
    """An event stream. Get it as `host.events(Feed, "news", "/events")`.

    Attributes:
        received: All events that it was sent, in order.
    """

    def __init__(self, network: Network, id: str, response: Response) -> None:  # noqa: A002
        super().__init__(network, id, response)
        self.received: list[Event] = []
        self._read = 0

    def receive(self) -> Event:
        """The next event that was not received yet.

        Raises:
            LookupError: There is none.
        """
        if self._read >= len(self.received):
            raise LookupError(f"no further event was sent to {self!r}: it got {len(self.received)}")
        self._read += 1
        return self.received[self._read - 1]
