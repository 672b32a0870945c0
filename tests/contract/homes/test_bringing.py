"""What a data directory has comes into the store, whole, whenever its host is killed over that."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.postgres.owning import upgrade_tables
from holdfast_host.storage.postgres.records.audit_lines import StoreAuditLines
from holdfast_host.storage.postgres.records.components import StoreComponents
from holdfast_host.storage.postgres.records.documents import StoreDocument
from holdfast_host.storage.postgres.records.registry_rows import StoreRegistryRows
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.supervisor.audit.audit_log import AuditLog
from holdfast_host.supervisor.directory.restoring import restore_backup
from holdfast_host.supervisor.registry.registry import Registry
from tests.contract.homes.conftest import Home
from tests.harness.postgres import server

FIXTURES = Path(__file__).parents[2] / "fixtures"
ALICE = (1, b"alice")


class KilledError(Exception):
    """In place of a kill."""


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Home]:
    """A store of format 1, and the directory of its host, as a release before left them."""
    dsn = server().new_database()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((FIXTURES / "stores" / "format-1.sql").read_text())
        connection.execute("UPDATE holdfast.cluster SET directory = 'host0'")
    with connect(StoreAddress(dsn, "single"), "test", checked=False) as connection:
        upgrade_tables(connection)
    home = Home(tmp_path, dsn)
    backup = tmp_path / "backup.tar"
    backup.write_bytes(lzma.decompress((FIXTURES / "backups" / "format-1.tar.xz").read_bytes()))
    home.key = FIXTURES / "secrets" / "format-1" / "key"
    restore_backup(backup, tmp_path / "host0", home.key)
    AuditLog.open(tmp_path / "host0" / "audit", 1 << 20).append([{"event": "begun"}, {"event": "ended"}])
    quarantined = [[1, "alice", 1, [[1e9, 1.0]] * 3, True]]
    (tmp_path / "host0" / "registry" / "quarantine.json").write_text(json.dumps(quarantined))
    (tmp_path / "host0" / "registry" / "fronts.json").write_text('{"next": 9}')
    (home.directory(0).components / f"{2:064x}.wasm").write_bytes(b"component")
    yield home
    home.close()


def is_whole(home: Home, host: int) -> None:
    """A host of the store has all that the directory had."""
    homes = home.open(host)
    [deployment] = homes.registry.current()
    assert deployment.function == "account"
    assert homes.registry.next_type_id() > max(each.type_id for each in deployment.types)
    assert homes.vault.values() == {"KEY": "one"}
    assert len(homes.tokens.all()) == 2
    assert [*homes.quarantine.listed(lambda each: ("account", 1))] == [ALICE]
    assert [each["number"] for each in homes.audit.read(0, 9)] == [1, 2]
    assert homes.front_numbers.take() >= 9
    assert home.execute("SELECT bytes FROM component WHERE sha256 = %s", deployment.sha256) == [(b"component",)]


def test_what_the_directory_has_is_in_the_store_from_its_first_start_on(before: Home) -> None:
    is_whole(before, 0)
    assert before.execute("SELECT directory FROM cluster") == [("",)]
    before.close()
    is_whole(before, 0)
    is_whole(before, 1)


def test_a_change_after_that_is_not_undone_by_the_next_start(before: Home) -> None:
    before.open(0).vault.replace({})
    before.open(0).registry.commit_removal(before.open(0).registry.current()[0].func_id)

    homes = before.reopen()
    assert homes.vault.values() == {}
    assert homes.registry.current() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (StoreComponents, "put"),
        (StoreDocument, "write"),
        (StoreAuditLines, "adopt"),
        (StoreRegistryRows, "adopt"),
    ],
    ids=["component", "document", "audit", "registry"],
)
def test_a_start_that_is_killed_at_any_step_is_gone_on_with(
    before: Home, monkeypatch: pytest.MonkeyPatch, kind: type, step: str, *, after: bool
) -> None:
    real: Callable[..., Any] = getattr(kind, step)

    def die(*arguments: Any) -> None:
        if after:
            real(*arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, die)
        with pytest.raises(KilledError):
            before.open(0)
    before.close()

    is_whole(before, 0)
    is_whole(before, 1)


def test_tenants_of_the_directory_come_along(before: Home) -> None:
    """A release between had tenants in directories alone."""
    registry = before.folder / "host0" / "registry" / "registry.sqlite3"
    registry.write_bytes(lzma.decompress((FIXTURES / "registry" / "format-2.sqlite3.xz").read_bytes()))
    there = Registry.open(registry, before.folder)
    tenants, deployed = there.tenants(), there.deployed()
    there.close()
    found = before.open(0).registry

    assert len(tenants) > 1
    assert found.tenants() == tenants
    assert found.deployed() == deployed
    assert before.open(1).registry.tenants() == tenants


def test_a_directory_that_has_lost_its_registry_brings_nothing(before: Home) -> None:
    """An empty one would give the numbers of types anew."""
    (before.folder / "host0" / "registry" / "registry.sqlite3").unlink()
    with pytest.raises(ConfigurationError, match="is gone, which the store has to be given"):
        before.open(0)
