"""Calling actors from a backend: `Client` for threads, `AsyncClient` for an event loop.

    from holdfast.client import Client

    with Client("http://127.0.0.1:8787") as client:
        account = client.actor("Account", "alice")
        account.deposit(5)

Not for code that runs inside an actor or a function: there `env` leads to other actors.
"""

from holdfast.client._actors import AsyncRemoteActor, RemoteActor
from holdfast.client._clients import AsyncClient, Client
from holdfast.client._event_stream import Event
from holdfast.client._failures import HostUnreachableError, UnexpectedAnswerError
from holdfast.client._tracing import carry_trace

__all__ = [
    "AsyncClient",
    "AsyncRemoteActor",
    "Client",
    "Event",
    "HostUnreachableError",
    "RemoteActor",
    "UnexpectedAnswerError",
    "carry_trace",
]
