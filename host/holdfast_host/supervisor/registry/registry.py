"""The registry: functions, their versions, and the numbers that stand for actor types in storage.

Invariants: a version never changes once it is recorded; a version's number and a type's number are never used twice;
a type belongs to one `func_id`, also after its function was undeployed; what `commit_*` recorded is durable when it
returns. Whether something *may* be recorded is decided in plan.py. It is a file, or where hosts share a store a mirror
of what is there, see mirror.py.

sqlite3, with a write-ahead log and synchronous=FULL, rather than replaced files: one transaction spans function,
version and types, a rollback or a rename is one row, and it comes with Python. One connection, in the supervisor only.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from holdfast_host.core.errors import ConfigurationError, HostUnavailableError, StorageFullError
from holdfast_host.core.tenants import DEFAULT_TENANT, key_of, name_of, tenant_of
from holdfast_host.storage.records import COLUMNS, MovedError, RegistryRows, Row, decided
from holdfast_host.supervisor.registry import version_rows
from holdfast_host.supervisor.registry.mirror import CompiledName, Mirror
from holdfast_host.supervisor.registry.records import (
    FunctionRecord,
    KeptFiles,
    TenantRecord,
    TypeRecord,
    VersionRecord,
    type_of_crons,
)
from holdfast_host.supervisor.registry.tables import FORMAT, FORMAT_TENANTS, SCHEMA, TENANTS
from holdfast_host.wire.control.catalog import Catalog, Deployment, Tenant

VERSIONS_KEPT: Final = 10


class Registry:
    """The registry of one data directory, or of a store; opened by the supervisor, used by its thread."""

    def __init__(self, connection: sqlite3.Connection, compiled: Path) -> None:
        self._db = connection
        self._compiled = compiled
        self._mirror: Mirror | None = None  # of what hosts share; None: the connection's file is the registry
        self.on_change: Callable[[], None] = lambda: None  # called when something was recorded, before it is used

    @classmethod
    def open(cls, path: Path, compiled: Path) -> Registry:
        """Open the registry, make it where there is none.

        Args:
            path: the database.
            compiled: the folder in which the compiled files lie.

        Raises:
            ConfigurationError: it is damaged, or of a format that this host does not know.
        """
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            registry = cls(connection, compiled)
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'about'").fetchone():
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
            found = registry._about("format")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise ConfigurationError(
                f"the registry {path} cannot be read ({error}): restore it from a backup"
            ) from error
        if found not in {FORMAT, FORMAT_TENANTS}:
            connection.close()
            raise ConfigurationError(
                f"the registry {path} has format {found}, this host reads formats up to {FORMAT_TENANTS}"
            )
        return registry

    @classmethod
    def shared(cls, rows: RegistryRows, compiled: Path, compiled_name: CompiledName) -> Registry:
        """The registry of a store.

        Args:
            rows: what the store has.
            compiled: the folder in which this host's compiled files lie.
            compiled_name: under which name what is compiled of a component lies there, by the component's hash.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(f"BEGIN; {SCHEMA} {'; '.join(TENANTS)}; COMMIT;")
        registry = cls(connection, compiled)
        registry._mirror = Mirror(connection, rows, compiled_name)
        registry.refresh()
        return registry

    def refresh(self) -> None:
        """Read anew what hosts share; what is in a file is never behind.

        Raises:
            HostUnavailableError: the store cannot be read now; what was read last stays.
        """
        if self._mirror is not None:
            self._mirror.refresh()

    def copy(self, path: Path) -> None:
        """Write all that is recorded into a new file.

        Raises:
            StorageFullError, HostUnavailableError: the disk is full or fails.
        """
        try:
            with closing(sqlite3.connect(path)) as target:
                self._db.backup(target)
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            kind = StorageFullError if full else HostUnavailableError
            raise kind(f"the registry cannot be copied ({error}); there is no backup") from error

    def close(self) -> None:
        """Close; what was committed stays."""
        self._db.close()

    def tenants(self) -> list[TenantRecord]:
        """All tenants, by name; `default` is there from the beginning."""
        found = {DEFAULT_TENANT: TenantRecord(DEFAULT_TENANT, {}, 0)}
        if self._about("format") == FORMAT_TENANTS:
            rows = self._db.execute("SELECT tenant, limits, created_us FROM tenants ORDER BY tenant")
            found |= {name: TenantRecord(name, json.loads(limits), at) for name, limits, at in rows}
        return sorted(found.values(), key=lambda each: each.name)

    def deployed(self, tenant: str | None = None) -> list[FunctionRecord]:
        """All functions that are deployed now, by name; where a tenant is said, its own."""
        if tenant is None:
            return self._functions("current IS NOT NULL ORDER BY tenant, name")
        return self._functions("tenant = ? AND current IS NOT NULL ORDER BY name", tenant)

    def named(self, tenant: str, name: str) -> FunctionRecord | None:
        """The tenant's function deployed under this name, else the one that was so last."""
        found = self._functions(
            "tenant = ? AND name = ? ORDER BY current IS NULL, changed_us DESC, rowid DESC LIMIT 1", tenant, name
        )
        return found[0] if found else None

    def by_id(self, func_id: str) -> FunctionRecord | None:
        """The function of this id's key, deployed or not."""
        found = self._functions("func_id = ?", func_id)
        return found[0] if found else None

    def versions(self, func_id: str) -> list[VersionRecord]:
        """The versions that are kept, the latest first."""
        return self._versions("WHERE func_id = ? ORDER BY version DESC", func_id)

    def version(self, func_id: str, version: int) -> VersionRecord | None:
        """One version, if it is kept."""
        found = self._versions("WHERE func_id = ? AND version = ?", func_id, version)
        return found[0] if found else None

    def type_named(self, tenant: str, actor_type: str) -> TypeRecord | None:
        """To whom an actor type of a tenant belongs."""
        row = self._db.execute(
            "SELECT type, type_id, func_id FROM types WHERE tenant = ? AND type = ?", (tenant, actor_type)
        ).fetchone()
        return None if row is None else TypeRecord(*row)

    def types(self, tenant: str) -> list[TypeRecord]:
        """The actor types of a tenant, by name, deployed or not."""
        rows = self._db.execute("SELECT type, type_id, func_id FROM types WHERE tenant = ? ORDER BY type", (tenant,))
        return [TypeRecord(*row) for row in rows]

    def reserved_types(self, tenant: str) -> list[tuple[FunctionRecord, TypeRecord]]:
        """The actor types that no deployed version ships, by name, each with the function that they are kept for."""
        deployed = {each.type_id for deployment in self.current() for each in deployment.types}
        types = [each for each in self.types(tenant) if each.type_id not in deployed]
        functions = {each.func_id: each for each in self._functions("tenant = ?", tenant)}
        return [(functions[each.func_id], each) for each in types]

    def type_numbered(self, type_id: int) -> TypeRecord | None:
        """The actor type that has this number; its name changes when its class is renamed."""
        row = self._db.execute("SELECT type, type_id, func_id FROM types WHERE type_id = ?", (type_id,)).fetchone()
        return None if row is None else TypeRecord(*row)

    def type_keys(self) -> dict[int, str]:
        """The key of every actor type (see core.tenants), by its number."""
        rows = self._db.execute("SELECT type_id, tenant, type FROM types")
        return {type_id: key_of(tenant, name) for type_id, tenant, name in rows}

    def next_type_id(self) -> int:
        """The lowest number that was never given to a type."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'types'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    def current(self) -> list[Deployment]:
        """The current version of every deployed function."""
        return [
            each.deployment
            for each in self._versions("JOIN functions USING (func_id) WHERE version = current ORDER BY name")
        ]

    def kept(self) -> list[Deployment]:
        """Every version that is kept, deployed or not."""
        return [each.deployment for each in self._versions("")]

    def rows(self) -> tuple[int, dict[str, list[Row]]]:
        """The next type's number, and all rows as hosts share them."""
        known = COLUMNS.keys() - ({"tenants"} if self._about("format") == FORMAT else set())
        tables = {table: ", ".join(columns) for table, columns in COLUMNS.items() if table in known}
        found = {table: self._db.execute(f"SELECT {each} FROM {table}").fetchall() for table, each in tables.items()}  # noqa: S608
        return self.next_type_id(), {table: found.get(table, []) for table in COLUMNS}

    def damage(self) -> list[str]:
        """What the database itself finds wrong in its file, and rows that lead nowhere; reads all of it."""
        found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        orphans = self._db.execute("PRAGMA foreign_key_check").fetchall()
        return found + [f"a row of {table!r} leads to no function" for table, *_ in orphans]

    def catalog(self) -> Catalog:
        """What is deployed now and can be run: what cannot be compiled any more is left out."""
        runnable = tuple(each for each in self.current() if Path(each.compiled).exists())
        others = [each for each in self.tenants() if each.name != DEFAULT_TENANT]
        tenants = [Tenant(each.name, tuple(it.type_id for it in self.types(each.name))) for each in others]
        return Catalog(self._about("catalog"), runnable, tuple(tenants))

    def files(self) -> list[KeptFiles]:
        """What lies on disk of each version that is kept, newest first."""
        rows = self._db.execute(
            "SELECT sha256, compiled, version IS current FROM versions JOIN functions USING (func_id) "
            "ORDER BY created_us DESC"
        )
        return [KeptFiles(sha256, Path(compiled).stem, bool(current)) for sha256, compiled, current in rows]

    def commit_version(self, record: VersionRecord) -> None:
        """Record a new version as its function's current one, with the types it owns; forget the oldest."""
        deployment = record.deployment
        with self._transaction() as db:
            db.execute(
                "INSERT INTO functions VALUES (?, ?, ?, ?, ?, NULL, ?) ON CONFLICT (func_id) DO UPDATE SET "
                "name = excluded.name, current = excluded.current, last_version = excluded.last_version, "
                "failure = NULL, changed_us = excluded.changed_us",
                (
                    deployment.func_id,
                    tenant_of(deployment.function),
                    name_of(deployment.function),
                    deployment.version,
                    deployment.version,
                    record.created_us,
                ),
            )
            version_rows.insert(db, record)
            self._claim_types(deployment)
            db.execute(
                "DELETE FROM versions WHERE func_id = ?1 AND version NOT IN "
                "(SELECT version FROM versions WHERE func_id = ?1 ORDER BY version DESC LIMIT ?2)",
                (deployment.func_id, VERSIONS_KEPT),
            )

    def commit_current(self, deployment: Deployment) -> None:
        """Make a kept version its function's current one."""
        with self._transaction() as db:
            db.execute(
                "UPDATE functions SET current = ?, failure = NULL, changed_us = ? WHERE func_id = ?",
                (deployment.version, now_us(), deployment.func_id),
            )
            self._claim_types(deployment)

    def commit_removal(self, func_id: str) -> None:
        """Undeploy: its versions go, its id, its version numbers and its types stay."""
        with self._transaction() as db:
            db.execute(
                "UPDATE functions SET current = NULL, failure = NULL, changed_us = ? WHERE func_id = ?",
                (now_us(), func_id),
            )
            db.execute("DELETE FROM versions WHERE func_id = ?", (func_id,))

    def commit_compiled(self, sha256: str, compiled: Path) -> None:
        """Record under which name a component lies compiled now."""
        with self._transaction() as db:
            db.execute("UPDATE versions SET compiled = ? WHERE sha256 = ?", (compiled.name, sha256))

    def commit_failure(self, func_id: str, reason: str | None) -> None:
        """Record why the latest deploy of a function failed; None when what is deployed is what was sent."""

        def record() -> None:
            with self._transaction() as db:
                db.execute("UPDATE functions SET failure = ? WHERE func_id = ?", (reason, func_id))

        decided(record)

    def commit_tenant(self, record: TenantRecord) -> None:
        """Record a tenant, or other limits of one; the first one beside `default` makes a file one of format 2."""
        with self._transaction() as db:
            if self._about("format") == FORMAT:
                for statement in TENANTS:
                    db.execute(statement)
            db.execute(
                "INSERT INTO tenants VALUES (?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET limits = excluded.limits",
                (record.name, json.dumps(record.limits), record.created_us),
            )

    def commit_tenant_removal(self, tenant: str) -> None:
        """Forget a tenant with its functions and types; that nothing is deployed or stored of it was seen before."""
        with self._transaction() as db:
            of_tenant = "(SELECT func_id FROM functions WHERE tenant = ?)"
            db.execute(f"DELETE FROM versions WHERE func_id IN {of_tenant}", (tenant,))  # noqa: S608 our own text
            for table in ("types", "functions", "tenants"):
                db.execute(f"DELETE FROM {table} WHERE tenant = ?", (tenant,))  # noqa: S608

    def _claim_types(self, deployment: Deployment) -> None:
        """The types that this version ships belong to its function from now on, under the names of its classes.

        A name that stood for another number leads to this one now; whether it may was decided before.
        """
        tenant = tenant_of(deployment.function)
        named = [(each.type, each.type_id) for each in deployment.types]
        self._db.executemany(
            "DELETE FROM types WHERE tenant = ? AND type = ? AND type_id <> ?", [(tenant, *each) for each in named]
        )
        self._db.executemany(
            "INSERT INTO types VALUES (?, ?, ?, ?) ON CONFLICT (type_id) DO UPDATE SET "
            "type = excluded.type, func_id = excluded.func_id",
            [(type_id, tenant, name, deployment.func_id) for name, type_id in named],
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction, which counts as a change of the catalog.

        Raises:
            MovedError: another host has changed the registry; what it is now has been read, to be decided over.
            StorageFullError, HostUnavailableError: the disk is full or fails; nothing was recorded.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            if self._mirror is not None:
                self._mirror.record(self.next_type_id())
            else:
                self._db.execute("UPDATE about SET value = value + 1 WHERE name = 'catalog'")
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, MovedError):
                self.refresh()
            if isinstance(error, sqlite3.OperationalError):
                full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
                kind = StorageFullError if full else HostUnavailableError
                raise kind(f"the registry cannot be written ({error}); nothing was changed") from error
            raise
        self.on_change()

    def _about(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return -1 if row is None else int(row[0])

    def _functions(self, condition: str, *values: str) -> list[FunctionRecord]:
        rows = self._db.execute(
            f"SELECT func_id, name, current, last_version, failure FROM functions WHERE {condition}",  # noqa: S608
            values,
        )
        return [FunctionRecord(*row) for row in rows]

    def _versions(self, which: str, *values: object) -> list[VersionRecord]:
        rows = self._db.execute(
            f"SELECT {version_rows.COLUMNS} FROM versions {which}",  # noqa: S608
            values,
        )
        return [self._with_crons(version_rows.read(row, self._compiled)) for row in rows]

    def _with_crons(self, record: VersionRecord) -> VersionRecord:
        """One from before its function had crons runs at no times: a rollback to it takes those of later ones away."""
        deployment = record.deployment
        if any(each.crons is not None for each in deployment.types):
            return record
        hidden = type_of_crons(deployment.function, deployment.func_id, ())
        known = self.type_named(tenant_of(deployment.function), hidden.type)
        if known is None:
            return record
        types = (*deployment.types, replace(hidden, type_id=known.type_id))
        return replace(record, deployment=replace(deployment, types=types))


def now_us() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000
