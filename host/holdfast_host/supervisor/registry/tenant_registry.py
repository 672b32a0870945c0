"""The registry as one tenant sees it: what another one has is not there, under whatever name it is asked for.

Every rule of a deploy is decided over this, so that none can name, count or refer to another tenant's functions.
"""

from __future__ import annotations

from holdfast_host.core.tenants import key_of
from holdfast_host.supervisor.registry.records import FunctionRecord, TypeRecord, VersionRecord
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.catalog import Deployment


class TenantRegistry:
    """Made for one question or one change; changes nothing."""

    def __init__(self, registry: Registry, tenant: str) -> None:
        self._registry = registry
        self.tenant = tenant

    def key(self, name: str) -> str:
        """Under what a function or an id of this name is kept."""
        return key_of(self.tenant, name)

    def deployed(self) -> list[FunctionRecord]:
        """Its functions that are deployed now, by name."""
        return self._registry.deployed(self.tenant)

    def named(self, name: str) -> FunctionRecord | None:
        """Its function deployed under this name, else the one that was so last."""
        return self._registry.named(self.tenant, name)

    def by_id(self, func_id: str) -> FunctionRecord | None:
        """Its function of this id's key, deployed or not."""
        return self._registry.by_id(func_id)

    def versions(self, func_id: str) -> list[VersionRecord]:
        """The versions that are kept, the latest first."""
        return self._registry.versions(func_id)

    def version(self, func_id: str, version: int) -> VersionRecord | None:
        """One version, if it is kept."""
        return self._registry.version(func_id, version)

    def type_named(self, actor_type: str) -> TypeRecord | None:
        """To which of its functions an actor type belongs."""
        return self._registry.type_named(self.tenant, actor_type)

    def type_numbered(self, type_id: int) -> TypeRecord | None:
        """The actor type that has this number."""
        return self._registry.type_numbered(type_id)

    def next_type_id(self) -> int:
        """The lowest number that was never given to a type, of any tenant."""
        return self._registry.next_type_id()

    def reserved_types(self) -> list[tuple[FunctionRecord, TypeRecord]]:
        """Its actor types that no deployed version ships, by name, each with the function that they are kept for."""
        return self._registry.reserved_types(self.tenant)

    def current(self) -> list[Deployment]:
        """The current version of each of its functions."""
        return [each for each in self._registry.current() if each.tenant == self.tenant]
