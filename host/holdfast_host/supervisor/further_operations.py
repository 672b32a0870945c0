"""What fronts ask for that is not about functions: each operation goes to whoever sees to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from holdfast_host.core.child_process import private_bytes
from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tenants import key_of
from holdfast_host.supervisor.audit.operations import Audit
from holdfast_host.supervisor.backups import Backups
from holdfast_host.supervisor.cluster.listing import list_hosts
from holdfast_host.supervisor.crashes.attribution import CrashAttribution
from holdfast_host.supervisor.deploys.component_store import ComponentStore, Progress
from holdfast_host.supervisor.processes.activity import collect_activity
from holdfast_host.supervisor.processes.measures import collect_measures, collect_types
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.supervisor.secrets.operations import Secrets
from holdfast_host.supervisor.startup import HostResources
from holdfast_host.supervisor.tenants.operations import Tenants
from holdfast_host.supervisor.tokens.operations import TokenOperations
from holdfast_host.supervisor.tokens.telling import TokenNews
from holdfast_host.wire.control.operations import (
    AuditOperation,
    CollectActivity,
    CollectMeasures,
    CollectTenantMeasures,
    FurtherOperation,
    KeptOperation,
    ListHosts,
    ListQuarantined,
    ListTokens,
    OfTenant,
    OfTokens,
    ReadArchived,
    ReleaseFunction,
    ReleaseInstance,
    SecretOperation,
    TakeBackup,
    TenantOperation,
)

if TYPE_CHECKING:
    from holdfast_host.supervisor.archive.service import Archive


@dataclass(frozen=True, kw_only=True)
class FurtherOperations:
    """Performs them; one per host, event loop's thread only."""

    resources: HostResources
    workers: Sequence[SupervisedProcess]
    fronts: Sequence[SupervisedProcess]
    couriers: Callable[[], Sequence[SupervisedProcess]]  # those that run now: one at most
    attribution: CrashAttribution
    components: ComponentStore
    secrets: Secrets
    tenants: Tenants
    tokens: TokenOperations
    token_news: TokenNews
    audit: Audit
    backups: Backups
    archive: Archive | None  # None: the host keeps none

    async def perform(self, operation: FurtherOperation, progress: Progress, gone: asyncio.Event) -> JsonObject:
        """One operation; `gone` is set when whoever asked for it has hung up.

        Raises:
            HoldfastError: what the caller is told.
        """
        if isinstance(operation, OfTenant | OfTokens) and operation.tenant is not None:
            self.tenants.named(operation.tenant)  # it may have been deleted since the front looked
        if isinstance(operation, KeptOperation):
            return await self._perform_kept(operation)
        match operation:
            case CollectMeasures():
                return await self._measure()
            case CollectTenantMeasures():
                types = await collect_types(self.workers, operation.tenant)
                return {"workers": types, "tenants": self.tenants.measures(operation.tenant)}
            case CollectActivity():
                return await collect_activity(self.workers, self.attribution.running, operation.limit)
            case ListHosts():
                return list_hosts(self.resources)
            case ListQuarantined():
                return self.attribution.show(operation.tenant, operation.after, operation.limit)
            case ReleaseInstance():
                return await self.attribution.release_instance(operation.type_id, operation.name, self.workers)
            case ReleaseFunction():
                function = key_of(operation.tenant, operation.function)
                return await self.attribution.release_function(function, self.workers)
            case TakeBackup():
                return await self.backups.take(with_key=operation.with_key, on_file=progress, gone=gone)
            case ReadArchived():
                if self.archive is None:
                    raise BadRequestError(
                        "this host keeps no archive, from which that is read: start it with --archive"
                    )
                return await self.archive.read_instance(operation.type_id, operation.name, operation.at_us)
            case _:
                assert_never(operation)

    async def _perform_kept(self, operation: KeptOperation) -> JsonObject:
        """About what is kept beside the functions."""
        if isinstance(operation, TenantOperation):
            return await self.tenants.perform(operation)
        if isinstance(operation, SecretOperation):
            return await self.secrets.perform(operation)
        if isinstance(operation, AuditOperation):
            return await self.audit.perform(operation)
        done = self.tokens.perform(operation)
        if not isinstance(operation, ListTokens):
            await self.token_news.until_known()
        return done

    async def _measure(self) -> JsonObject:
        counted = await collect_measures(workers=self.workers, fronts=self.fronts, couriers=self.couriers())
        own: JsonObject = {"deploys_waiting": self.components.waiting, "private_bytes": private_bytes()}
        own["tenants"] = self.tenants.measures()
        if self.archive is not None:
            own["archive"] = await self.archive.measure()
        if self.resources.heart is not None:
            own["store"] = self.resources.heart.measures()
        return {**counted, "quarantined": self.attribution.measures(), **own}
