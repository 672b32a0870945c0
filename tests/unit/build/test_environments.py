"""`[env.NAME]` of a manifest: what it overrides, what it may not, and what a host is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.environments import ENVIRONMENTS_MAX
from holdfast_host.core.errors import InvalidManifestError
from holdfast_host.core.limits import MIB
from holdfast_host.core.manifest import ActorEntry, Manifest, environments_of, parse_manifest, text_for_host
from holdfast_host.core.project_manifest import read_manifest

BASE = """# what it is
name = "shop"
main = "src/app.py"
compatibility_date = 2026-11-01

[[actors]]
binding = "CART"
type = "Cart"
renamed_from = "Basket"

[[actors]]
binding = "LEDGER"
type = "Ledger"

[vars]
GREETING = "hello"
REGION = "eu"

[secrets]
names = ["API_KEY"]

[outbound]
allow = ["https://pay.example.com"]
headers = { "https://pay.example.com" = { Authorization = "Bearer {API_KEY}" } }

[sockets]
origins = ["https://app.example.com"]

[cors]
origins = ["https://app.example.com"]

[triggers]
crons = ["@daily"]

[limits]
memory_mib = 32
method_s = 5

[deploy]
func_id = "fn_1"
"""


def shop() -> Manifest:
    return parse_manifest(BASE)


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ("[env.staging]", {}),
        ('[env.staging]\nname = "shop-staging"', {"name": "shop-staging"}),
        ('[env.staging.vars]\nREGION = "us"', {"vars": {"GREETING": "hello", "REGION": "us"}}),
        ("[env.staging.limits]\nmethod_s = 1", {"method_timeout_s": 1.0}),
        ("[env.staging]\nlimits.memory_mib = 40", {"memory_bytes_max": 40 * MIB}),
        ("[env.staging.triggers]\ncrons = []", {"crons": ()}),
        ("[env.staging.sockets]\norigins = []", {"origins": ()}),
        ("[env.staging.outbound]", {"outbound_allow": (), "outbound_headers": {}}),
        (
            '[env.staging.outbound]\nallow = ["https://test.example.com"]',
            {"outbound_allow": ("https://test.example.com",), "outbound_headers": {}},
        ),
        (
            '[[env.staging.actors]]\nbinding = "LEDGER"\ntype = "Sandbox"\noptional = true',
            {"actors": (ActorEntry("CART", "Cart", "Basket"), ActorEntry("LEDGER", "Sandbox", optional=True))},
        ),
        (
            '[[env.staging.actors]]\nbinding = "CART"\ntype = "TrialCart"',
            {"actors": (ActorEntry("CART", "TrialCart"), ActorEntry("LEDGER", "Ledger"))},
        ),
    ],
)
def test_an_environment_overrides_what_it_names_and_nothing_else(table: str, changed: dict[str, Any]) -> None:
    """Variables and limits key by key, bindings one by one, other tables whole; the identity is never the file's."""
    text = f"{BASE}\n{table}\n[env.other]\n"
    found = parse_manifest(text, environment="staging")

    assert found == replace(shop(), func_id=None, **changed)
    assert parse_manifest(text) == shop()
    assert parse_manifest(text, environment="other") == replace(shop(), func_id=None)


def test_pages_of_other_origins_may_be_others_in_an_environment() -> None:
    text = f'{BASE}\n[env.staging.cors]\norigins = ["https://test.example.com"]\n'
    found = parse_manifest(text, environment="staging").cors

    assert found is not None
    assert found.origins == ("https://test.example.com",)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("env = 3", "has env as no table: write"),
        ("env.staging = 3", "has env.staging as no table"),
        ("[env.Staging]", "has the environment 'Staging': a name is like staging"),
        ("[env.staging]\nvras = 1", "unknown key env.staging.vras; known here: name, actors, vars, limits, outbound"),
        ('[env.staging]\nmain = "b.py"', "env.staging.main, which no environment overrides: it is the same in every"),
        ("[env.staging]\ndependencies = []", "env.staging.dependencies, .* it is the same in every environment"),
        ("[env.staging.secrets]", "env.staging.secrets, .* each host keeps its own values"),
        ('[env.staging.deploy]\nfunc_id = "fn_2"', "env.staging.deploy, .* outside this file"),
        ("[env.staging.env.inner]", "env.staging.env, .* an environment has none of its own"),
        ("[env.staging]\nvars = 3", r"env.staging.vars as no table: write \[env.staging.vars\]"),
        ("[env.staging]\nlimits = 3", r"env.staging.limits as no table"),
        (
            '[env.staging.vars]\nREGOIN = "us"',
            r"env.staging.vars.REGOIN, which \[vars\] does not have: give it a value",
        ),
        ("[env.staging]\nactors = 3", r"env.staging.actors as no tables: write \[\[env.staging.actors\]\]"),
        ("[env.staging]\nactors = [3]", r"has env.staging.actors \(1\) as no table"),
        (
            '[[env.staging.actors]]\ntype = "A"',
            r"\(1\).binding = None, which no \[\[actors\]\] has; they have: CART, LEDGER",
        ),
        ('[[env.staging.actors]]\nbinding = "LEGDER"', r"\(1\).binding = 'LEGDER', which no \[\[actors\]\] has"),
        (
            '[[env.staging.actors]]\nbinding = "CART"\nrenamed_from = "A"',
            r"unknown key env.staging.actors \(1\).renamed",
        ),
        ('[[env.staging.actors]]\nbinding = "CART"\n' * 2, "the binding CART twice in env.staging.actors"),
        (
            "\n".join(f"[env.e{each}]" for each in range(ENVIRONMENTS_MAX + 1)),
            f"has {ENVIRONMENTS_MAX + 1} environments, the limit is {ENVIRONMENTS_MAX}",
        ),
    ],
)
def test_a_key_that_an_environment_may_not_have_is_refused_by_name_whichever_is_asked_for(
    table: str, message: str
) -> None:
    """On a host as well, which is given the file by those who do without the command."""
    head, tables = BASE.split("\n\n", 1)
    text = f"{head}\n{table}\n{tables}" if table.startswith("env") else f"{BASE}\n{table}\n"
    for environment in (None, "other"):
        with pytest.raises(InvalidManifestError, match=f"^holdfast.toml .*{message}"):
            parse_manifest(text, environment=environment)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[env.staging.limits]\nmemory_mib = 3", "has limits.memory_mib = 3, it must be 25 to"),
        ("[env.staging.limits]\nmemory = 3", "has the unknown key limits.memory; known here: memory_mib, method_s"),
        ("[env.staging.vars]\nREGION = 3", "has vars.REGION as an integer"),
        ('[env.staging]\nname = "Shop"', "says something that it may not: 'Shop' is no function name"),
        ('[env.staging.triggers]\ncorns = ["@daily"]', "has the unknown key triggers.corns"),
        ('[env.staging.outbound]\nallow = ["nowhere"]', r"has in \[outbound\]"),
        ('[[env.staging.actors]]\nbinding = "LEDGER"\ntype = "B-C"', "'B-C' is no actor type"),
    ],
)
def test_a_value_that_breaks_a_rule_names_the_environment_in_a_project_whichever_is_asked_for(
    tmp_path: Path, table: str, message: str
) -> None:
    (tmp_path / "holdfast.toml").write_text(f"{BASE}\n{table}\n[env.other]\n")
    for environment in (None, "other", "staging"):
        with pytest.raises(InvalidManifestError, match=rf"^holdfast.toml with \[env.staging\] .*{message}"):
            read_manifest(tmp_path, environment=environment)


def test_an_unknown_environment_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidManifestError, match=r"has no environment 'live': it has production, staging$"):
        parse_manifest(f"{BASE}\n[env.staging]\n[env.production]\n", environment="live")
    with pytest.raises(InvalidManifestError, match=r"has no environment 'live': add a table \[env.live\]$"):
        parse_manifest(BASE, environment="live")


def test_a_host_is_told_of_one_environment_alone() -> None:
    text = f'{BASE}\n[env.staging.vars]\nREGION = "us"\n[env.production.vars]\nREGION = "internal"\n'
    sent = text_for_host(text, "staging", "fn_2")

    assert parse_manifest(sent) == replace(parse_manifest(text, environment="staging"), func_id="fn_2")
    assert parse_manifest(text_for_host(text, "staging", None)).func_id is None
    assert parse_manifest(text_for_host(text, None, "fn_1")) == shop()
    for each in (sent, text_for_host(text, None, "fn_1")):
        assert "internal" not in each
        assert environments_of(each) == []
    assert text_for_host(BASE, None, "fn_1") == BASE
