"""What may be done with tenants: list, make, limit, delete. A tenant with functions or instances is not deleted.

`default` is there from the beginning, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import BadRequestError, UnknownTenantError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tenants import DEFAULT_TENANT, LIMITS, check_tenant_name
from holdfast_host.supervisor.deploys.deploys import Deploys
from holdfast_host.supervisor.registry.records import TenantRecord
from holdfast_host.supervisor.registry.registry import Registry, now_us
from holdfast_host.supervisor.tenants.quotas import TenantQuotas, Workers
from holdfast_host.wire.control.operations import DeleteTenant, ListTenants, MakeTenant, ShowTenant, TenantOperation

TENANTS_MAX: Final = 1_000
LIMIT_MAX: Final = 10**15


class Kept(Protocol):
    """What of a tenant's is kept beside the registry, and goes with it."""

    async def forget(self, tenant: str) -> None:
        """Forget all of it; durable on return."""


class Tenants:
    """The tenants of a host; one per host, used by the event loop's thread."""

    def __init__(
        self,
        registry: Registry,
        deploys: Deploys,
        kept: tuple[Kept, ...],
        publish: Callable[[], None],
        quotas: TenantQuotas,
        workers: Workers,
        log: EventLog,
    ) -> None:
        """`publish()` tells the fronts what there is now."""
        self._quotas = quotas
        self._workers = workers
        self._registry = registry
        self._deploys = deploys
        self._kept = kept
        self._publish = publish
        self._log = log
        self._going: set[str] = set()  # that are being deleted

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
                return {"tenants": [self._show(each) for each in self._registry.tenants()]}
            case ShowTenant():
                return self._show(self.named(operation.name))
            case MakeTenant():
                return await self._make(operation.name, operation.limits)
            case DeleteTenant():
                return await self._delete(operation.name)

    def named(self, name: str) -> TenantRecord:
        """The tenant of that name, for which something may be made.

        Raises:
            UnknownTenantError: there is none, or it is being deleted.
        """
        found = next((each for each in self._registry.tenants() if each.name == name), None)
        if found is None or name in self._going:
            raise UnknownTenantError(f"there is no tenant {name[:64]!r}")
        return found

    async def follow(self) -> None:
        """Another host has changed the registry: functions and tenants are what it says now.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        await self._deploys.follow()
        await self._tell()

    async def _tell(self) -> None:
        """The fronts know the tenants that there are, the workers what holds them."""
        self._publish()
        await self._quotas.apply(self._workers)

    def measures(self, tenant: str | None = None) -> list[JsonObject]:
        """Name, limits and what is stored, of those that have limits; or of one."""
        shown = [self._show(each) for each in self._registry.tenants() if each.limits and tenant in {None, each.name}]
        return [{key: each[key] for key in ("name", "limits", "stored")} for each in shown]

    async def _make(self, name: str, limits: dict[str, int] | None) -> JsonObject:
        check_tenant_name(name)
        _check_limits(limits or {})
        created = changed = False

        async def decide() -> None:
            nonlocal created, changed
            found = {each.name: each for each in self._registry.tenants()}
            created, known = name not in found, found.get(name)
            if created and len(found) >= TENANTS_MAX:
                raise BadRequestError(f"there are {len(found)} tenants, the limit is {TENANTS_MAX}: delete one first")
            changed = created or limits is not None
            if changed:
                since_us = now_us() if known is None else known.created_us
                self._registry.commit_tenant(TenantRecord(name, limits or {}, since_us))

        await self._deploys.record(decide)
        record = self.named(name)
        if changed:
            await self._tell()
            self._log.info("tenant made" if created else "limits of a tenant set", tenant=name, **record.limits)
        return {**self._show(record), "created": created}

    async def _delete(self, name: str) -> JsonObject:
        if name == DEFAULT_TENANT:
            raise BadRequestError(f"the tenant {name!r} is always there: it cannot be deleted")
        record = self.named(name)

        async def decide() -> None:
            await self._deploys.check_unused(name)
            self._going.add(name)  # a token that was made now would let somebody in to the next one of that name
            for each in self._kept:  # first what lets somebody in
                await each.forget(name)
            self._registry.commit_tenant_removal(name)

        try:
            await self._deploys.record(decide)
        finally:
            self._going.discard(name)
        await self._tell()
        self._log.info("tenant deleted", tenant=name)
        return self._show(record)

    def _show(self, tenant: TenantRecord) -> JsonObject:
        stored = self._quotas.stored.get(tenant.name)
        return {
            "name": tenant.name,
            "created_at": utc_text(tenant.created_us) if tenant.created_us else None,
            "limits": tenant.limits,
            "stored": None if stored is None else {"instances": stored[0], "bytes": stored[1]},
        }


def _check_limits(limits: dict[str, int]) -> None:
    for name, most in limits.items():
        if name not in LIMITS:
            raise BadRequestError(f"{name[:40]!r} is no limit of a tenant: these are {', '.join(LIMITS)}")
        if not 0 <= most <= LIMIT_MAX:
            raise BadRequestError(f"the limit of {LIMITS[name]} is {most}: write 0 to {LIMIT_MAX}, or leave it out")
