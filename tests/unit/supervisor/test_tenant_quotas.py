"""The limits of tenants: what is counted, who is told, and when a deploy is one too many."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from holdfast_host.core.errors import DeployQueueFullError
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.registry.records import TenantRecord, VersionRecord
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.tenants.quotas import TenantQuotas
from holdfast_host.wire.control.catalog import ActorType, Deployment
from holdfast_host.wire.control.quotas import FullTenant, Quotas


class Workers:
    """Says what the test says is stored; notes what it is told."""

    def __init__(self) -> None:
        self.stored: dict[int, tuple[int, int]] = {}
        self.told: list[Quotas] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None  # what happens while they count

    async def count_stored(self, types: Sequence[int]) -> tuple[int, int]:
        found = [self.stored.get(each, (0, 0)) for each in types]
        if self.meanwhile is not None:
            await self.meanwhile()
        return sum(each[0] for each in found), sum(each[1] for each in found)

    async def take_quotas(self, quotas: Quotas) -> None:
        self.told.append(quotas)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.registry = Registry.open(folder / "r", folder)
        self.now_s = 1_000.0
        self.workers = Workers()
        self.quotas = TenantQuotas(self.registry, EventLog("debug", io.StringIO()), lambda: self.now_s)

    def tenant(self, name: str, **limits: int) -> None:
        self.registry.commit_tenant(TenantRecord(name, limits, 1))

    def deploy(self, key: str, *types: tuple[str, int]) -> None:
        shipped = tuple(ActorType(name, number, ()) for name, number in types)
        self.registry.commit_version(
            VersionRecord(Deployment(key, f"fn_1.{key}", 1, "0" * 64, "/x.cwasm", shipped), None, {}, 1)
        )

    def look(self) -> None:
        limited = [each for each in self.registry.tenants() if each.limits]
        asyncio.run(self.quotas.look(limited, self.workers))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_all_types_of_a_tenant_count_together_and_what_is_full_is_told_once(bench: Bench) -> None:
    bench.tenant("acme", instances=10, bytes=1_000)
    bench.deploy("shop", ("Cart", 1))
    bench.deploy("shop.acme", ("Cart", 2), ("Order", 3))
    bench.workers.stored = {1: (1_000_000, 1_000_000_000), 2: (6, 300), 3: (3, 300)}
    bench.look()
    not_full = list(bench.workers.told)
    bench.workers.stored[3] = (4, 300)
    bench.look()
    bench.look()
    by_instances = list(bench.workers.told)
    bench.workers.stored[3] = (4, 700)
    bench.look()
    bench.workers.stored[3] = (2, 10)
    bench.look()

    assert not_full == []
    assert [each.full for each in by_instances] == [
        (FullTenant((2, 3), "the tenant 'acme' has 10 instances, the limit is 10", only_new=True),)
    ]
    assert bench.workers.told[1].full == (
        FullTenant((2, 3), "the tenant 'acme' stores 1000 bytes, the limit is 1000", only_new=False),
    )
    assert bench.workers.told[2:] == [Quotas()]
    assert bench.quotas.stored == {"acme": (8, 310)}


def test_new_limits_are_told_at_once_and_those_of_a_deleted_tenant_hold_no_more(bench: Bench) -> None:
    bench.tenant("acme", calls=5, outbound=2, bytes=0)
    bench.deploy("shop.acme", ("Cart", 2))
    bench.look()
    full = bench.quotas.for_workers()
    bench.tenant("acme", calls=7)
    asyncio.run(bench.quotas.apply(bench.workers))

    assert (full.calls, len(full.full)) == ({"acme": 5}, 1)
    assert bench.workers.told[-1] == Quotas({"acme": 7})
    assert bench.quotas.for_courier() == {}
    bench.tenant("acme", outbound=2)
    assert bench.quotas.for_courier() == {"acme": 2}


@pytest.mark.parametrize("limits", [{}, {"bytes": 1_000}], ids=["taken away", "raised"])
def test_a_limit_that_changes_while_is_counted_holds_as_it_is_then(bench: Bench, limits: dict[str, int]) -> None:
    """Nobody counts again once no tenant has a limit: what was full by the old one would be so for good."""
    bench.tenant("acme", bytes=10)
    bench.deploy("shop.acme", ("Cart", 2))
    bench.workers.stored = {2: (1, 100)}

    async def change() -> None:
        bench.tenant("acme", **limits)
        await bench.quotas.apply(bench.workers)

    bench.look()
    bench.workers.meanwhile = change
    bench.look()

    assert [len(each.full) for each in bench.workers.told[:1] + bench.workers.told[-1:]] == [1, 0]
    assert bench.quotas.for_workers() == Quotas()


def test_so_many_deploys_in_an_hour_and_one_more_is_told_when(bench: Bench) -> None:
    bench.tenant("acme", deploys=2)
    bench.tenant("blue")
    for tenant in ("acme", "blue", "acme", "blue", "blue", "default"):
        bench.quotas.note_deploy(tenant)
        bench.now_s += 10

    with pytest.raises(DeployQueueFullError, match="'acme' has deployed 2 times within an hour, the limit is 2: again"):
        bench.quotas.note_deploy("acme")
    bench.now_s = 1_000.0 + 3_600.0
    bench.quotas.note_deploy("acme")
