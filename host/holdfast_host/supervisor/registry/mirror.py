"""The registry where hosts share it: its rows are in PostgreSQL, and a copy of them is in this process's memory.

The copy is a registry like any other, so that what is asked and decided is the same in both homes. A change is made in
the copy, in a transaction that stays open until the store has recorded the rows that it touched; where the store does
not, it is rolled back. Where a component lies compiled is this host's own affair, so it is in the copy alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.records import COLUMNS, KEYS, Row

if TYPE_CHECKING:
    from holdfast_host.storage.records import RegistryRows

CompiledName = Callable[[str], str]

_SEQUENCE: Final = "types"  # whose numbers are never used again


class Mirror:
    """The copy in memory, and the rows that it is of; the supervisor's thread."""

    def __init__(self, db: sqlite3.Connection, rows: RegistryRows, compiled_name: CompiledName) -> None:
        """Over a registry's empty tables; `compiled_name(sha256)` is under which name a component is compiled here."""
        self._db = db
        self._rows = rows
        self._compiled_name = compiled_name
        db.execute("CREATE TEMP TABLE touched (of TEXT, key1, key2)")
        for table, keys in KEYS.items():
            update = f"UPDATE OF {', '.join(COLUMNS[table])}"
            for event, row in (("INSERT", "NEW"), (update, "NEW"), (update, "OLD"), ("DELETE", "OLD")):
                named = [f"{row}.{key}" for key in keys] + ["''"] * (2 - len(keys))
                note = f"INSERT INTO touched VALUES ('{table}', {', '.join(named)})"  # noqa: S608 our own names
                name = f"{table}_{event[:6]}_{row}"
                db.execute(f"CREATE TEMP TRIGGER {name} AFTER {event} ON main.{table} BEGIN {note}; END")

    def refresh(self) -> None:
        """Make the copy what the store has.

        Raises:
            HostUnavailableError: it cannot be read now.
        """
        next_type, rows = self._rows.read()
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        for table in reversed(COLUMNS):
            db.execute(f"DELETE FROM {table}")  # noqa: S608 our own names
        for table, found in rows.items():
            columns = list(COLUMNS[table])
            if table == "versions":
                place = columns.index("sha256")
                columns.append("compiled")
                found = [(*row, self._compiled_name(row[place])) for row in found]
            db.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608
                found,
            )
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (_SEQUENCE,))
        db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (_SEQUENCE, next_type - 1))
        self._number()
        db.execute("DELETE FROM touched")
        db.execute("COMMIT")

    def record(self, next_type: int) -> None:
        """Have the store record what the open transaction has touched; the transaction is its caller's to end.

        Raises:
            MovedError: another host has changed the registry since the copy was read.
            StorageFullError, HostUnavailableError: it is not recorded, or nobody knows.
        """
        gone: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        for table, *key in self._db.execute("SELECT DISTINCT of, key1, key2 FROM touched").fetchall():
            columns, keys = COLUMNS[table], KEYS[table]
            key = key[: len(keys)]
            gone[table].append(tuple(key))
            condition = " AND ".join(f"{column} = ?" for column in keys)
            rows[table] += self._db.execute(
                f"SELECT {', '.join(columns)} FROM {table} WHERE {condition}",  # noqa: S608 our own names
                key,
            )
        if any(gone.values()):
            self._rows.write(next_type, gone, rows)
        self._number()
        self._db.execute("DELETE FROM touched")

    def _number(self) -> None:
        self._db.execute("UPDATE about SET value = ? WHERE name = 'catalog'", (self._rows.state,))
