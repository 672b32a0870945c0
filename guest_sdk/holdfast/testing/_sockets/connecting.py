"""The part of a LocalHost that connects clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from holdfast._actor import StatefulActor
from holdfast._errors import ActorCallError
from holdfast._http import Headers
from holdfast.testing._failures import RefusedError
from holdfast.testing._sockets.clients import Client, EventsClient, SocketClient

if TYPE_CHECKING:
    from holdfast.testing._runner import Runner

Actor = type[StatefulActor] | str | None


class Connecting:
    """Who wants a socket of it."""

    _runner: Runner

    def socket(
        self, actor: Actor, name: str, path: str = "/", headers: Mapping[str, str] | None = None
    ) -> SocketClient:
        """Connect a WebSocket to an instance, as a client of `/v1/actors/Room/lobby/ws` does.

        Example:
            alice = host.socket(Room, "lobby", "/ws?user=alice")
            alice.send("hello")
            assert alice.receive() == "hello, alice"

        Args:
            actor: The class, or the name of its type; None for the function, which hands the request on.
            name: The instance's name; empty for the function.
            path: What the actor's `fetch` sees, with its query.
            headers: Those of the request.

        Raises:
            NotAcceptedError: The handler answered something else.
            ActorCallError: It failed.
        """
        found = Headers(headers)
        found["Upgrade"] = "websocket"
        return cast(SocketClient, self._connect(actor, name, path, found, events=False))

    def events(
        self, actor: Actor, name: str, path: str = "/", headers: Mapping[str, str] | None = None
    ) -> EventsClient:
        """Connect an event stream to an instance; arguments and errors as for `socket`."""
        found = Headers(headers)
        found["Accept"] = "text/event-stream"
        return cast(EventsClient, self._connect(actor, name, path, found, events=True))

    def _connect(self, actor: Actor, name: str, path: str, headers: Headers, *, events: bool) -> Client:
        actor_type = actor if isinstance(actor, str) or actor is None else actor.__name__
        try:
            record = None if actor_type is None else self._runner.record(actor_type, name)
            return self._runner.network.open(record, f"http://localhost{path}", headers, events=events)
        except RefusedError as failure:
            raise ActorCallError(
                failure.name,
                failure.message,
                code=failure.code,
                retryable=failure.retryable,
                status=failure.status,
            ) from None
