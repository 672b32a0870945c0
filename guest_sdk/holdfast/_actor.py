"""The class that an actor's author extends, and the context that its instances live in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdfast._coroutines import finish
from holdfast._env import Env
from holdfast._gather import StartedCall, gather
from holdfast._sockets import Socket, SocketError
from holdfast._state.alarms import AlarmInfo
from holdfast._state.storage import Storage
from holdfast._topics import Topics

if TYPE_CHECKING:
    from holdfast._host_imports import CallsImport, SocketsImport
    from holdfast._jobs.outbox import Job, Jobs, Outbox

BLOCK_S_MAX: Final = 30


class Runtime(Protocol):
    """What makes the parts of a Context that few use."""

    @property
    def calls(self) -> CallsImport:
        """The host's calls."""

    @property
    def sockets(self) -> SocketsImport:
        """The host's sockets."""

    @property
    def hears_sockets(self) -> bool:
        """Whether the class has a `socket_message`."""

    def jobs(self) -> Jobs:
        """The jobs of the instance."""

    def outbox(self) -> Outbox:
        """Its calls and requests."""


class Context(Topics):
    """Who an instance is, its storage and its sockets. Made by the runtime, one for each activation.

    Attributes:
        type: The actor type, as the class is called.
        name: The instance's name, as callers write it.
        storage: What survives: everything else in memory can vanish between two turns.
    """

    __slots__ = ("_runtime", "name", "storage", "type")

    def __init__(
        self,
        type: str,  # noqa: A002  (the contract's word)
        name: str,
        storage: Storage,
        runtime: Runtime,
    ) -> None:
        """An activation writes to little memory: what few use is made on demand, by its runtime."""
        self.type = type
        self.name = name
        self.storage = storage
        self._runtime = runtime

    @property
    def outbox(self) -> Outbox:
        """Calls and requests that leave when this turn has committed, and are tried until they have an outcome."""
        return self._runtime.outbox()

    @property
    def _jobs(self) -> Jobs:
        return self._runtime.jobs()

    @property
    def _sockets(self) -> SocketsImport:
        return self._runtime.sockets

    @property
    def _hears_sockets(self) -> bool:
        return self._runtime.hears_sockets

    @property
    def id(self) -> str:
        """The same text as `name`."""
        return self.name

    @property
    def idempotency_key(self) -> str | None:
        """The key that this turn's caller gave; None where it gave none. To make keys of further calls from it.

        Example:
            self.env.LEDGER.id_from_name("main").once(f"{self.ctx.idempotency_key}/book").book(5)
        """
        return self._runtime.calls.key() or None

    def gather(self, *calls: StartedCall, return_exceptions: bool = False) -> list[Any]:
        """Send several calls at once, and wait for all; see `holdfast.gather`.

        Example:
            counts = self.ctx.gather(*[self.env.ROOM.id_from_name(name).start.count() for name in names])
        """
        return gather(*calls, return_exceptions=return_exceptions)

    def schedule(
        self,
        when: datetime | timedelta | float | str,
        method: str,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        key: str | None = None,
        tz: str | None = None,
    ) -> str:
        """Have a method of this instance run later, once or again and again; the job's id.

        It is a write of this turn: it is there if the turn commits. The run is a turn of its own, whose commit removes
        the job; one that raises is tried again, as an alarm is. A parameter `info` of the method gets a `JobInfo`.

        Example:
            self.ctx.schedule(timedelta(hours=1), "_expire", order, key=f"expire/{order}")
            self.ctx.schedule("0 9 * * mon-fri", "_report", key="report", tz="Europe/Berlin")

        Args:
            when: A datetime with a time zone, a timedelta from now, or a Unix time in seconds, at most 10 years ahead;
                or a cron text: five fields, or a name like `@daily`.
            method: A method of this class, private or not.
            args: Its arguments by position.
            kwargs: Its arguments by name.
            key: What names the job at this instance: it takes the place of an earlier one of that name. A cron text
                that says the same again changes nothing, so a constructor may say it.
            tz: The time zone of a cron text, like `Europe/Berlin`; UTC where it is not said.

        Raises:
            AttributeError: The class has no such method.
            TypeError: The method does not take these arguments.
            ValueError: `when` is no time or no cron text, `tz` no zone, `key` no key.
            CodecError: An argument cannot be stored.
            LimitError: The job is larger than 256 KiB, or there are too many.
            HostError: Named `UnsupportedError` by a host that runs no jobs.
        """
        return self._jobs.schedule(when, method, args, kwargs, key, tz)

    def jobs(self) -> list[Job]:
        """The jobs of this instance that are not done, in no order; abandoned ones too."""
        return self._jobs.list()

    def cancel(self, id: str | None = None, *, key: str | None = None) -> bool:  # noqa: A002  (what a job's is called)
        """Remove a job, by its id or its key; whether there was one. What of it is under way may still happen.

        Example:
            self.ctx.cancel(key=f"expire/{order}")
        """
        return self._jobs.cancel(id, key)

    def block_concurrency_while(self, fn: Callable[[], Any]) -> Any:
        """Run `fn` at once, to its end, and return its result; an `async def` is driven to completion.

        Turns of an instance never overlap, so there is nothing to block; it is here for those who know it elsewhere.

        Raises:
            TimeoutError: It took more than 30 s, as it may in an alarm: uncaught, the turn commits nothing.
        """
        began = time.monotonic()
        result = finish(fn(), "block_concurrency_while()")
        took_s = time.monotonic() - began
        if took_s > BLOCK_S_MAX:
            raise TimeoutError(f"block_concurrency_while() took {took_s:.1f} s, the limit is {BLOCK_S_MAX} s")
        return result

    def __repr__(self) -> str:
        return f"<holdfast context of {self.type}/{self.name}>"


class StatefulActor:
    """A single-threaded server that owns the state of one entity: one user, one cart, one room.

    Extend it: every public function of your class is a method that callers reach by name, one call at a time for each
    instance. `self.ctx.storage` is the truth, attributes of `self` are a cache: an instance can leave memory between
    any two calls.

    Example:
        class Counter(StatefulActor):
            def increment(self, by: int = 1) -> int:
                count = self.ctx.storage.get("count", 0) + by
                self.ctx.storage.put("count", count)
                return count

    Attributes:
        ctx: Who this instance is, and its storage.
        env: Bindings to other actors, variables and secrets, by the names in holdfast.toml.
    """

    ctx: Context
    env: Env

    def __init__(self, ctx: Context, env: Env) -> None:
        """Called by the runtime before the first turn of an activation. Override it and call `super().__init__`."""
        self.ctx = ctx
        self.env = env

    def alarm(self, info: AlarmInfo) -> None:
        """Called when the alarm that `ctx.storage.set_alarm()` set is due. Without it a class can set none.

        Override it; this one does nothing.

        The alarm is cleared in the same transaction as what the handler writes. If it raises, it is delivered again.
        """

    def socket_message(self, ws: Socket, message: str | bytes) -> None:
        """Called with each message of a WebSocket that the instance has accepted. Without it a class can accept none.

        Override it; this one does nothing.

        One that raises commits and sends nothing; the socket stays.
        """

    def socket_close(self, ws: Socket, code: int, reason: str, was_clean: bool) -> None:
        """Called once for each accepted socket when it is closed, whoever closed it. It is not listed any more.

        Override it; this one does nothing.

        If it raises, it is called again, three times. An instance that is erased hears nothing.
        """

    def socket_error(self, ws: Socket, error: SocketError) -> None:
        """Called instead of `socket_close`, where a class has it, for a socket that broke a rule or was cut.

        Override it; this one does nothing.
        """
