"""Exports and imports over PostgreSQL.

One instance is exported from memory, where all of it is. All of a type are read over a connection of their own, in one
snapshot; that is a question of people, whom the past of a moment ago serves as well. An import is no larger than what
an instance may have in memory, so there it lies until it is adopted.
"""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.postgres.listings import after_prefix
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.storage.transfers import ExportedAlarm, ExportedInstance, ExportedJob, ExportedKey, ExportRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from holdfast_host.storage.postgres.handles import Handle
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.storage.transfers import Export

_ROW_BYTES: Final = 256  # what a row is counted with beside its value
_FETCHED_ROWS: Final = 32
_IMPORT_ID_BYTES: Final = 16
_OF_A_TYPE: Final = """DECLARE exported NO SCROLL CURSOR FOR SELECT i.name, i.live_bytes, kv.k, kv.v FROM instance AS i
    LEFT JOIN kv ON kv.data = i.data WHERE i.type_id = %s AND i.name >= %s AND (%s = ''::bytea OR i.name < %s)
    AND i.shard = ANY(%s) ORDER BY i.name, kv.k"""


class InstanceExport:
    """One instance as it was when this was made; nothing where it stores nothing."""

    def __init__(self, handle: Handle) -> None:
        with handle.lock:
            keys, alarm, jobs = dict(handle.keys), handle.alarm, handle.jobs
            exists, live_bytes = handle.exists, handle.live_bytes
        rows: list[ExportRow] = [ExportedInstance(handle.name, live_bytes)] if exists else []
        rows += [ExportedKey(*each) for each in sorted(keys.items())]
        rows += [ExportedAlarm(alarm)] if alarm is not None else []
        rows += [ExportedJob(*each) for each in sorted(jobs.items(), key=lambda each: each[0])]
        self._left = deque(rows)

    def step(self, bytes_max: int, longest_s: float) -> list[ExportRow]:
        """The next rows; none where that was all."""
        return _taken(self._left, bytes_max)

    def close(self) -> None:
        """Nothing is held but memory."""
        self._left.clear()


class TypeExport:
    """A worker's instances of a type whose names begin so, as they were when this was made."""

    def __init__(
        self, address: StoreAddress, name: str, shards: Sequence[int], type_id: int, bounds: tuple[bytes, bytes]
    ) -> None:
        """`bounds` are the first name, and the one before which to end, empty for none."""
        first, stop = bounds
        self._left: deque[ExportRow] = deque()
        self._last = b""
        self._connection: psycopg.Connection[Any] = connect(address, name)
        try:
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            self._connection.execute(_OF_A_TYPE, (type_id, first, stop, stop, [*shards]))
        except psycopg.Error as error:
            self.close()
            raise HostUnavailableError(f"the store cannot be read: {error}") from error

    def step(self, bytes_max: int, longest_s: float) -> list[ExportRow]:
        """The next rows; none where that was all."""
        try:
            if not self._left:
                self._left += self._rows(self._connection.execute(f"FETCH FORWARD {_FETCHED_ROWS} FROM exported"))
        except psycopg.Error as error:
            raise HostUnavailableError(f"the export was cut short: {error}") from error
        return _taken(self._left, bytes_max)

    def _rows(self, fetched: Iterable[tuple[bytes, int, bytes | None, bytes]]) -> Iterator[ExportRow]:
        for name, live_bytes, key, value in fetched:
            if name != self._last:
                self._last = name
                yield ExportedInstance(name, live_bytes)
            if key is not None:
                yield ExportedKey(key, value)

    def close(self) -> None:
        """End the snapshot."""
        self._connection.close()


def _taken(left: deque[ExportRow], bytes_max: int) -> list[ExportRow]:
    found: list[ExportRow] = []
    while left and bytes_max > 0:
        row = left.popleft()
        found.append(row)
        bytes_max -= _ROW_BYTES + (len(row.value) if isinstance(row, ExportedKey) else 0)
    return found


@dataclass(slots=True)
class _Import:
    owner: tuple[int, bytes]  # type id and name
    rows: dict[bytes, bytes] = field(default_factory=dict)
    moved_at: float = field(default_factory=time.monotonic)


class Imports:
    """Those under way at one worker. Any thread begins and ends one, the leader settles them."""

    def __init__(self) -> None:
        self._by_id: dict[str, _Import] = {}
        self._changing = threading.Lock()

    def begin(self, instance: StoredInstance) -> str:
        """From now on rows may lie beside the instance; the import's id."""
        import_id = secrets.token_hex(_IMPORT_ID_BYTES)
        with self._changing:
            self._by_id[import_id] = _Import((instance.type_id, instance.name))
        return import_id

    def find(self, instance: StoredInstance, import_id: str) -> Mapping[bytes, bytes]:
        """What it has brought; HostUnavailableError where the instance has none of that id, or none any more."""
        found = self._by_id.get(import_id)
        if found is None or found.owner != (instance.type_id, instance.name):
            raise HostUnavailableError(
                f"the import into {instance.name.decode('utf-8', 'replace')!r} has ended: its worker was replaced, or "
                "nothing came for too long; nothing was changed, begin again"
            )
        return found.rows

    def settle(self, staged: Mapping[str, dict[bytes, bytes]], adopted: Iterable[str]) -> None:
        """What a commit says of them is durable."""
        with self._changing:
            for import_id, rows in staged.items():
                if import_id in self._by_id:
                    self._by_id[import_id].rows = rows
                    self._by_id[import_id].moved_at = time.monotonic()
            for import_id in adopted:
                self._by_id.pop(import_id, None)

    def end(self, import_id: str) -> None:
        """It is given up."""
        with self._changing:
            self._by_id.pop(import_id, None)

    def end_idle(self, idle_s: float) -> bool:
        """Give up those that nothing was brought to for so long; whether others are left."""
        late = time.monotonic() - idle_s
        with self._changing:
            self._by_id = {each: it for each, it in self._by_id.items() if it.moved_at > late}
            return bool(self._by_id)


class StoreTransfers(ABC):
    """That part of a store; any thread but a leader in no section."""

    _address: StoreAddress
    _name: str  # as the server shows the worker
    _owned: Sequence[int]  # its shards
    _imports: Imports

    @abstractmethod
    def place(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, which may have to be looked up yet."""

    @abstractmethod
    def _loaded(self, instance: StoredInstance) -> Handle:
        """Its handle, read where it was not."""

    def export(self, type_id: int, name: bytes | None, prefix: bytes) -> Export:
        """What is committed now: one instance with its alarm and jobs; or all of a type whose names begin so."""
        if name is not None:
            return InstanceExport(self._loaded(self.place(type_id, name)))
        return TypeExport(self._address, self._name, self._owned, type_id, (prefix, after_prefix(prefix)))

    def begin_import(self, instance: StoredInstance) -> str:
        """Make room beside the instance for what it may adopt; the import's id."""
        return self._imports.begin(instance)

    def staged_keys(self, instance: StoredInstance, import_id: str) -> int:
        """How many keys the import has brought, as of the last commit; HostUnavailableError where it has ended."""
        return len(self._imports.find(instance, import_id))

    def end_import(self, instance: StoredInstance, import_id: str) -> None:
        """Give it up: what it has brought goes."""
        self._imports.end(import_id)

    def end_idle_imports(self, idle_s: float) -> bool:
        """Give up those that nobody has gone on with for so long; whether others are under way."""
        return self._imports.end_idle(idle_s)
