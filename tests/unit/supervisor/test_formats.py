"""What earlier releases wrote into a data directory, beside its partitions, is read; what later ones wrote is refused.

Partitions: unit/storage/test_formats.py. Tokens: test_tokens.py.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import shutil
import sqlite3
import tarfile
from pathlib import Path

import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.front.routes import transfer_lines
from holdfast_host.storage.archive import records
from holdfast_host.storage.lmdb import keys
from holdfast_host.supervisor.directory.restoring import BackupError, restore_backup
from holdfast_host.supervisor.registry.records import TenantRecord
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.secrets.secret_store import Secret, SecretStore
from holdfast_host.supervisor.tokens import token_store
from holdfast_host.supervisor.tokens.token_store import TokenStore
from tests.harness.components import PROJECT

FIXTURES = PROJECT / "tests" / "fixtures"
AT_US = 1_800_000_000_000_000


@pytest.fixture
def registry_file(tmp_path: Path) -> Path:
    """The registry of a host of format 1."""
    file = tmp_path / "registry.sqlite3"
    file.write_bytes(lzma.decompress((FIXTURES / "registry" / "format-1.sqlite3.xz").read_bytes()))
    return file


def test_a_registry_of_format_1_is_read_as_it_was(registry_file: Path, tmp_path: Path) -> None:
    registry = Registry.open(registry_file, tmp_path)
    (current,) = registry.current()
    first = registry.version("fn_1", 1)
    registry.close()

    assert (current.function, current.func_id, current.version) == ("account", "fn_1", 2)
    assert current.sha256 == f"{2:064x}"
    assert current.compiled == str(tmp_path / "2.cwasm")
    assert (current.variables, current.method_timeout_s) == ({"GREETING": "hello"}, 2.5)
    (actor,) = current.types
    assert (actor.type, actor.type_id, actor.methods[0].name) == ("Account", 1, "deposit")
    assert first is not None
    assert first.created_us == AT_US + 1


def test_a_registry_of_format_2_has_what_each_tenant_has(tmp_path: Path) -> None:
    file = tmp_path / "registry.sqlite3"
    file.write_bytes(lzma.decompress((FIXTURES / "registry" / "format-2.sqlite3.xz").read_bytes()))

    registry = Registry.open(file, tmp_path)
    named = {tenant: registry.named(tenant, "account") for tenant in ("default", "acme", "blue")}
    types = {tenant: registry.type_named(tenant, "Account") for tenant in ("default", "acme", "blue")}
    tenants = [each.name for each in registry.tenants()]
    registry.close()

    assert tenants == ["acme", "default"]
    assert {tenant: each and (each.func_id, each.current) for tenant, each in named.items()} == {
        "default": ("fn_1", 1),
        "acme": ("fn_1.acme", 2),
        "blue": None,
    }
    assert {tenant: each and each.type_id for tenant, each in types.items()} == {"default": 1, "acme": 2, "blue": None}


def test_a_registry_is_one_of_format_1_until_it_has_a_tenant(tmp_path: Path) -> None:
    """So that an earlier release reads what has nothing new in it."""
    registry = Registry.open(tmp_path / "r", tmp_path)
    before = registry._about("format")
    registry.commit_tenant(TenantRecord("acme", {}, AT_US))
    after = registry._about("format")
    registry.close()

    assert (before, after) == (1, 2)


def test_a_registry_of_a_later_format_is_refused_by_name(registry_file: Path, tmp_path: Path) -> None:
    with sqlite3.connect(registry_file) as later:
        later.execute("UPDATE about SET value = 9 WHERE name = 'format'")
    later.close()
    before = registry_file.read_bytes()

    with pytest.raises(ConfigurationError, match=f"{re.escape(str(registry_file))} has format 9, this host reads"):
        Registry.open(registry_file, tmp_path)

    assert registry_file.read_bytes()[100:] == before[100:], "but for the header of its journal it is as it was"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_secrets_of_each_format_are_read_as_they_were(number: int, tmp_path: Path) -> None:
    folder = shutil.copytree(FIXTURES / "secrets" / f"format-{number}", tmp_path / "secrets")

    found = SecretStore.open(folder).all()

    assert found["KEY"] == Secret("one", AT_US, None)
    assert found.get("SEALED") == (Secret("two", AT_US + 1, "https://api.example.com") if number > 1 else None)
    assert found.get("KEY.acme") == (Secret("three", AT_US + 2, None) if number == 3 else None)


def test_secrets_of_a_later_format_are_refused_by_name(tmp_path: Path) -> None:
    folder = shutil.copytree(FIXTURES / "secrets" / "format-3", tmp_path / "secrets")
    facts = json.loads((folder / "sealed.json").read_text())
    (folder / "sealed.json").write_text(json.dumps({**facts, "format": 4}))

    with pytest.raises(ConfigurationError, match=r"sealed.json has format 4, this host reads formats up to 3"):
        SecretStore.open(folder)


@pytest.fixture
def backup_file(tmp_path: Path) -> Path:
    """A backup as a host of format 1 wrote it."""
    file = tmp_path / "backup.tar"
    file.write_bytes(lzma.decompress((FIXTURES / "backups" / "format-1.tar.xz").read_bytes()))
    return file


def test_a_backup_of_format_1_restores_a_directory_that_is_read_whole(backup_file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"

    facts = restore_backup(backup_file, data, FIXTURES / "secrets" / "format-1" / "key")

    assert (facts.created_at, facts.files) == ("2027-01-15T08:00:00Z", 7)
    assert json.loads((data / "format.json").read_text()) == {"format": 2, "partitions": 1}
    assert (data / "parts" / "00" / "data.mdb").stat().st_size > 0
    registry = Registry.open(data / "registry" / "registry.sqlite3", data / "compiled")
    assert [each.function for each in registry.current()] == ["account"]
    registry.close()
    assert SecretStore.open(data / "secrets").values() == {"KEY": "one"}
    assert len(TokenStore.open(data / "registry" / "tokens.json").all()) == 2


def test_a_backup_of_a_later_format_is_refused_by_name_and_nothing_is_made(backup_file: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.tar"
    with tarfile.open(backup_file) as source, tarfile.open(later, "w") as target:
        for member in source:
            content = source.extractfile(member)
            assert content is not None
            text = content.read().replace(b'{"format": 1, "holdfast": "0.1.0"', b'{"format": 2, "holdfast": "9.9.9"')
            target.addfile(member, io.BytesIO(text))

    with pytest.raises(BackupError, match=r"later.tar has backup format 2, this release reads format 1.*9\.9\.9"):
        restore_backup(later, tmp_path / "data", None)

    assert not (tmp_path / "data").exists()


def test_the_table_of_formats_says_what_the_code_does() -> None:
    page = (PROJECT / "docs" / "internals" / "formats.md").read_text()
    said = re.findall(r"^\| (.+?) \| ([0-9.]+)[ ;]", page, re.MULTILINE)
    encoding = re.search(r"# Values: the encoding, version (\d+)", (PROJECT / "wit" / "storage.wit").read_text())
    assert encoding is not None
    numbers = {
        "`parts/NN/`, a [partition](on-disk.md#a-partition)": keys.FORMAT,
        "`registry/tokens.json`": token_store.FORMAT_TENANTS,
        "the lines of `holdfast export`": transfer_lines.FORMAT,
        "`archive/`: the spool, and an [archive](archive.md)'s files": records.FORMAT,
        "values, in `wit/storage.wit`": encoding[1],
    }

    assert {what: number for what, number in said if what in numbers} == {
        what: str(number) for what, number in numbers.items()
    }
