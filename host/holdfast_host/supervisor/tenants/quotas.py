"""The limits of tenants: what is stored is counted again and again, what is full is told to the workers.

Counting reads every instance's row of those tenants that have a limit of instances or bytes; so a second passes from
one count to the next, or longer, where counting takes long: COUNT_SHARE of the time at most. What a tenant stores
meanwhile may go beyond its limit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from holdfast_host.core.errors import DeployQueueFullError, HoldfastError
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.registry.records import TenantRecord
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.quotas import FullTenant, Quotas

COUNT_EVERY_S: Final = 1.0
COUNT_SHARE: Final = 0.05
HOUR_S: Final = 3_600.0
_STORED: Final = ("instances", "bytes")


class Workers(Protocol):
    """Who is asked what is stored, and held to limits."""

    async def count_stored(self, types: Sequence[int]) -> tuple[int, int]:
        """How many instances of these types there are, and their bytes."""

    async def take_quotas(self, quotas: Quotas) -> None:
        """Workers hold tenants to these on return, and the courier to what they may ask."""


class TenantQuotas:
    """One per host, used by the event loop's thread."""

    def __init__(self, registry: Registry, log: EventLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._log = log
        self._clock = clock
        self._full: dict[str, FullTenant] = {}
        self._deploys: dict[str, deque[float]] = {}
        self._changed = asyncio.Event()
        self.stored: dict[str, tuple[int, int]] = {}  # instances and bytes, when they were counted last

    def for_workers(self) -> Quotas:
        """What workers hold tenants to now."""
        calls = {each.name: each.limits["calls"] for each in self._registry.tenants() if "calls" in each.limits}
        return Quotas(calls, tuple(self._full.values()))

    def for_courier(self) -> dict[str, int]:
        """How many outbound requests of a tenant may be under way."""
        tenants = self._registry.tenants()
        return {each.name: each.limits["outbound"] for each in tenants if "outbound" in each.limits}

    def note_deploy(self, tenant: str) -> None:
        """A deploy of a tenant is about to begin.

        Raises:
            DeployQueueFullError: it has had as many within an hour as it may.
        """
        limit = next((each.limits.get("deploys") for each in self._registry.tenants() if each.name == tenant), None)
        if limit is None:
            return
        now, recent = self._clock(), self._deploys.setdefault(tenant, deque())
        while recent and now - recent[0] >= HOUR_S:
            recent.popleft()
        if len(recent) >= limit:
            wait_s = round(HOUR_S - (now - recent[0])) if recent else round(HOUR_S)
            raise DeployQueueFullError(
                f"the tenant {tenant!r} has deployed {len(recent)} times within an hour, the limit is {limit}: "
                f"again in {wait_s} s"
            )
        recent.append(now)

    async def apply(self, workers: Workers) -> None:
        """Limits were changed, or a tenant was deleted: they hold on return, but for what has to be counted."""
        tenants = {each.name: each for each in self._registry.tenants()}
        kept = {name: each for name, each in self._full.items() if name in tenants}
        self._full = {name: each for name, each in kept.items() if _is_limited(tenants[name])}
        await workers.take_quotas(self.for_workers())
        self._changed.set()

    async def watch(self, workers: Workers) -> None:
        """Count and tell, for as long as the host runs."""
        while True:
            self._changed.clear()
            limited = [each for each in self._registry.tenants() if _is_limited(each)]
            if not limited:
                self.stored = {}
                await self._changed.wait()
                continue
            began = self._clock()
            try:
                await self.look(limited, workers)
            except HoldfastError as error:  # a worker is being replaced: the next count has it
                self._log.debug("what tenants store was not counted", error=error.message)
            pause_s = max(COUNT_EVERY_S, (self._clock() - began) / COUNT_SHARE)
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def look(self, limited: list[TenantRecord], workers: Workers) -> None:
        """Count once; tell the workers where a tenant is full now, or is not any more.

        Raises:
            HoldfastError: a worker cannot say.
        """
        counted: dict[str, tuple[list[int], tuple[int, int]]] = {}
        for tenant in limited:
            types = [each.type_id for each in self._registry.types(tenant.name)]
            counted[tenant.name] = types, await workers.count_stored(types) if types else (0, 0)
        full, stored = {}, {}
        for tenant in self._registry.tenants():  # as they are now: limits may have changed while that was counted
            if tenant.name not in counted or not _is_limited(tenant):
                continue
            types, (instances, size) = counted[tenant.name]
            stored[tenant.name] = instances, size
            found = _full(tenant, types, instances, size)
            if found is not None:
                full[tenant.name] = found
        self.stored = stored
        if full != self._full:
            for name in full.keys() - self._full.keys():
                self._log.warning(f"the tenant {name!r} is full: {full[name].reason}")
            self._full = full
            await workers.take_quotas(self.for_workers())


def _is_limited(tenant: TenantRecord) -> bool:
    return any(each in tenant.limits for each in _STORED)


def _full(tenant: TenantRecord, types: list[int], instances: int, size: int) -> FullTenant | None:
    if size >= tenant.limits.get("bytes", size + 1):
        reason = f"the tenant {tenant.name!r} stores {size} bytes, the limit is {tenant.limits['bytes']}"
        return FullTenant(tuple(types), reason, only_new=False)
    if instances >= tenant.limits.get("instances", instances + 1):
        reason = f"the tenant {tenant.name!r} has {instances} instances, the limit is {tenant.limits['instances']}"
        return FullTenant(tuple(types), reason, only_new=True)
    return None
