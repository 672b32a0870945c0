"""A host of `wit/` in a hundred lines, on wasmtime's public interface: what a component may count on, and no more.

It knows nothing of our own host and has neither turns nor limits; it shows what a component does with the contract.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasmtime import Config, Engine, Store, WasiConfig, wat2wasm
from wasmtime.component import Component, Linker, LinkerInstance, Variant

from holdfast._host_imports import Err
from tests.unit.guest.memory_host import (
    MemoryAlarms,
    MemoryCalls,
    MemoryHttp,
    MemoryJobs,
    MemoryLog,
    MemorySockets,
    MemoryStorage,
)

VERSION = "1.1.0"  # of the imports; a component of an earlier one finds what it asks for among them


def quick_engine() -> Engine:
    """An engine that compiles in less than half the time of a usual one, to code that is slower and does the same."""
    config = Config()
    config.cranelift_opt_level = "none"
    config.cranelift_flag_set("regalloc_algorithm", "single_pass")
    config.max_wasm_stack = 2 << 20  # frames of such code are larger
    return Engine(config)


class PlainHost:
    """One component and the imports of all its sandboxes."""

    def __init__(self, engine: Engine, component: bytes | Component) -> None:
        self.storage, self.alarms, self.calls, self.log = MemoryStorage(), MemoryAlarms(), MemoryCalls(), MemoryLog()
        self.http, self.jobs, self.sockets = MemoryHttp(), MemoryJobs(), MemorySockets()
        self._engine = engine
        self._component = Component(engine, component) if isinstance(component, bytes) else component

    def sandbox(self, actor_type: str = "", name: str = "", **environment: Any) -> PlainSandbox:
        """A new instance of the component, activated."""
        store = Store(self._engine)
        store.set_wasi(WasiConfig())
        linker = Linker(self._engine)
        linker.add_wasip2()
        with linker.root() as root:
            for interface in ("storage", "alarms", "calls", "http", "jobs", "sockets", "log"):
                with root.add_instance(f"holdfast:actor/{interface}@{VERSION}") as instance:
                    _define(instance, getattr(self, interface))
        instance = linker.instantiate(store, self._component)
        [exported] = (each for each in self._component.type.exports(self._engine) if "/instance@" in each)
        exports = self._component.get_export_index(exported)
        assert exports is not None

        def export(function: str) -> Callable[..., Any]:
            index = self._component.get_export_index(function, exports)
            assert index is not None
            found = instance.get_func(store, index)
            assert found is not None
            return lambda *values: found(store, *values)

        sandbox = PlainSandbox(export)
        facts = {"bindings": {}, "variables": {}, **environment}
        assert sandbox.export("activate")(actor_type, name, json.dumps(facts)) is None
        return sandbox


class PlainSandbox:
    """The exports of one sandbox; results and errors as what their JSON says."""

    def __init__(self, export: Callable[[str], Callable[..., Any]]) -> None:
        self.export = export

    def describe(self) -> Any:
        return json.loads(self.export("describe")().payload)

    def call(self, method: str, arguments: str = "", *, typed_arguments: bool = False, typed: bool = False) -> Any:
        return json.loads(self.export("call")(method, arguments, typed_arguments, typed).payload)

    def alarm(self, **info: int) -> Any:
        return self.export("alarm")(json.dumps(info))

    def fetch(self, **request: Any) -> Any:
        return json.loads(self.export("fetch")(json.dumps(request)).payload)


def _define(instance: LinkerInstance, imports: Any) -> None:
    """Offer an object's methods as the functions of an interface."""
    for name in (each for each in dir(type(imports)) if not each.startswith("_")):
        if callable(getattr(imports, name)):
            instance.add_func(name.replace("_", "-"), _function(imports, name))


def _function(imports: Any, name: str) -> Callable[..., Any]:
    """One import: how wasmtime wants its result spelled depends on whether both of its texts are strings."""
    method: Callable[..., Any] = getattr(imports, name)

    def run(_store: Any, *values: Any) -> Any:
        try:
            result = method(*values)
        except Err as error:
            return Variant("err", error.value) if method.__annotations__["return"] == "str" else error.value
        return Variant("ok", result) if isinstance(result, str) else result

    return run


def component_of(path: Path) -> bytes:
    """A component's bytes, whether kept as text, packed, or as it is."""
    if path.suffix == ".wat":
        return bytes(wat2wasm(path.read_text()))
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
