"""Tenants of a store: what one host makes, limits or deletes, the others hold to as well."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import pytest

from holdfast_host.core.errors import HostUnavailableError, TenantInUseError, UnknownTenantError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.secrets.operations import Secrets
from holdfast_host.supervisor.tenants.operations import Tenants
from holdfast_host.supervisor.tenants.quotas import TenantQuotas
from holdfast_host.supervisor.tokens.operations import TokenOperations
from holdfast_host.wire.control.operations import CreateToken, DeleteTenant, MakeTenant, TenantOperation
from holdfast_host.wire.control.quotas import Quotas
from tests.contract.homes.conftest import Home
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text


class Workers:
    """Notes what a host's workers are told."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    async def count_stored(self, types: Sequence[int]) -> tuple[int, int]:
        return 0, 0

    async def take_quotas(self, quotas: Quotas) -> None:
        self.calls = dict(quotas.calls)


class Host:
    """What of a host of a store sees to its tenants; `knows` is what its fronts have been told last."""

    def __init__(self, home: Home, number: int) -> None:
        log, self.knows, self.workers = EventLog("debug", io.StringIO()), ["default"], Workers()
        self.homes = home.open(number)
        self.bench = DeployBench(home.folder / f"host{number}", open_homes=lambda directory: self.homes)
        self.tokens = TokenOperations(self.homes.tokens, Limits(), lambda known: None, log)
        self.secrets = Secrets(self.homes.vault, self.homes.registry, lambda *values: asyncio.sleep(0), log)
        self.tenants = Tenants(
            self.homes.registry,
            self.bench.deploys,
            (self.tokens, self.secrets),
            self._publish,
            TenantQuotas(self.homes.registry, log),
            self.workers,
            log,
        )

    def perform(self, operation: TenantOperation) -> JsonObject:
        return asyncio.run(self.tenants.perform(operation))

    def follow(self) -> None:
        asyncio.run(self.tenants.follow())

    def _publish(self) -> None:
        self.knows = ["default", *(each.name for each in self.homes.registry.catalog().tenants)]


@pytest.fixture
def hosts(shared: Home) -> tuple[Host, Host]:
    return Host(shared, 0), Host(shared, 1)


def test_a_tenant_and_its_limits_hold_on_every_host_of_the_store(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    made = first.perform(MakeTenant("acme", {"calls": 3}))
    second.follow()
    told = second.knows, second.workers.calls
    again = second.perform(MakeTenant("acme"))
    second.perform(MakeTenant("acme", {"calls": 4}))
    first.follow()

    assert (made["created"], again["created"]) == (True, False)
    assert told == (["default", "acme"], {"acme": 3})
    assert first.workers.calls == {"acme": 4}


def test_hosts_that_make_tenants_at_once_lose_none(hosts: tuple[Host, Host]) -> None:
    """The second decides over what it read before the first had recorded anything."""
    first, second = hosts
    first.perform(MakeTenant("acme"))
    first.bench.deploy("f.acme", component_text("A"), manifest_text("f", ("A", "A")))
    second.perform(MakeTenant("blue"))

    assert second.knows == ["default", "acme", "blue"]
    assert second.bench.rollout.runs.keys() == {"f.acme"}, "what it found on the way runs there too"


def test_a_tenant_to_which_another_host_has_deployed_meanwhile_is_not_deleted(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    first.perform(MakeTenant("acme"))
    second.follow()
    first.bench.deploy("f.acme", component_text("A"), manifest_text("f", ("A", "A")))
    with pytest.raises(TenantInUseError, match="has functions: delete f first"):
        second.perform(DeleteTenant("acme"))

    assert [each.func_id.partition(".")[2] for each in first.homes.registry.deployed()] == ["acme"]


def test_tokens_and_secrets_of_a_tenant_go_with_it_from_the_store(shared: Home, hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    first.perform(MakeTenant("acme"))
    for tenant in ("acme", "default"):
        first.tokens.perform(CreateToken(scope="admin", tenant=tenant))
        asyncio.run(first.secrets.set(tenant, "KEY", f"of {tenant}"))
    second.follow()
    asyncio.run(second.tokens.follow())
    asyncio.run(second.secrets.follow())
    second.perform(DeleteTenant("acme"))
    later = shared.open(2)

    assert [each.name for each in later.registry.tenants()] == ["default"]
    assert [each.tenant for each in later.tokens.all().values()] == ["default"]
    assert later.vault.values() == {"KEY": "of default"}


def test_nothing_is_made_for_a_tenant_that_is_being_deleted(hosts: tuple[Host, Host]) -> None:
    """Its tokens are forgotten by then: one made now would let somebody in to the next tenant of that name."""
    tenants, refused = hosts[0].tenants, list[str]()

    class Meanwhile:
        """What is kept of a tenant beside the rest; cannot be forgotten at the first time."""

        async def forget(self, tenant: str) -> None:
            with pytest.raises(UnknownTenantError, match="there is no tenant 'acme'"):
                tenants.named(tenant)
            refused.append(tenant)
            if len(refused) == 1:
                raise HostUnavailableError("the disk does not let us")

    tenants._kept = (*tenants._kept, Meanwhile())
    hosts[0].perform(MakeTenant("acme"))
    with pytest.raises(HostUnavailableError):
        hosts[0].perform(DeleteTenant("acme"))
    assert tenants.named("acme").name == "acme", "it stays, and is as before"
    hosts[0].perform(DeleteTenant("acme"))

    assert refused == ["acme", "acme"]
    with pytest.raises(UnknownTenantError):
        tenants.named("acme")
