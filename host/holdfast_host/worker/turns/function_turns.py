"""The turns of functions, which have no instance: one request each, or one piece of a response.

What a running request may reach is its turn's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, cast

from holdfast_host.core.errors import (
    ActorDeadlockError,
    ActorError,
    ActorMethodError,
    ActorReentrancyError,
    HoldfastError,
    UnsupportedError,
)
from holdfast_host.core.tenants import name_of
from holdfast_host.wire.calls.function_bodies import unpack_pull
from holdfast_host.worker.turns.turn import Turn

if TYPE_CHECKING:
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.wire.calls.frames import Call
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.entry import Entry


class NoStorage:
    """The storage of a function: every call is refused. Stands where an actor's turn has its overlay."""

    wrote = False

    def _refuse(self, *_arguments: object) -> NoReturn:
        raise UnsupportedError(
            "a function has no storage, no alarm and no jobs: keep state in an actor, and call it by env"
        )

    get = get_many = put = delete = delete_all = list = _refuse
    savepoint = release = rollback = release_savepoint = rollback_savepoint = _refuse
    set_alarm = get_alarm = delete_alarm = _refuse
    put_job = list_jobs = cancel_job = cancel_job_of_key = _refuse
    socket = all_sockets = put_socket = send = tell = _refuse
    open_savepoints = property(_refuse)  # what a sync asks first


NO_STORAGE = cast("Overlay", NoStorage())


class FunctionTurn(Turn):
    """One request of a function. It is a root turn, and nothing waits for what it writes: it cannot."""

    __slots__ = ("abandoned",)

    def __init__(self, entry: Entry, client: ClientConnection | None, request: Call, arrived_at: float) -> None:
        super().__init__(entry, client, request, arrived_at)
        self.abandoned = False  # its client has gone while it ran

    @property
    def sockets(self) -> NoReturn:
        """A function has none."""
        raise UnsupportedError("a function has no sockets: hand the request on to the fetch of an actor, by env")

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self.abandoned = True

    def told(self, error: HoldfastError) -> HoldfastError:
        """Who asks a function is a stranger: only what was meant for callers leaves, all else is the log's."""
        if isinstance(error, (ActorError, ActorReentrancyError, ActorDeadlockError)):
            return error
        text = f"{error.name}: {error.message}"
        self._host.output.guest_line(self.entry.label, self.function, "error", text, self.log_name)
        return ActorMethodError(f"the function {name_of(self.function)!r} failed: its log says why")


class PieceTurn(FunctionTurn):
    """One piece of a response's body, or its close."""

    __slots__ = ("closes",)

    def __init__(self, entry: Entry, client: ClientConnection | None, request: Call, arrived_at: float) -> None:
        super().__init__(entry, client, request, arrived_at)
        self.closes = unpack_pull(request.body)[1]
