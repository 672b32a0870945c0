"""What is decided of a tenant's deploy follows from its own functions and types, and from no other's."""

import asyncio
import re
from pathlib import Path

import pytest

from holdfast_host.core.errors import HoldfastError, TenantInUseError, UnknownTenantError, UnresolvedBindingError
from holdfast_host.supervisor.registry.records import TenantRecord
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text

FETCH = component_text(fetch=True)
ACCOUNT = component_text("Account")
OWNER = manifest_text("account", ("ACCOUNT", "Account"))
WITH_ID = f'{OWNER}\n[deploy]\nfunc_id = "fn_0123456789abcdef01234567"\n'


@pytest.fixture
def bench(tmp_path: Path) -> DeployBench:
    bench = DeployBench(tmp_path)
    for tenant in ("acme", "blue"):
        bench.registry.commit_tenant(TenantRecord(tenant, {}, 1))
    return bench


def test_one_project_is_deployed_for_each_tenant_under_one_name_and_one_id(bench: DeployBench) -> None:
    for key in ("account", "account.acme", "account.blue"):
        assert bench.deploy(key, ACCOUNT, WITH_ID)
        assert not bench.deploy(key, ACCOUNT, WITH_ID), "its own second one is no new function"

    assert {key: [each.type_id for each in it.types] for key, it in bench.rollout.runs.items()} == {
        "account": [1],
        "account.acme": [2],
        "account.blue": [3],
    }
    ids = {tenant: bench.registry.named(tenant, "account") for tenant in ("default", "acme", "blue")}
    assert {each.func_id for each in ids.values() if each} == {
        "fn_0123456789abcdef01234567",
        "fn_0123456789abcdef01234567.acme",
        "fn_0123456789abcdef01234567.blue",
    }


def test_a_reference_to_what_another_tenant_has_is_refused_as_one_to_what_nobody_has(bench: DeployBench) -> None:
    bench.deploy("account.acme", ACCOUNT, OWNER)
    said = []
    for actor_type in ("Account", "Nothing"):
        for reader in ("reader", "reader.blue"):
            with pytest.raises(UnresolvedBindingError) as refused:
                bench.deploy(reader, FETCH, manifest_text("reader", ("READONLY", actor_type)))
            said.append(refused.value.message.replace(actor_type, "X"))

    assert len(set(said)) == 1
    bench.deploy("reader.acme", FETCH, manifest_text("reader", ("READONLY", "Account")))


def test_what_is_not_deployed_for_a_tenant_is_unknown_in_the_words_of_any_other_name(bench: DeployBench) -> None:
    bench.deploy("account.acme", ACCOUNT, OWNER)
    said = []
    for name in ("account", "nothing"):
        for change in (bench.deploys.delete, lambda key: bench.deploys.rollback(key, 1)):
            with pytest.raises(HoldfastError) as refused:
                asyncio.run(change(f"{name}.blue"))
            said.append(refused.value.message.replace(name, "X"))

    assert set(said) == {"no function 'X' is deployed"}
    assert asyncio.run(bench.deploys.undeployed("blue")) == []


def test_a_change_of_one_tenants_function_leaves_those_of_one_name_alone(bench: DeployBench) -> None:
    for key in ("account", "account.acme"):
        bench.deploy(key, ACCOUNT, OWNER)
    asyncio.run(bench.deploys.delete("account.acme"))

    assert [each.name for each in bench.registry.deployed()] == ["account"]
    assert bench.registry.named("acme", "account") is not None, "its types stay reserved to it"
    assert [each.type_id for each in bench.registry.types("acme")] == [2]


def test_a_tenant_that_has_something_is_not_retired_and_one_that_is_gone_deploys_nothing(bench: DeployBench) -> None:
    async def decide() -> None:
        await bench.deploys.check_unused("acme")
        bench.registry.commit_tenant_removal("acme")

    def retire() -> None:
        asyncio.run(bench.deploys.record(decide))

    bench.deploy("account.acme", ACCOUNT, OWNER)
    with pytest.raises(TenantInUseError, match=re.escape("has functions: delete account first")):
        retire()
    asyncio.run(bench.deploys.delete("account.acme"))
    bench.rollout.instances = {1}
    with pytest.raises(TenantInUseError, match="has instances of Account"):
        retire()
    bench.rollout.instances = set()
    retire()

    assert [each.name for each in bench.registry.tenants()] == ["blue", "default"]
    assert bench.registry.types("acme") == []
    with pytest.raises(UnknownTenantError):
        bench.deploy("account.acme", ACCOUNT, OWNER)
