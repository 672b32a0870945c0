"""What the registry tells of functions, their versions, types and tenants."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from holdfast_host.core.tenants import key_of, tenant_of
from holdfast_host.wire.control.catalog import ActorType, Deployment


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The names, without endings, of a version's component and compiled file, and whether it is what runs."""

    component: str
    compiled: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One function; `current` is None after it was undeployed. `func_id` is the key of the id, see `core.tenants`."""

    func_id: str
    name: str  # as its tenant knows it
    current: int | None
    last_version: int
    failure: str | None

    @property
    def key(self) -> str:
        """Under what its processes know it."""
        return key_of(tenant_of(self.func_id), self.name)


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One immutable version."""

    deployment: Deployment
    manifest: str | None
    description: dict[str, Any]
    created_us: int


@dataclass(frozen=True, slots=True)
class TypeRecord:
    """The number of an actor type, and the function to which it belongs or is reserved."""

    type: str
    type_id: int
    func_id: str


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """One tenant. `limits` by their names, those alone that it has."""

    name: str
    limits: dict[str, int]
    created_us: int


def type_of_crons(function: str, func_id: str, crons: tuple[str, ...]) -> ActorType:
    """The hidden type whose one instance keeps the function's crons; still without its number."""
    name = f"Crons_{hashlib.sha256(func_id.encode()).hexdigest()[:24]}"
    return ActorType(name, 0, (), f"When {function} runs.", handlers=(), crons=crons)
