"""References whose owner need not be there: functions that refer to each other, owners that come later or go."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_host.core.errors import FunctionReferencedError, InvalidManifestError, UnresolvedBindingError
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text

OPTIONAL = "optional = true\n"


def referring(name: str, own: str, other: str, extra: str = "") -> str:
    """A manifest that owns one type and refers to another one; `extra` belongs to the reference."""
    return manifest_text(name, (own.upper(), own), (other.upper(), other), extra=extra)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DeployBench]:
    made = DeployBench(tmp_path)
    yield made
    made.registry.close()


def remove(bench: DeployBench, function: str) -> None:
    asyncio.run(bench.deploys.delete(function))


def test_two_functions_that_refer_to_each_other_are_deployed_one_after_the_other(bench: DeployBench) -> None:
    with pytest.raises(UnresolvedBindingError, match="or say optional = true"):
        bench.deploy("shop", component_text("Cart"), referring("shop", "Cart", "Ledger"))

    bench.deploy("shop", component_text("Cart"), referring("shop", "Cart", "Ledger", OPTIONAL))
    bench.deploy("bank", component_text("Ledger"), referring("bank", "Ledger", "Cart"))

    assert bench.show("shop")["actors"] == [
        {"binding": "CART", "type": "Cart", "owner": True},
        {"binding": "LEDGER", "type": "Ledger", "owner": False, "optional": True},
    ]
    assert bench.show("bank")["actors"] == [
        {"binding": "LEDGER", "type": "Ledger", "owner": True},
        {"binding": "CART", "type": "Cart", "owner": False},
    ]


def test_an_owner_goes_that_only_optional_references_point_at(bench: DeployBench) -> None:
    bench.deploy("shop", component_text("Cart"), referring("shop", "Cart", "Ledger", OPTIONAL))
    bench.deploy("bank", component_text("Ledger"), referring("bank", "Ledger", "Cart"))

    with pytest.raises(FunctionReferencedError, match="'bank' refers to the actor type 'Cart'"):
        remove(bench, "shop")
    remove(bench, "bank")

    assert set(bench.rollout.runs) == {"shop"}


def test_an_owner_may_drop_a_type_that_only_optional_references_point_at(bench: DeployBench) -> None:
    bench.deploy("shop", component_text("Cart"), referring("shop", "Cart", "Ledger", OPTIONAL))
    bench.deploy("bank", component_text("Ledger", "Teller"))
    bench.deploy("bank", component_text("Teller"))

    assert [each.type for each in bench.rollout.runs["bank"].types] == ["Teller"]


def test_an_owner_may_drop_the_fetch_of_a_type_that_only_optional_references_point_at(bench: DeployBench) -> None:
    bench.deploy("shop", component_text("Cart"), referring("shop", "Cart", "Ledger", OPTIONAL))
    bench.deploy("bank", component_text("Ledger", handlers=["fetch"]))
    bench.deploy("bank", component_text("Ledger", handlers=[]))

    assert bench.show("bank")["version"] == 2


def test_a_type_that_the_component_ships_is_no_optional_reference(bench: DeployBench) -> None:
    with pytest.raises(InvalidManifestError, match="the binding CART is optional, but the component ships Cart itself"):
        bench.deploy("shop", component_text("Cart"), manifest_text("shop", ("CART", "Cart"), extra=OPTIONAL))
