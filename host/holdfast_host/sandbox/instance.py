"""One live component instance: a store, its memory, and the exports of `wit/` bound for fast calls.

The invariant: at most one thread is inside a store, and never twice; wasmtime does not check either, and breaking one
corrupts memory. After a trap nothing of the store is touched again but its end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from wasmtime import Store, WasiConfig, WasmtimeError

from holdfast_host.core.errors import ActorUnknownMethodError, BadRequestError, InternalError
from holdfast_host.core.failures import required
from holdfast_host.sandbox.c_api import address_of_context
from holdfast_host.sandbox.capabilities import Capabilities
from holdfast_host.sandbox.engine import LoadedComponent
from holdfast_host.sandbox.gathered_calls import error_text
from holdfast_host.sandbox.guest import Guest
from holdfast_host.sandbox.interrupt import install_tick
from holdfast_host.sandbox.marshal import Call, Outcome, TextAnswer, deadline
from holdfast_host.sandbox.signatures import EXPORTS
from holdfast_host.sandbox.stops.postmortem import marked, new_mark
from holdfast_host.sandbox.stops.python_frames import Frame
from holdfast_host.sandbox.stops.traps import SandboxTrap, read_trap

__all__ = ["Outcome", "Sandbox", "SandboxTrap"]

_Result = TypeVar("_Result")


class Sandbox:
    """One instance of a component. It lives as long as its activation, which owns it and closes it.

    Any thread may call it, one at a time; a call while another one is inside is refused with InternalError. Methods
    raise SandboxTrap when the guest was stopped: then only `close` is left. They return when the guest does; imports
    and ticks are served on the same thread meanwhile, by the turn that is given.
    """

    __slots__ = ("_context", "_engine", "_exports", "_mark", "_outside", "_post_mortem", "_set_deadline", "_store")

    def __init__(self, component: LoadedComponent, turn: Capabilities, memory_bytes_max: int) -> None:
        """Use `create`."""
        self._engine = engine = component.engine
        self._post_mortem, self._mark = component.post_mortem, b""
        limits = engine.limits
        guest = Guest(turn, TextAnswer())
        self._outside = [guest]  # while no thread is inside: to take it out is the lock
        self._exports: dict[str, Call] = {}
        self._store: Store | None = None
        store = Store(engine.engine)
        store.set_limits(
            memory_size=memory_bytes_max + component.memory_added_bytes,
            table_elements=limits.table_elements_max,
            instances=limits.instances_max,
            tables=limits.tables_max,
            memories=limits.memories_max,
        )
        store.set_wasi(WasiConfig())  # bare: no files, no environment, no arguments, no network, empty stdin
        install_tick(store, engine.tick)
        self._store = store
        self._context = address_of_context(store)
        self._set_deadline = deadline(self._context)
        engine.guests[self._context] = guest

    @classmethod
    def create(cls, component: LoadedComponent, turn: Capabilities, *, memory_bytes_max: int) -> Sandbox:
        """Instantiate; about 0.6 ms, and what the guest's own start takes.

        Raises:
            SandboxTrap: the guest was stopped; nothing is left to close.
        """
        sandbox = cls(component, turn, memory_bytes_max)
        try:
            sandbox._enter(turn, sandbox._instantiate, component)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def describe(self, turn: Capabilities) -> Outcome:
        """The component's description as JSON."""
        return self._enter(turn, self._exports["describe"])

    def activate(self, turn: Capabilities, actor_type: str, name: bytes, environment: bytes) -> Outcome:
        """Run the constructor of the instance that this sandbox is from now on."""
        if self._post_mortem is not None:
            self._mark = new_mark()
            environment = marked(environment, self._mark)
        return self._enter(turn, self._exports["activate"], actor_type.encode(), name, environment)

    def call(
        self, turn: Capabilities, method: bytes, arguments: bytes, typed_arguments: bool, typed_result: bool
    ) -> Outcome:
        """Run a method.

        Raises:
            BadRequestError: method or arguments are not UTF-8; nothing ran.
            SandboxTrap: the guest was stopped.
        """
        return self._enter(turn, self._exports["call"], method, arguments, typed_arguments, typed_result)

    def alarm(self, turn: Capabilities, info: bytes) -> Outcome:
        """Run the alarm handler."""
        return self._enter(turn, self._exports["alarm"], info)

    def fetch(self, turn: Capabilities, request: bytes) -> Outcome:
        """Run the fetch handler."""
        return self._enter(turn, self._exports["fetch"], request)

    def job(self, turn: Capabilities, info: bytes) -> Outcome:
        """Run a job's method, or its `then`."""
        return self._enter(turn, self._exports["job"], info)

    def scheduled(self, turn: Capabilities, event: bytes) -> Outcome:
        """Run the function's handler for a time of its manifest."""
        return self._enter(turn, self._exports["scheduled"], event)

    def socket(self, turn: Capabilities, event: bytes, message: bytes) -> Outcome:
        """Run a handler of a socket."""
        return self._enter(turn, self._exports["socket"], event, message)

    def body(self, turn: Capabilities, close: bool) -> Outcome:
        """The next piece of the body that the last response has announced, as base64; or no more of it."""
        return self._enter(turn, self._exports["body"], close)

    def frames(self) -> list[Frame]:
        """Where its Python code stood when it trapped, innermost first; until it is closed. Empty: nobody can tell."""
        return self._post_mortem.frames(self._mark) if self._post_mortem is not None and self._mark else []

    def close(self) -> None:
        """Free the store and its memory, about 55 us; idempotent.

        Raises:
            InternalError: a guest is running in it.
        """
        try:
            guest = self._outside.pop()
        except IndexError:
            raise InternalError("a sandbox was closed while its guest runs") from None
        try:
            store, self._store = self._store, None
            if store is not None:
                del self._engine.guests[self._context]  # before the address is free for another
                store.close()
        finally:
            self._outside.append(guest)

    def _instantiate(self, component: LoadedComponent) -> None:
        store = required(self._store, "the store of a sandbox that is new")
        instance = self._engine.linker.instantiate(store, component.component)
        for name, signature in EXPORTS.items():
            index = component.exports.get(name)
            function = instance.get_func(store, index) if index is not None else None
            if function is None:
                self._exports[name] = partial(_answer_absent, name)
            else:
                self._exports[name] = self._engine.marshal.bind(store, function, signature)

    def _enter(self, turn: Capabilities, run: Callable[..., _Result], *values: Any) -> _Result:
        """The one way into the store."""
        try:
            guest = self._outside.pop()
        except IndexError:
            raise InternalError("a sandbox was entered while its guest runs") from None
        try:
            if self._store is None:
                raise InternalError("a sandbox was called after it was closed")
            engine = self._engine
            if engine.callers:
                engine.check_stack()
            guest.begin(turn)
            self._set_deadline()
            return run(*values)
        except UnicodeDecodeError as error:
            raise BadRequestError(f"a text for the guest is not valid UTF-8: {error.reason}") from error
        except WasmtimeError as error:
            raise read_trap(error, guest) from guest.fault
        finally:
            guest.turn = None
            self._outside.append(guest)


def _answer_absent(export: str, *_: Any) -> Outcome:
    """What an export answers that the component does not have."""
    return False, error_text(ActorUnknownMethodError(f"the component exports no {export!r}"))
