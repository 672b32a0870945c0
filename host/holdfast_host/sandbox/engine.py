"""The one wasmtime engine of a process, and the components loaded into it.

The linker is filled once, with the imports of `wit/` and with WASI; what a guest may reach is decided here and nowhere
else. WASI's two ways to wait for a clock are replaced by a trap: they block in native code where nothing can end them.

Not here: compiling (a subprocess of its own), and anything of one instance (`instance`).
"""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from threading import get_ident
from types import ModuleType
from typing import Any, Final

from wasmtime import Config, Engine, WasmtimeError
from wasmtime.component import Component, ExportIndex, Linker

from holdfast_host.core.errors import ConfigurationError, HostUnavailableError, InternalError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox import marshal
from holdfast_host.sandbox.c_api import set_async_components
from holdfast_host.sandbox.capabilities import Capabilities
from holdfast_host.sandbox.components.compiled_store import KeptComponent
from holdfast_host.sandbox.components.validate import checked_exports
from holdfast_host.sandbox.guest import Guests
from holdfast_host.sandbox.imports import BLOCKING, HANDLERS, Handler
from holdfast_host.sandbox.interrupt import make_tick, make_wait_trap
from holdfast_host.sandbox.settings import (
    ENGINE_SETTINGS,
    WASM_STACK_BYTES,
    WASMTIME_PINNED,
    thread_stack_bytes,
    wasmtime_version,
)
from holdfast_host.sandbox.signatures import IMPORTS, interface_name
from holdfast_host.sandbox.stops.postmortem import Allowance, PostMortem

# wasmtime's own version of the interface: under any other the definitions would silently be another interface's.
_CLOCK: Final = "wasi:clocks/monotonic-clock@0.2.12"
_CLOCK_WAITS: Final = ("subscribe-duration", "subscribe-instant")


class LoadedComponent:
    """A compiled component, mapped into memory and ready to be instantiated; shared by its instances and by threads."""

    def __init__(
        self, engine: SandboxEngine, component: Component, compiled: Path | None = None, memory_added_bytes: int = 0
    ) -> None:
        """InvalidComponentError where it does not export what is called. `compiled` is the file it is mapped from.

        Each instance is granted `memory_added_bytes` past its limit: its memory starts that much larger than it asks.
        """
        self.engine = engine
        self.component = component
        self.memory_added_bytes = memory_added_bytes
        self.exports: dict[str, ExportIndex] = checked_exports(component, engine.engine)
        self.post_mortem = None if compiled is None else PostMortem(compiled, engine.allowance)


class SandboxEngine:
    """One per process, for as long as the process lives; threads may share it.

    Making one sets the stack of all threads that are started afterwards to what nested guests need. Threads that were
    there before, the main thread too, have less: `check_stack` refuses what would not fit. `faulthandler`, where it is
    wanted, must be enabled before: afterwards it turns a guest's trap into a crash.
    """

    def __init__(self, limits: Limits, way: ModuleType = marshal) -> None:
        """ConfigurationError where another wasmtime is installed. `way` carries values: a test may give its own."""
        installed = wasmtime_version()
        if installed != WASMTIME_PINNED:
            raise ConfigurationError(
                f"wasmtime {installed} is installed, this host fills C structures of {WASMTIME_PINNED}: install that"
            )
        self.limits = limits
        self.guests: Guests = {}
        self.allowance = Allowance()
        self.marshal = way
        self._stack_bytes = thread_stack_bytes(limits)
        threading.stack_size(self._stack_bytes)
        self._main_stack_bytes = resource.getrlimit(resource.RLIMIT_STACK)[0]
        self.callers: dict[int, int] = {}  # by thread, the guests on it that wait in an import for another one
        self.engine = Engine(_make_config())
        self._kept: list[Any] = []  # callbacks that the linker points to
        self.tick = make_tick(self.guests)
        self.linker = self._link()

    def load(self, compiled: Path, memory_added_bytes: int | None = None) -> LoadedComponent:
        """Map a file that this host's compiler wrote for this engine; 2 to 14 ms.

        By how much its memory starts larger than the component asks, its record says, unless it is given.

        Raises:
            HostUnavailableError: it is not there, or fits another version or configuration.
            InvalidComponentError: it does not export what is called.
        """
        try:
            component = Component.deserialize_file(self.engine, str(compiled))
        except WasmtimeError as error:
            raise HostUnavailableError(f"the compiled component {compiled} does not load: {error}") from error
        if memory_added_bytes is None:
            memory_added_bytes = KeptComponent(compiled, compiled.with_suffix(".json")).memory_added_bytes()
        return LoadedComponent(self, component, compiled, memory_added_bytes)

    def advance_epoch(self) -> None:
        """Make every guest that computes call its turn's tick soon; any thread, every slice."""
        self.engine.increment_epoch()

    def check_stack(self) -> None:
        """Refuse a guest that is about to run on this thread, inside an import of another one.

        Raises:
            InternalError: its stack does not fit onto what this thread has.
        """
        depth = self.callers.get(get_ident(), 0)
        if depth >= 2 and depth >= self._depth_max():
            raise InternalError(f"{depth} guests inside each other fill the stack of this thread: start it later")

    def _count_caller(self, handler: Handler) -> Handler:
        """The same import, within which other guests may run on its guest's thread."""

        def count_and_handle(turn: Capabilities, *arguments: Any) -> Any:
            thread, callers = get_ident(), self.callers
            depth = callers.get(thread, 0)
            callers[thread] = depth + 1
            try:
                return handler(turn, *arguments)
            finally:
                if depth:
                    callers[thread] = depth
                else:
                    del callers[thread]

        return count_and_handle

    def _depth_max(self) -> int:
        main = threading.current_thread() is threading.main_thread()
        stack_bytes = self._main_stack_bytes if main else self._stack_bytes
        if main and stack_bytes == resource.RLIM_INFINITY:
            return self.limits.call_depth_max + 1
        return (stack_bytes - (1 << 20)) // (WASM_STACK_BYTES + (128 << 10))

    def _link(self) -> Linker:
        linker = Linker(self.engine)
        linker.add_wasip2()
        with linker.root() as root:
            for interface, functions in IMPORTS.items():
                with root.add_instance(interface_name(interface)) as instance:
                    for name, signature in functions.items():
                        handler, blocking = HANDLERS[interface, name], (interface, name) in BLOCKING
                        if blocking:
                            handler = self._count_caller(handler)
                        function = self.marshal.host_function(self.guests, signature, handler, blocking)
                        self._kept.append(function)
                        self.marshal.define(instance, name, signature, function)
        linker.allow_shadowing = True
        wait = make_wait_trap(self.guests)
        self._kept.append(wait)
        with linker.root() as root, root.add_instance(_CLOCK) as instance:
            for name in _CLOCK_WAITS:
                instance.add_func(name, wait)
        return linker


def _make_config() -> Config:
    config = Config()
    config.epoch_interruption = bool(ENGINE_SETTINGS["epoch_interruption"])
    config.max_wasm_stack = int(ENGINE_SETTINGS["max_wasm_stack"])
    # With it on, a component's future or stream parameter aborts the process.
    set_async_components(config, bool(ENGINE_SETTINGS["component_model_async"]))
    return config
