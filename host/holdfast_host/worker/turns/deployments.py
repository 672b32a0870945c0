"""What this worker runs: for each type number the version that turns which start now run.

A new version is prepared beside the current one and switched to in one step of the leader; running turns finish on the
old one, and an activation of the old one is replaced at its next turn.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import (
    ActorPrivateMethodError,
    ActorUnknownMethodError,
    BadRequestError,
    HostUnavailableError,
    UnknownActorTypeError,
)
from holdfast_host.core.tenants import DEFAULT_TENANT, key_of
from holdfast_host.sandbox.components.trial import try_sources
from holdfast_host.sandbox.signatures import HANDLER_NAMES
from holdfast_host.wire.control.catalog import ActorType
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.engine import LoadedComponent, SandboxEngine
    from holdfast_host.wire.control.catalog import Deployment

BODY_COPIES: Final = 5  # of the largest body, base64 in part, that are in a guest at once while it echoes one


@dataclass(frozen=True, slots=True, eq=False)
class LoadedType:
    """One actor type of one loaded version, or its fetch handler: what an activation is made from.

    A fetch handler has no type, and a number below zero.
    """

    type: str
    type_id: int
    function: str
    version: int
    component: LoadedComponent
    environment: bytes
    bindings: dict[str, str]  # binding to the name of the actor type
    methods: frozenset[bytes]
    private: frozenset[bytes]
    memory_bytes_max: int
    method_timeout_s: float  # its function's own; it is within the host's
    variables: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()  # the names of those that it sees
    sources: str = ""  # JSON, for a development component
    handlers: frozenset[str] | None = None  # what may be called of it; None: the component does not say
    check_arguments: bool = False
    is_triggers: bool = False  # no class: its one instance keeps when the function runs
    asks_outside: bool = False  # its manifest lists what it may ask
    runs_jobs: bool = False  # its component exports `job`
    tenant: str = DEFAULT_TENANT  # whose it is

    def check_method(self, method: bytes) -> None:
        """Refuse what the description does not list, before an instance is disturbed.

        Raises:
            ActorPrivateMethodError: it exists but is not callable from outside.
            ActorUnknownMethodError: it does not exist.
        """
        if method in self.methods:
            return
        text = method.decode(errors="replace")
        if method.startswith(b"_") or method in self.private or text in HANDLER_NAMES:
            raise ActorPrivateMethodError(f"{self.type}.{text} is not callable from outside: {_why_private(text)}")
        known = ", ".join(sorted(name.decode() for name in self.methods)) or "none"
        raise ActorUnknownMethodError(f"{self.type} has no method {text!r}; it has: {known}")

    def may_handle(self, name: str) -> bool:
        """Whether it has the handler, or may have it."""
        return self.handlers is None or name in self.handlers

    def check_fetch_handler(self) -> None:
        """Refuse a request that nobody would answer, before an instance is disturbed.

        Raises:
            ActorUnknownMethodError: the type has no fetch handler.
        """
        if not self.may_handle("fetch"):
            raise ActorUnknownMethodError(f"{self.type} has no fetch handler")

    def check_alarm_handler(self) -> None:
        """Refuse to set an alarm that nobody would handle.

        Raises:
            BadRequestError: the type has no alarm handler.
        """
        if not self.may_handle("alarm"):
            raise BadRequestError(f"{self.type} has no alarm handler that could run then: no alarm can be set")


@leaders
class Deployments:
    """The current version by type number.

    Attributes:
        checks_arguments: What holds for functions that do not say; set before anything is loaded.
    """

    def __init__(self, engine: SandboxEngine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self.checks_arguments = False
        self._by_type: dict[int, LoadedType] = {}
        self._by_name: dict[tuple[str, str], LoadedType] = {}  # by tenant and type
        self._prepared: dict[tuple[str, int], tuple[LoadedType, ...]] = {}
        self._function_numbers: dict[str, int] = {}
        self._secrets: dict[str, str] = {}
        self._unloadable: dict[int, str] = {}  # deployed types that this worker could not load, and their functions

    def find(self, type_id: int) -> LoadedType | None:
        """What runs that type now."""
        return self._by_type.get(type_id)

    def name_of(self, type_id: int) -> str:
        """As no other is called here: by the type's key, `fn` and the key of a function, `#5` for what is gone."""
        loaded = self._by_type.get(type_id)
        if loaded is None:
            return f"#{type_id}"
        return key_of(loaded.tenant, loaded.type) if loaded.type else f"fn {loaded.function}"

    def type_names(self) -> dict[int, str]:
        """The names of the deployed types, by their numbers."""
        return {type_id: loaded.type for type_id, loaded in self._by_type.items() if loaded.type}

    @any_thread
    def find_name(self, tenant: str, type_name: str) -> LoadedType | None:
        """What runs the tenant's type of that name now."""
        return self._by_name.get((tenant, type_name))

    def function_number(self, function: str) -> int:
        """What stands for a function's fetch handler in `find`, deployed or not; below zero."""
        return self._function_numbers.get(function, 0)

    def absence(self, type_id: int, label: str) -> HoldfastError:
        """Why `find` has nothing for a type."""
        if type_id in self._unloadable:
            function = self._unloadable[type_id]
            return HostUnavailableError(
                f"{label}: the function {function!r} is being compiled again; the call did not run"
            )
        return UnknownActorTypeError(f"{label}: no deployed function owns this actor type")

    def note_unloadable(self, deployment: Deployment) -> None:
        """Its compiled file is damaged: its types are answered as unavailable until it is switched to again."""
        self._unloadable.update({each.type_id: deployment.function for each in deployment.types})

    @any_thread
    def describe(self, deployment: Deployment, on_traceback: Callable[[str], None]) -> dict[str, Any]:
        """Try a development component with its sources: what it would ship; touches no table.

        Raises:
            InvalidComponentError: the sources do not load, `on_traceback` is told where; or what they ship breaks a
                rule.
        """
        component = self._engine.load(Path(deployment.compiled))
        loaded = self._loaded_fetch(deployment, component)
        return try_sources(component, self._limits, _environment(loaded, self._secrets), on_traceback)

    @any_thread
    def load(self, deployment: Deployment) -> tuple[LoadedType, ...]:
        """Map the compiled component (2 to 14 ms) and link it; touches no table."""
        component = self._engine.load(Path(deployment.compiled))
        found = [self._loaded_type(deployment, actor, component) for actor in deployment.types]
        if deployment.fetch:
            found.append(self._loaded_fetch(deployment, component))
        return tuple(found)

    def prepare(self, deployment: Deployment, types: tuple[LoadedType, ...]) -> None:
        """Keep a loaded version until it is switched to."""
        self._prepared[deployment.function, deployment.version] = types

    def switch(self, deployment: Deployment) -> None:
        """Every turn that starts from now on runs this version; it must have been prepared."""
        types = self._prepared.pop((deployment.function, deployment.version))
        self.remove(deployment.function)
        for loaded in types:
            self._install(loaded)

    def set_secrets(self, secrets: dict[str, str]) -> None:
        """All secrets of the host by their keys: every turn that starts now sees those that its function names."""
        self._secrets = secrets
        for loaded in list(self._by_type.values()):
            if loaded.environment != _environment(loaded, secrets):
                self._install(loaded)

    def remove(self, function: str) -> None:
        """Forget what this function runs, and what it has prepared and never switched to."""
        self._by_type = {number: loaded for number, loaded in self._by_type.items() if loaded.function != function}
        self._by_name = {name: loaded for name, loaded in self._by_name.items() if loaded.function != function}
        self._prepared = {key: types for key, types in self._prepared.items() if key[0] != function}
        self._unloadable = {number: name for number, name in self._unloadable.items() if name != function}

    def _install(self, loaded: LoadedType) -> None:
        """Let turns run it, under an environment as of now; what was activated under another one is replaced."""
        type_id = loaded.type_id
        if not loaded.type:
            type_id = self._function_numbers.setdefault(loaded.function, -1 - len(self._function_numbers))
        loaded = replace(loaded, type_id=type_id, environment=_environment(loaded, self._secrets))
        self._by_type[type_id] = loaded
        self._unloadable.pop(type_id, None)
        if loaded.type:
            self._by_name[loaded.tenant, loaded.type] = loaded

    def _loaded_fetch(self, deployment: Deployment, component: LoadedComponent) -> LoadedType:
        """The function's own part of a version. What passes through as a request or response needs room of its own."""
        limits = self._limits
        loaded = self._loaded_type(deployment, ActorType("", 0, ()), component)
        memory = loaded.memory_bytes_max + BODY_COPIES * limits.fetch_body_bytes_max
        return replace(loaded, method_timeout_s=math.inf, memory_bytes_max=memory)

    def _loaded_type(self, deployment: Deployment, actor: ActorType, component: LoadedComponent) -> LoadedType:
        limits = self._limits
        memory = deployment.memory_bytes_max or limits.memory_bytes_max
        return LoadedType(
            type=actor.type,
            type_id=actor.type_id,
            function=deployment.function,
            tenant=deployment.tenant,
            version=deployment.version,
            component=component,
            environment=b"",
            bindings={binding.binding: binding.type for binding in deployment.bindings},
            methods=frozenset(method.name.encode() for method in actor.methods),
            private=frozenset(name.encode() for name in actor.private),
            memory_bytes_max=min(memory, limits.memory_bytes_max),
            method_timeout_s=deployment.method_timeout_s or math.inf,
            variables=deployment.variables,
            secrets=deployment.secrets,
            asks_outside=bool(deployment.outbound.allow),
            runs_jobs=("job" if actor.crons is None else "scheduled") in component.exports,
            is_triggers=actor.crons is not None,
            sources=deployment.sources,
            handlers=None if actor.handlers is None else frozenset(actor.handlers),
            check_arguments=self.checks_arguments if deployment.check_arguments is None else deployment.check_arguments,
        )


def _why_private(method: str) -> str:
    """What a name that a type has, and callers may not call, must be."""
    if method.startswith("_"):
        return "its name begins with an underscore"
    if method in HANDLER_NAMES:
        return "it is a handler, which the host runs" + (": use stub.fetch(request)" if method == "fetch" else "")
    return "it is no method of an instance: a property, a static or class method, an attribute, or every actor's own"


def _environment(loaded: LoadedType, secrets: dict[str, str]) -> bytes:
    """The text that `activate` is given."""
    keys = {name: key_of(loaded.tenant, name) for name in loaded.secrets}
    granted = {name: secrets[key] for name, key in keys.items() if key in secrets}
    facts: dict[str, Any] = {"bindings": loaded.bindings, "variables": {**loaded.variables, **granted}}
    if loaded.check_arguments:
        facts["check_arguments"] = True
    if loaded.sources:
        facts["sources"] = json.loads(loaded.sources)
    return json.dumps(facts, separators=(",", ":")).encode()
