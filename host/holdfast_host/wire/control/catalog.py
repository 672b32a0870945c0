"""What is deployed, as the supervisor tells the other processes.

A worker needs a Deployment to run a version; a front needs the Catalog to route by type and to answer inspections. Both
are immutable, and cross processes in control messages.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from holdfast_host.core.cors import Cors
from holdfast_host.core.outbound import PLACEHOLDER
from holdfast_host.core.tenants import tenant_of


@dataclass(frozen=True, slots=True)
class Method:
    """One callable method.

    Attributes:
        name: What callers call it.
        signature: For people, in the notation of its author's language; may be empty.
        doc: May be empty.
        parameters: For programs, as `wit/instance.wit` has them; None where its component does not say.
    """

    name: str
    signature: str
    doc: str = ""
    parameters: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class ActorType:
    """One class that a component ships, with the number that stands for it on disk."""

    type: str
    type_id: int
    methods: tuple[Method, ...]
    doc: str = ""
    private: tuple[str, ...] = ()  # attributes that exist and are not callable: 403 instead of 404
    handlers: tuple[str, ...] | None = None  # what the host may call of it; None where its component does not say
    crons: tuple[str, ...] | None = None  # hidden, and no class: the times at which the function runs

    def may_handle(self, name: str) -> bool:
        """Whether it has the handler, or may have it, where its component does not say."""
        return self.handlers is None or name in self.handlers


@dataclass(frozen=True, slots=True)
class Binding:
    """A name on `env` that leads to an actor type.

    Attributes:
        binding: The name.
        type: The actor type.
        owner: This function ships its class; else it is a reference.
        optional: A reference whose owner need not be deployed.
    """

    binding: str
    type: str
    owner: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Outbound:
    """What a function may ask outside (`core.outbound.Pattern`), and which headers the courier fills in for it.

    `headers`: by origin, then by name, the header's text with `{NAME}` where a secret goes.
    """

    allow: tuple[str, ...] = ()
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def secrets(self) -> set[str]:
        """The names of the secrets that are filled in."""
        return {
            name for headers in self.headers.values() for text in headers.values() for name in PLACEHOLDER.findall(text)
        }


NO_OUTBOUND: Final = Outbound()


@dataclass(frozen=True, slots=True)
class Deployment:
    """One version of one function: everything a worker needs to run it."""

    function: str  # its key, see core.tenants: what it is called, and whose it is
    func_id: str  # the same of its id
    version: int
    sha256: str
    compiled: str  # path of the compiled component that this host wrote
    types: tuple[ActorType, ...]
    bindings: tuple[Binding, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    handlers: tuple[str, ...] = ()  # the function's own
    memory_bytes_max: int = 0  # 0: the host's
    method_timeout_s: float = 0.0  # 0: the host's
    check_arguments: bool | None = None  # by their annotations, where they come as plain JSON; None: as the host does
    sources: str = ""  # JSON, as an author's tool handed it in; for development components only, handed through unread
    secrets: tuple[str, ...] = ()  # the names of those that it sees, set or not; a version that was kept without: none
    outbound: Outbound = NO_OUTBOUND
    origins: tuple[str, ...] = ()  # whose pages may open WebSockets, beside its own, see core.origins
    cors: Cors | None = None  # what pages of other origins may do; None: the function sees to it
    language: str = ""  # what it was written in, where its component says so

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return tenant_of(self.function)

    @property
    def fetch(self) -> bool:
        """Whether the function answers requests of its own."""
        return "fetch" in self.handlers

    def to_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Deployment:
        """What `to_json` wrote, also that of a release that knew `hooks` and `fetch`."""
        facts = {"handlers": ["fetch"] if facts.get("fetch") else [], **facts}
        facts.pop("fetch", None)
        types = tuple(
            ActorType(
                entry["type"],
                entry["type_id"],
                tuple(Method(**method) for method in entry["methods"]),
                entry["doc"],
                tuple(entry["private"]),
                _handlers(entry),
                None if entry.get("crons") is None else tuple(entry["crons"]),
            )
            for entry in facts["types"]
        )
        bindings = tuple(Binding(**entry) for entry in facts["bindings"])
        secrets, handlers = tuple(facts.get("secrets", ())), tuple(facts["handlers"])
        outbound = facts.get("outbound", {})
        asks = Outbound(tuple(outbound.get("allow", ())), outbound.get("headers", {}))
        read = {"types": types, "bindings": bindings, "secrets": secrets, "handlers": handlers, "outbound": asks}
        read["origins"] = tuple(facts.get("origins", ()))
        read["cors"] = None if facts.get("cors") is None else Cors.from_json(facts["cors"])
        return cls(**{**facts, **read})


def _handlers(entry: dict[str, Any]) -> tuple[str, ...] | None:
    told = entry.get("handlers", entry.get("hooks"))
    return None if told is None else tuple(told)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant beside `default`, with the numbers of its actor types, deployed or not."""

    name: str
    type_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """The current deployment of every function. `number` grows with every change."""

    number: int
    deployments: tuple[Deployment, ...] = ()
    tenants: tuple[Tenant, ...] = ()
