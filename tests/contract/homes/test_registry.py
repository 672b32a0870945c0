"""The registry, over both homes."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.tenants import key_of
from holdfast_host.sandbox.components.compiled_store import KeptComponent
from holdfast_host.storage.records import COLUMNS, MovedError
from holdfast_host.supervisor.registry.records import TenantRecord, VersionRecord
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.registry.tables import SCHEMA, TENANTS
from holdfast_host.wire.control.catalog import ActorType, Deployment, Method
from tests.contract.homes.conftest import Home

ACCOUNT = ActorType("Account", 1, (Method("deposit", "(amount: int) -> dict", "Add."),), "An account.", ("alarm",))


def version(home: Home, number: int, func_id: str = "fn_1", *types: ActorType) -> VersionRecord:
    sha256 = f"{number:064x}"
    deployment = Deployment(
        function=f"f-{func_id}",
        func_id=func_id,
        version=number,
        sha256=sha256,
        compiled=str(KeptComponent.at(home.directory().compiled, sha256).compiled),
        types=types or (ACCOUNT,),
        bindings=(),
        variables={"GREETING": "hello \x00 ü"},
        memory_bytes_max=1 << 25,
        method_timeout_s=2.5,
    )
    return VersionRecord(deployment, "name = 'ü'", {"actors": ["\x00"]}, number)


def test_a_version_reads_back_as_it_was_recorded(home: Home) -> None:
    recorded = version(home, 1)
    home.open().registry.commit_version(recorded)
    registry = home.reopen().registry

    assert registry.version("fn_1", 1) == recorded
    assert registry.current() == [recorded.deployment]
    assert registry.named("default", "f-fn_1") == registry.by_id("fn_1")


def test_what_a_function_failed_with_is_kept_whatever_is_in_it(home: Home) -> None:
    registry = home.open().registry
    registry.commit_version(version(home, 1))
    registry.commit_failure("fn_1", "GuestError: \x00 ü \N{PILE OF POO}")
    again = home.reopen().registry.by_id("fn_1")

    assert again is not None
    assert again.failure == "GuestError: \x00 ü \N{PILE OF POO}"


def test_the_oldest_versions_go_and_numbers_stay(home: Home) -> None:
    registry = home.open().registry
    for number in range(1, 14):
        registry.commit_version(version(home, number))
    registry = home.reopen().registry
    record = registry.by_id("fn_1")

    assert [each.deployment.version for each in registry.versions("fn_1")] == [*range(13, 3, -1)]
    assert record is not None
    assert (record.current, record.last_version) == (13, 13)


def test_a_rollback_is_recorded(home: Home) -> None:
    registry = home.open().registry
    first = version(home, 1)
    registry.commit_version(first)
    registry.commit_version(version(home, 2))
    registry.commit_current(first.deployment)
    registry = home.reopen().registry

    assert registry.current() == [first.deployment]


def test_what_is_undeployed_keeps_its_id_and_its_types(home: Home) -> None:
    registry = home.open().registry
    registry.commit_version(version(home, 1))
    registry.commit_removal("fn_1")
    registry = home.reopen().registry
    record = registry.by_id("fn_1")

    assert record is not None
    assert (record.current, record.last_version, registry.versions("fn_1")) == (None, 1, [])
    assert [(function.func_id, each.type) for function, each in registry.reserved_types("default")] == [
        ("fn_1", "Account")
    ]


def test_types_that_swap_their_names_keep_their_numbers(home: Home) -> None:
    registry = home.open().registry
    a, b = replace(ACCOUNT, type="A", type_id=1), replace(ACCOUNT, type="B", type_id=2)
    registry.commit_version(version(home, 1, "fn_1", a, b))
    registry.commit_version(version(home, 2, "fn_1", replace(a, type="B"), replace(b, type="A")))
    registry = home.reopen().registry
    found = {name: registry.type_named("default", name) for name in ("A", "B")}

    assert {name: each and each.type_id for name, each in found.items()} == {"A": 2, "B": 1}


def test_a_number_of_a_type_is_never_given_again(home: Home) -> None:
    """Also where the type that had it is gone: its name went to another number."""
    registry = home.open().registry
    registry.commit_version(version(home, 1, "fn_1", replace(ACCOUNT, type="A", type_id=7)))
    registry.commit_version(version(home, 2, "fn_1", replace(ACCOUNT, type="A", type_id=3)))
    registry = home.reopen().registry

    assert registry.type_numbered(7) is None
    assert registry.next_type_id() == 8


def test_a_change_that_fails_half_way_leaves_nothing(home: Home) -> None:
    registry = home.open().registry
    registry.commit_version(version(home, 1))
    with pytest.raises(sqlite3.IntegrityError):
        registry.commit_version(version(home, 1))
    registry.commit_version(version(home, 2))
    record = home.reopen().registry.by_id("fn_1")

    assert record is not None
    assert record.current == 2


def test_the_number_of_the_catalog_grows_with_every_change_and_across_restarts(home: Home) -> None:
    registry = home.open().registry
    numbers = [registry.catalog().number]
    for change in range(1, 4):
        registry.commit_version(version(home, change))
        numbers.append(registry.catalog().number)
    registry = home.reopen().registry
    registry.commit_removal("fn_1")
    numbers.append(registry.catalog().number)

    assert numbers == sorted(set(numbers))


def test_where_a_component_lies_compiled_is_each_hosts_own(shared: Home) -> None:
    recorded = version(shared, 1).deployment
    first = shared.open(0).registry
    first.commit_version(version(shared, 1))
    before = first.catalog().number
    first.commit_compiled(recorded.sha256, shared.directory(0).compiled / "elsewhere.cwasm")
    second = shared.open(1).registry

    assert first.current()[0].compiled == str(shared.directory(0).compiled / "elsewhere.cwasm")
    assert second.current()[0].compiled == str(KeptComponent.at(shared.directory(1).compiled, recorded.sha256).compiled)
    assert first.catalog().number == before == second.catalog().number


def test_who_decides_over_the_past_is_told_and_then_sees_what_there_is(shared: Home) -> None:
    first, second = shared.open(0).registry, shared.open(1).registry
    first.commit_version(version(shared, 1))
    with pytest.raises(MovedError, match="another host changed registry"):
        second.commit_version(version(shared, 1))
    second.commit_version(version(shared, 2))
    first.refresh()

    assert [each.deployment.version for each in second.versions("fn_1")] == [2, 1]
    assert first.current() == [replace(each, compiled=first.current()[0].compiled) for each in second.current()]


def test_a_change_that_the_store_refuses_leaves_the_copy_as_it_was(shared: Home) -> None:
    registry = shared.open().registry
    registry.commit_version(version(shared, 1))
    shared.execute("ALTER TABLE versions ADD CHECK (version < 2)")
    with pytest.raises(HostUnavailableError, match="nothing was changed"):
        registry.commit_version(version(shared, 2))

    assert registry.current()[0].version == 1
    shared.execute("ALTER TABLE versions DROP CONSTRAINT versions_version_check")
    registry.commit_version(version(shared, 2))
    assert shared.open(1).registry.current()[0].version == 2


def test_a_store_has_the_columns_that_a_directorys_registry_has(shared: Home) -> None:
    """But where a component lies compiled. A column that is added to one of them is missing in the other."""
    db = sqlite3.connect(":memory:")
    db.executescript(f"{SCHEMA}{'; '.join(TENANTS)};")
    for table, columns in COLUMNS.items():
        files = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "compiled"]
        store = shared.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum", table
        )

        assert [*columns] == files
        assert [name for (name,) in store] == files


def test_a_tenant_and_its_limits_read_back_as_they_were_recorded(home: Home) -> None:
    registry = home.open().registry
    registry.commit_tenant(TenantRecord("acme", {}, 5))
    registry.commit_tenant(TenantRecord("acme", {"bytes": 10**15, "calls": 0}, 5))
    registry.commit_tenant(TenantRecord("default", {"deploys": 3}, 0))
    registry = home.reopen().registry

    assert registry.tenants() == [
        TenantRecord("acme", {"bytes": 10**15, "calls": 0}, 5),
        TenantRecord("default", {"deploys": 3}, 0),
    ]


def test_equal_names_of_tenants_are_rows_of_their_own_and_go_with_their_tenant(home: Home) -> None:
    registry = home.open().registry
    registry.commit_tenant(TenantRecord("acme", {}, 5))
    for number, (tenant, func_id) in enumerate((("default", "fn_1"), ("acme", "fn_1.acme")), 1):
        recorded = version(home, number, func_id, replace(ACCOUNT, type_id=number))
        function = key_of(tenant, "web")
        registry.commit_version(replace(recorded, deployment=replace(recorded.deployment, function=function)))
    registry = home.reopen().registry
    types = [registry.type_named(tenant, "Account") for tenant in ("default", "acme")]

    assert [each and each.type_id for each in types] == [1, 2]
    assert [each.func_id for each in registry.deployed("acme")] == ["fn_1.acme"]
    registry.commit_tenant_removal("acme")
    registry = home.reopen().registry
    assert [each.name for each in registry.tenants()] == ["default"]
    assert [each.func_id for each in registry.deployed()] == ["fn_1"]
    assert registry.type_named("acme", "Account") is None
    assert registry.next_type_id() == 3


def test_a_tenant_that_another_host_made_is_there_once_the_registry_is_read_anew(shared: Home) -> None:
    first, second = shared.open(0).registry, shared.open(1).registry
    first.commit_tenant(TenantRecord("acme", {"calls": 1}, 5))
    with pytest.raises(MovedError):
        second.commit_tenant(TenantRecord("blue", {}, 6))
    second.commit_tenant(TenantRecord("blue", {}, 6))
    first.refresh()

    assert [each.name for each in first.tenants()] == ["acme", "blue", "default"]
    assert first.tenants() == second.tenants()
    assert [each.name for each in first.catalog().tenants] == ["acme", "blue"]


def test_rows_that_a_file_has_are_those_that_a_store_is_given(home: Home) -> None:
    registry = home.open().registry
    registry.commit_version(version(home, 1))
    registry.commit_failure("fn_1", "no")
    next_type, rows = registry.rows()

    assert next_type == 2
    assert rows["types"] == [(1, "default", "Account", "fn_1")]
    assert rows["functions"] == [("fn_1", "default", "f-fn_1", 1, 1, "no", 1)]
    assert (len(rows["versions"]), rows["tenants"]) == (1, [])
    registry.commit_tenant(TenantRecord("acme", {"calls": 1}, 5))
    assert registry.rows()[1]["tenants"] == [("acme", '{"calls": 1}', 5)]


def test_a_registry_reads_the_same_from_both_homes(tmp_path_factory: pytest.TempPathFactory, shared: Home) -> None:
    files = Home(tmp_path_factory.mktemp("files"), None)
    registries: list[Registry] = []
    for each in (files, shared):
        registry = each.open().registry
        registry.commit_version(version(shared, 1))
        registry.commit_version(version(shared, 2, "fn_2", replace(ACCOUNT, type="B", type_id=2)))
        registry.commit_version(version(shared, 3))
        registry.commit_removal("fn_2")
        registries.append(each.reopen().registry)
    first, second = registries

    assert first.deployed() == second.deployed()
    assert first.reserved_types("default") == second.reserved_types("default")
    assert [each.description for each in first.versions("fn_1")] == [
        each.description for each in second.versions("fn_1")
    ]
    assert first.next_type_id() == second.next_type_id()
    files.close()
