"""Who owns an actor type, who refers to it, and what stays when a function goes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_host.core.errors import (
    BreakingChangeError,
    FunctionReferencedError,
    TypeOwnedError,
    UnknownFunctionError,
    UnresolvedBindingError,
)
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text

FETCH = component_text(fetch=True)
READER = manifest_text("reader", ("READONLY", "Account"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DeployBench]:
    made = DeployBench(tmp_path)
    made.deploy("account", component_text("Account"))
    yield made
    made.registry.close()


def remove(bench: DeployBench, function: str) -> None:
    asyncio.run(bench.deploys.delete(function))


def test_a_second_owner_of_a_type_is_refused(bench: DeployBench) -> None:
    with pytest.raises(TypeOwnedError, match="'account'"):
        bench.deploy("wallet", component_text("Account"))
    with pytest.raises(TypeOwnedError):
        bench.deploy("wallet", component_text("Account"), adopt=True)


def test_a_reference_to_a_deployed_type_resolves(bench: DeployBench) -> None:
    bench.deploy("reader", FETCH, READER)

    assert bench.show("reader")["actors"] == [{"binding": "READONLY", "type": "Account", "owner": False}]
    assert bench.rollout.runs["reader"].types == ()


def test_a_reference_to_a_type_that_nobody_owns_is_refused(bench: DeployBench) -> None:
    with pytest.raises(UnresolvedBindingError, match="READONLY refers to the actor type 'Ledger'"):
        bench.deploy("reader", FETCH, manifest_text("reader", ("READONLY", "Ledger")))


def test_a_reference_to_a_type_that_is_only_reserved_is_refused(bench: DeployBench) -> None:
    remove(bench, "account")

    with pytest.raises(UnresolvedBindingError):
        bench.deploy("reader", FETCH, READER)


def test_a_function_is_not_undeployed_while_another_refers_to_its_type(bench: DeployBench) -> None:
    bench.deploy("reader", FETCH, READER)
    with pytest.raises(FunctionReferencedError, match="'reader'"):
        remove(bench, "account")
    assert "account" in bench.rollout.runs

    remove(bench, "reader")
    remove(bench, "account")
    assert bench.rollout.runs == {}


def test_fronts_stop_routing_before_workers_forget_a_function(bench: DeployBench) -> None:
    bench.rollout.events.clear()
    remove(bench, "account")

    assert bench.rollout.events == ["publish ", "remove account"]
    with pytest.raises(UnknownFunctionError):
        remove(bench, "account")


def test_an_undeployed_function_comes_back_with_its_type_numbers_and_new_versions(bench: DeployBench) -> None:
    func_id, number = bench.show("account")["func_id"], bench.type_id("Account")
    remove(bench, "account")
    bench.reopen()

    assert bench.deploy("account", component_text("Account"))
    assert bench.show("account")["func_id"] == func_id
    assert bench.show("account")["version"] == 2
    assert bench.rollout.runs["account"].types[0].type_id == number


def test_a_reserved_type_is_taken_over_only_on_request_and_keeps_its_number(bench: DeployBench) -> None:
    number = bench.type_id("Account")
    remove(bench, "account")
    with pytest.raises(TypeOwnedError, match="reserved"):
        bench.deploy("wallet", component_text("Account"))

    bench.deploy("wallet", component_text("Account"), adopt=True)

    assert bench.rollout.runs["wallet"].types[0].type_id == number
    with pytest.raises(TypeOwnedError):
        bench.deploy("account", component_text("Account"))


def test_type_numbers_are_never_used_twice(bench: DeployBench) -> None:
    first = bench.type_id("Account")
    remove(bench, "account")
    bench.reopen()
    bench.deploy("other", component_text("Other"))

    assert bench.type_id("Other") > first


def test_a_class_that_the_manifest_does_not_bind_is_not_owned(bench: DeployBench) -> None:
    bench.deploy("shop", component_text("Cart", "Base"), manifest_text("shop", ("CART", "Cart")))

    assert [entry.type for entry in bench.rollout.runs["shop"].types] == ["Cart"]
    assert bench.registry.type_named("default", "Base") is None


def test_dropping_a_type_that_another_function_refers_to_is_refused(bench: DeployBench) -> None:
    bench.deploy("reader", FETCH, READER)
    with pytest.raises(BreakingChangeError, match="'reader'"):
        bench.deploy("account", component_text("Ledger"))

    bench.deploy("account", component_text("Ledger"), allow_breaking=True)
    assert bench.show("account")["version"] == 2


def test_a_rollback_that_would_take_a_type_back_from_its_new_owner_is_refused(bench: DeployBench) -> None:
    bench.deploy("account", component_text("Ledger"))
    bench.deploy("wallet", component_text("Account"), adopt=True)

    with pytest.raises(TypeOwnedError):
        asyncio.run(bench.deploys.rollback("account", 1))
    assert bench.show("account")["version"] == 2
