"""The audit log in PostgreSQL: the lines of all hosts of a store, in one order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.storage.postgres.records.changes import Changes, Connection

DOCUMENT: Final = "audit"
_LOOKED_AT: Final = 256  # lines from one look at their size to the next
_ROTATE: Final = """DELETE FROM audit WHERE number <= (SELECT max(number) FROM
    (SELECT number, sum(length(line)) OVER (ORDER BY number DESC) AS bytes FROM audit) AS counted WHERE bytes > %s)"""


class StoreAuditLines:
    """Implements `storage.records.AuditLines`."""

    def __init__(self, changes: Changes, bytes_max: int) -> None:
        self._changes = changes
        self._bytes_max = bytes_max

    def append(self, facts: Sequence[JsonObject]) -> int:
        """Add lines; the number of the first. Durable on return."""
        first = 0

        def write(connection: Connection) -> None:
            nonlocal first
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM audit").fetchone() or (0,)
            first = last + 1
            for number, each in enumerate(facts, first):
                line = json.dumps({"number": number, **each}, separators=(",", ":")).encode()
                connection.execute("INSERT INTO audit VALUES (%s, %s)", (number, line))
            if last // _LOOKED_AT != (last + len(facts)) // _LOOKED_AT:
                connection.execute(_ROTATE, (self._bytes_max,))

        self._changes.change(DOCUMENT, None, write)
        return first

    def read(self, after: int, limit: int) -> list[JsonObject]:
        """Lines with larger numbers, so many at most, in their order."""

        def query(connection: Connection) -> list[bytes]:
            rows = connection.execute(
                "SELECT line FROM audit WHERE number > %s ORDER BY number LIMIT %s", (after, limit)
            )
            return [line for (line,) in rows]

        return [json.loads(line) for line in self._changes.read(query)]

    def adopt(self, lines: Iterable[JsonObject]) -> None:
        """Add lines that have their numbers already; those that are there stay."""

        def write(connection: Connection) -> None:
            for each in lines:
                line = json.dumps(each, separators=(",", ":")).encode()
                connection.execute("INSERT INTO audit VALUES (%s, %s) ON CONFLICT DO NOTHING", (each["number"], line))

        self._changes.change(DOCUMENT, None, write)
