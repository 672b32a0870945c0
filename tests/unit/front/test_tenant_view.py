"""What a front looks names up in: of each tenant its own, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from multidict import CIMultiDict

from holdfast_host.core.errors import ForbiddenError, HoldfastError, UnknownTenantError
from holdfast_host.core.tenants import TENANT_HEADER
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.acting import tenant_for
from holdfast_host.front.access.callers import OPERATOR, Caller
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.wire.control.catalog import ActorType, Catalog, Deployment, Tenant
from holdfast_host.wire.control.tokens import TokenFacts


def deployed(key: str, type_id: int, *types: str) -> Deployment:
    shipped = tuple(ActorType(name, type_id + place, ()) for place, name in enumerate(types))
    return Deployment(key, f"fn_1.{key}", 1, "0" * 64, "/x", shipped, handlers=("fetch",))


SHOP, OF_ACME, OF_BLUE = (
    deployed("shop", 1, "Cart", "Order"),
    deployed("shop.acme", 3, "Cart", "Purse"),
    deployed("bank.blue", 5, "Safe"),
)
ACME, BLUE = Tenant("acme", (3, 4, 9)), Tenant("blue", (5,))
VIEW = CatalogView(Catalog(7, (SHOP, OF_ACME, OF_BLUE), (ACME, BLUE)))
# What there is where only one of them is on the host.
ALONE = {
    "default": CatalogView(Catalog(7, (SHOP,))),
    "acme": CatalogView(Catalog(7, (OF_ACME,), (ACME,))),
    "blue": CatalogView(Catalog(7, (OF_BLUE,), (BLUE,))),
    "none": CatalogView(Catalog(7)),
}


def test_one_name_is_another_thing_for_each_tenant() -> None:
    assert [VIEW.of(tenant).type_id("Cart") for tenant in ("default", "acme")] == [1, 3]
    assert [VIEW.function(address).function for address in ("shop", "shop.acme")] == ["shop", "shop.acme"]
    assert [row["type"] for row in VIEW.of("acme").describe_types()] == ["Cart", "Purse"]
    assert [row["function"] for row in VIEW.of("acme").describe_types()] == ["shop", "shop"]


def test_a_listing_is_asked_for_the_types_of_its_tenant_deployed_or_not() -> None:
    assert VIEW.of("acme").only == {"only": (3, 4, 9)}
    assert VIEW.of("default").only == {"without": (3, 4, 9, 5)}
    assert VIEW.of("nobody").only == {"only": ()}
    assert CatalogView(Catalog(1)).of("default").only == {}, "a host without tenants asks as it did"


def refusal(ask: Callable[[], Any]) -> str:
    with pytest.raises(HoldfastError) as refused:
        ask()
    return f"{refused.value.status} {refused.value.to_json().decode()}"


def steps(ask: Callable[[], Any]) -> int:
    """How many bytecodes of Python run until it is refused."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        refusal(ask)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("tenant", "ask"),
    [
        ("default", lambda view: view.of("default").type_id("Purse")),
        ("default", lambda view: view.of("default").type_id("Pursa")),
        ("blue", lambda view: view.of("blue").type_id("Cart")),
        ("acme", lambda view: view.of("acme").type_id("Safe")),
        ("none", lambda view: view.of("none").type_id("Cart")),
        ("default", lambda view: view.function("bank")),
        ("acme", lambda view: view.function("bank.acme")),
        ("none", lambda view: view.function("shop.none")),
        ("blue", lambda view: view.function("shop.blue")),
    ],
)
def test_a_name_of_others_is_refused_in_the_words_and_the_steps_of_one_that_nobody_has(
    tenant: str, ask: Callable[[CatalogView], Any]
) -> None:
    """As on a host where the others are not: so neither what is said nor how long it takes tells of them."""
    asked = [partial(ask, view) for view in (VIEW, ALONE[tenant])]
    said = [refusal(each) for each in asked]  # once: nothing is new to Python afterwards

    assert said[0] == said[1]
    counts = [min(steps(each) for _ in range(5)) for each in asked]  # a collection runs code of others in between
    assert counts[0] == counts[1]


def test_a_slip_is_answered_with_names_of_ones_own() -> None:
    assert "did you mean 'Purse'?" in refusal(lambda: VIEW.of("acme").type_id("Purs"))
    assert "mean" not in refusal(lambda: VIEW.of("default").type_id("Purs"))
    assert "did you mean 'shop'?" in refusal(lambda: VIEW.function("shp"))
    assert "mean" not in refusal(lambda: VIEW.function("shp.acme")), "a stranger is told nothing of a tenant's names"


def caller(scope: Scope, tenant: str | None) -> Caller:
    return Caller(TokenFacts("id", "", "", scope, tenant=tenant))


@pytest.mark.parametrize(
    ("who", "given", "expected"),
    [
        (OPERATOR, (), None),
        (OPERATOR, ("acme",), "acme"),
        (OPERATOR, ("default",), "default"),
        (caller(Scope.READ, None), (), None),
        (caller(Scope.READ, None), ("default",), "default"),
        (caller(Scope.CALL, "acme"), (), "acme"),
        (caller(Scope.CALL, "acme"), ("acme",), "acme"),
        (caller(Scope.ADMIN, "default"), (), "default"),
    ],
)
def test_a_request_is_of_its_tokens_tenant_or_of_the_one_that_an_operator_names(
    who: Caller, given: tuple[str, ...], expected: str | None
) -> None:
    headers = CIMultiDict((TENANT_HEADER, name) for name in given)

    assert tenant_for(who, headers, VIEW.tenants) == expected


@pytest.mark.parametrize("who", [caller(Scope.ADMIN, "blue"), caller(Scope.ADMIN, "default"), caller(Scope.CALL, None)])
def test_who_may_not_act_for_a_tenant_is_told_so_whether_it_is_there_or_not(who: Caller) -> None:
    said = []
    for name in ("acme", "none"):
        with pytest.raises(ForbiddenError) as refused:
            tenant_for(who, CIMultiDict({TENANT_HEADER: name}), VIEW.tenants)
        said.append(refused.value.message)

    assert said[0] == said[1]


def test_an_operator_who_names_no_tenant_of_the_host_is_told_so() -> None:
    with pytest.raises(UnknownTenantError, match="there is no tenant 'none': holdfast tenant create none"):
        tenant_for(OPERATOR, CIMultiDict({TENANT_HEADER: "none"}), VIEW.tenants)
