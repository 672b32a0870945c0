"""The registry's rows in PostgreSQL. A mirror of them is in each supervisor, which is what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast_host.storage.records import COLUMNS, KEYS, Row

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.records.changes import Changes, Connection

DOCUMENT: Final = "registry"
_FAILURE: Final = COLUMNS["functions"].index("failure")  # a guest's own words may be in it, which no `text` takes


class StoreRegistryRows:
    """Implements `storage.records.RegistryRows`; the supervisor's thread."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.seen = 0  # the document's
        self.state = 0

    def read(self) -> tuple[int, dict[str, list[Row]]]:
        """The next type's number, and all rows."""

        def query(connection: Connection) -> tuple[int, int, int, dict[str, list[Row]]]:
            state, next_type = connection.execute("SELECT catalog, next_type FROM cluster").fetchone() or (0, 1)
            (seen,) = connection.execute("SELECT changed FROM document WHERE name = %s", (DOCUMENT,)).fetchone() or (0,)
            rows = {
                table: connection.execute(f"SELECT {', '.join(each)} FROM {table}").fetchall()  # noqa: S608 our own names
                for table, each in COLUMNS.items()
            }
            return state, next_type, seen, rows

        self.state, next_type, self.seen, rows = self._changes.read(query)
        rows["functions"] = [_decoded(row) for row in sorted(rows["functions"], key=lambda row: row[-1])]
        return next_type, rows

    def write(self, next_type: int, gone: dict[str, list[Row]], rows: dict[str, list[Row]]) -> None:
        """Remove rows, add others, as one."""

        def write(connection: Connection) -> None:
            for table, keys in gone.items():
                condition = " AND ".join(f"{column} = %s" for column in KEYS[table])
                for key in keys:
                    connection.execute(f"DELETE FROM {table} WHERE {condition}", key)  # noqa: S608 our own names
            _add(connection, next_type, rows)

        self.state = self.seen = self._changes.change(DOCUMENT, self.seen, write)

    def is_elsewhere(self) -> bool:
        """Whether the registry still lies in a data directory, as it did in format 1."""

        def query(connection: Connection) -> bool:
            (directory,) = connection.execute("SELECT directory FROM cluster").fetchone() or ("",)
            return directory != ""

        return self._changes.read(query)

    def adopt(self, next_type: int, rows: dict[str, list[Row]], left: str = "") -> None:
        """Have these rows and no others. The registry is here from now on; or what is `left` is to be done before."""

        def write(connection: Connection) -> None:
            for table in COLUMNS:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 our own names
            _add(connection, next_type, rows)
            connection.execute("UPDATE cluster SET directory = %s WHERE one", (left,))

        self._changes.change(DOCUMENT, None, write)


def _add(connection: Connection, next_type: int, rows: dict[str, list[Row]]) -> None:
    connection.execute("UPDATE cluster SET next_type = greatest(next_type, %s) WHERE one", (next_type,))
    for table, added in rows.items():
        columns = COLUMNS[table]
        values = ", ".join(["%s"] * len(columns))
        for row in added:
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})",  # noqa: S608 our own names
                _encoded(row) if table == "functions" else row,
            )


def _encoded(row: Row) -> Row:
    failure: Any = row[_FAILURE]
    encoded = None if failure is None else failure.encode("utf-8", "backslashreplace")
    return (*row[:_FAILURE], encoded, *row[_FAILURE + 1 :])


def _decoded(row: Row) -> Row:
    failure: Any = row[_FAILURE]
    return (*row[:_FAILURE], None if failure is None else bytes(failure).decode(), *row[_FAILURE + 1 :])
