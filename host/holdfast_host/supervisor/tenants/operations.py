"""What may be done with tenants: list, make, delete. A tenant with functions or instances is not deleted.

`default` is there from the beginning, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import BadRequestError, UnknownTenantError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tenants import DEFAULT_TENANT, check_tenant_name
from holdfast_host.supervisor.deploys.deploys import Deploys
from holdfast_host.supervisor.registry.records import TenantRecord
from holdfast_host.supervisor.registry.registry import Registry, now_us
from holdfast_host.wire.control.operations import DeleteTenant, ListTenants, MakeTenant, ShowTenant, TenantOperation

TENANTS_MAX = 1_000


class Kept(Protocol):
    """What of a tenant's is kept beside the registry, and goes with it."""

    async def forget(self, tenant: str) -> None:
        """Forget all of it; durable on return."""


class Tenants:
    """The tenants of a host; one per host, used by the event loop's thread."""

    def __init__(
        self, registry: Registry, deploys: Deploys, kept: tuple[Kept, ...], publish: Callable[[], None], log: EventLog
    ) -> None:
        """`publish()` tells the fronts what there is now."""
        self._registry = registry
        self._deploys = deploys
        self._kept = kept
        self._publish = publish
        self._log = log

    async def perform(self, operation: TenantOperation) -> JsonObject:
        """One operation.

        Raises:
            UnknownTenantError: there is none of that name.
            BadRequestError, InvalidNameError: there can be none, or there are too many.
            TenantInUseError: it has functions or instances.
            StorageFullError, HostUnavailableError: the disk does not let us, or a worker cannot say.
        """
        match operation:
            case ListTenants():
                return {"tenants": [_show(each) for each in self._registry.tenants()]}
            case ShowTenant():
                return _show(self.named(operation.name))
            case MakeTenant():
                return self._make(operation.name)
            case DeleteTenant():
                return await self._delete(operation.name)

    def named(self, name: str) -> TenantRecord:
        """The tenant of that name.

        Raises:
            UnknownTenantError: there is none.
        """
        found = next((each for each in self._registry.tenants() if each.name == name), None)
        if found is None:
            raise UnknownTenantError(f"there is no tenant {name[:64]!r}")
        return found

    def _make(self, name: str) -> JsonObject:
        check_tenant_name(name)
        found = {each.name: each for each in self._registry.tenants()}
        if name in found:
            return {**_show(found[name]), "created": False}
        if len(found) >= TENANTS_MAX:
            raise BadRequestError(f"there are {len(found)} tenants, the limit is {TENANTS_MAX}: delete one first")
        record = TenantRecord(name, {}, now_us())
        self._registry.commit_tenant(record)
        self._publish()
        self._log.info("tenant made", tenant=name)
        return {**_show(record), "created": True}

    async def _delete(self, name: str) -> JsonObject:
        if name == DEFAULT_TENANT:
            raise BadRequestError(f"the tenant {name!r} is always there: it cannot be deleted")
        record = self.named(name)
        async with self._deploys.retiring(name):
            for each in self._kept:  # first what lets somebody in
                await each.forget(name)
            self._registry.commit_tenant_removal(name)
        self._publish()
        self._log.info("tenant deleted", tenant=name)
        return _show(record)


def _show(tenant: TenantRecord) -> JsonObject:
    return {"name": tenant.name, "created_at": utc_text(tenant.created_us) if tenant.created_us else None}
