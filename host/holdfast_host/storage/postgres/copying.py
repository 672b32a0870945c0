"""Filling an empty store with whole instances, and reading them back, to be compared with where they came from.

A store that is being filled is no host's: `cluster.directory` says so until all has been compared. Whatever a copy that
was killed has left is emptied by the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.ids import shard_of
from holdfast_host.core.limits import MIB
from holdfast_host.storage.jobs import POOLS, STATES
from holdfast_host.storage.lmdb.keys import ALARM_STATES, expires_of, unpack_job
from holdfast_host.storage.moving import WholeInstance
from holdfast_host.storage.postgres.owning import COPYING, find_connected
from holdfast_host.storage.postgres.schema import NO_ALARM
from holdfast_host.storage.store import Alarm

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    Connection = psycopg.Connection[Any]

_BATCH_BYTES: Final = 4 * MIB
_READ_INSTANCES: Final = 256
_BEGUN, _KILLED = 1, 2
_COPY_LOCK: Final = 0x686F6C64  # of one session at a time
_INSTANCE_ROWS: Final = (
    "number", "shard", "type_id", "name", "data", "apart", "live_bytes", "apart_bytes", "due_us", "scheduled_us",
    "retries", "state", "marks", "last_error", "trace",
)  # fmt: skip
_LIVE_BYTES, _APART_BYTES = map(_INSTANCE_ROWS.index, ("live_bytes", "apart_bytes"))
_FILLED: Final = {
    "instance": ("int8", "int2", "int4", "bytea", "int8", "int8", "int8", "int8", "int8", "int8", "int4", "int2",
                 "int2", "bytea", "bytea"),
    "kv": ("int8", "bytea", "bytea"),
    "job": ("int8", "bytea", "int8", "int2", "int2", "int2", "int8", "bytea"),
    "receipt": ("int8", "bytea", "int8", "int2", "int8", "bytea"),
    "socket": ("int8", "int8", "int8", "int2", "bytea"),
}  # fmt: skip


def begin(connection: Connection) -> str:
    """Empty what an earlier copy has left, and keep hosts and other copies away; the store's id.

    Other copies are kept away as long as the connection is there.

    Raises:
        ConfigurationError: the store is a host's, or is not empty, or another copy into it is under way.
    """
    host = find_connected(connection)
    if host is not None:
        raise ConfigurationError(f"the host {host} is connected to this store: a copy needs an empty one of its own")
    (alone,) = connection.execute("SELECT pg_try_advisory_lock(%s)", (_COPY_LOCK,)).fetchone() or (False,)
    if not alone:
        raise ConfigurationError("another copy into this store is under way: wait for its end, or end it")
    with connection.transaction():
        store, directory, instances, functions, documents = connection.execute(
            "SELECT id::text, directory, (SELECT count(*) FROM instance), (SELECT count(*) FROM functions),"
            " (SELECT string_agg(name, ', ' ORDER BY name) FROM (SELECT name FROM document WHERE content IS NOT NULL"
            " UNION ALL SELECT 'tenants' WHERE EXISTS (SELECT FROM tenants)) AS kept)"
            " FROM cluster FOR UPDATE OF cluster"
        ).fetchone() or ("", "", 0, 0, None)
        if directory not in ("", COPYING):
            raise ConfigurationError(
                f"the store is of the host {directory}: a copy needs an empty one, in a new database"
            )
        if directory == "" and (instances or functions or documents):
            further = f", and {documents} that a host has kept there" if documents else ""
            raise ConfigurationError(
                f"the store has {functions} functions and {instances} instances{further}: a copy needs an empty one, "
                "in a new database"
            )
        connection.execute("UPDATE cluster SET directory = %s, key_check = '', next_type = 1", (COPYING,))
        connection.execute("UPDATE document SET content = NULL")
        tables = [*_FILLED, "garbage", "functions", "versions", "types", "tenants", "component", "audit"]
        connection.execute(f"TRUNCATE {', '.join(tables)}")
    return str(store)


class Filling:
    """Adds instances, each with the next number; `flush` at the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _FILLED}
        self._bytes = 0
        self.count = 0

    def add(self, instance: WholeInstance) -> None:
        """Add one."""
        self.count += 1
        number, shard = self.count, shard_of(instance.type_id, instance.name)
        alarm = instance.alarm
        timed: tuple[Any, ...] = (0, 0, 0, NO_ALARM, 0, b"", b"")
        if alarm is not None:
            marks = alarm.begun * _BEGUN + alarm.killed * _KILLED
            why = alarm.last_error.encode("utf-8", "replace")
            state = ALARM_STATES.index(alarm.state)
            timed = (alarm.due_us, alarm.scheduled_us, alarm.retry_count, state, marks, why, alarm.trace)
        sizes = (instance.live_bytes, instance.apart_bytes)
        rows = self._rows
        rows["instance"].append((number, shard, instance.type_id, instance.name, number, number, *sizes, *timed))
        rows["kv"] += [(number, key, value) for key, value in instance.keys]
        for id_, row in instance.jobs:
            job = unpack_job(row)
            pool, state = POOLS.index(job.pool), STATES.index(job.state)
            rows["job"].append((number, id_, number, shard, pool, state, job.due_us, row))
        rows["receipt"] += [(number, hash_, number, shard, expires_of(row), row) for hash_, row in instance.receipts]
        rows["socket"] += [
            (number, int.from_bytes(socket, "big"), number, shard, row) for socket, row in instance.sockets
        ]
        self._bytes += instance.size_bytes
        if self._bytes > _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """What was added is in the store."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for table, types in _FILLED.items():
                with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(types)
                    for row in self._rows[table]:
                        copy.write_row(row)
                self._rows[table] = []
            cursor.execute("SELECT setval('numbers', %s)", (max(1, self.count),))
        self._bytes = 0


def read_back(connection: Connection) -> Iterator[WholeInstance]:
    """All instances, in the order in which they were added."""
    first = 1
    while True:
        stop = first + _READ_INSTANCES
        rows = connection.execute(
            f"SELECT {', '.join(_INSTANCE_ROWS)} FROM instance WHERE number >= %s AND number < %s ORDER BY number",  # noqa: S608
            (first, stop),
        ).fetchall()
        if not rows:
            return
        for piece in _pieces(rows):
            yield from _whole(connection, piece)
        first = stop


def _pieces(rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of instances, so many at once as may be in memory with all that they store."""
    piece, piece_bytes = list[tuple[Any, ...]](), 0
    for row in rows:
        stored_bytes = row[_LIVE_BYTES] + row[_APART_BYTES]
        if piece and piece_bytes + stored_bytes > _BATCH_BYTES:
            yield piece
            piece, piece_bytes = [], 0
        piece.append(row)
        piece_bytes += stored_bytes
    yield piece


def _whole(connection: Connection, rows: list[tuple[Any, ...]]) -> Iterator[WholeInstance]:
    first, last = rows[0][0], rows[-1][0]
    kv = _grouped(connection, "data, k, v FROM kv WHERE data", "data, k", first, last)
    jobs = _grouped(connection, "apart, id, job FROM job WHERE apart", "apart, id", first, last)
    receipts = _grouped(connection, "apart, hash, receipt FROM receipt WHERE apart", "apart, hash", first, last)
    sockets = _grouped(
        connection, "apart, int8send(socket), socket_row FROM socket WHERE apart", "apart, int8send(socket)",
        first, last,
    )  # fmt: skip
    for _, _, type_id, name, data, apart, live_bytes, apart_bytes, *timed in rows:
        yield WholeInstance(
            type_id, name, live_bytes, apart_bytes, _alarm(*timed), kv.get(data, []), jobs.get(apart, []),
            receipts.get(apart, []), sockets.get(apart, []),
        )  # fmt: skip


def finish(connection: Connection) -> None:
    """All has been compared: from here on the store is whoever's starts on it."""
    connection.execute("UPDATE cluster SET directory = '' WHERE directory = %s", (COPYING,))


def is_being_filled(connection: Connection) -> bool:
    """Whether a copy has begun and not ended."""
    (directory,) = connection.execute("SELECT directory FROM cluster").fetchone() or ("",)
    return directory == COPYING


def _grouped(
    connection: Connection, query: str, order: str, first: int, last: int
) -> dict[int, list[tuple[bytes, bytes]]]:
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for number, key, value in connection.execute(
        f"SELECT {query} BETWEEN %s AND %s ORDER BY {order}",
        (first, last),
    ):
        found.setdefault(number, []).append((key, value))
    return found


def _alarm(
    due_us: int, scheduled_us: int, retries: int, state: int, marks: int, why: bytes, trace: bytes
) -> Alarm | None:
    if state < 0:
        return None
    begun, killed = bool(marks & _BEGUN), bool(marks & _KILLED)
    return Alarm(due_us, retries, scheduled_us, ALARM_STATES[state], why.decode(), begun, killed, trace)
