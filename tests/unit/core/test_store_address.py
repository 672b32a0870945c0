"""The address of a store on PostgreSQL: what is a password in it, and that none is repeated."""

from __future__ import annotations

import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.store_address import check_address, has_password


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://holdfast@db/holdfast", False),
        ("postgresql://db:5432/holdfast?sslmode=verify-full", False),
        ("postgresql:///holdfast?host=/run/postgresql", False),
        ("postgres://a@h1:5432,h2,[::1]:5433/b", False),
        ("postgresql://holdfast:hush@db/holdfast", True),
        ("postgresql://holdfast:hu#sh@db/holdfast", True),
        ("postgresql://holdfast:hu?sh@db/holdfast", True),
        ("postgresql://holdfast:hu[sh@db/holdfast", True),
        ("postgresql://holdfast@db/holdfast?password=hush", True),
    ],
)
def test_a_password_is_found_wherever_the_client_finds_it(address: str, expected: bool) -> None:
    check_address(address)

    assert has_password(address) is expected


@pytest.mark.parametrize(
    "address",
    [
        "mysql://holdfast:hush@db/holdfast",
        "host=db password=hush",
        "postgresql://holdfast:a@hush@db/holdfast",
        "postgresql://holdfast:hu/sh@db/holdfast",
        "postgresql://holdfast:hush/holdfast",
    ],
    ids=["another scheme", "no URL", "an at sign", "a slash", "no host"],
)
def test_an_address_that_is_none_is_refused_without_a_word_of_it(address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_address(address)

    assert "--store is no address of PostgreSQL: write postgresql://USER@HOST/DATABASE" in raised.value.message
    assert "hush" not in raised.value.message
    assert "sh@" not in raised.value.message
