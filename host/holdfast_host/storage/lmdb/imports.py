"""Imports under way: rows that lie beside their instance until it adopts them, all at once.

They lie under a data number of their own, with a garbage row from the first of them on: for the disk they are what
nobody has any more. Only a worker's memory knows better, and its sweeps pass them by. So whatever ends the worker ends
its imports, and the next one's sweeps take away what they left. To adopt is to give the name row that number and to
delete the garbage row, in one transaction, however much it is.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.lmdb import garbage
from holdfast_host.storage.lmdb.free_space import shown
from holdfast_host.storage.lmdb.keys import data_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.storage.store import StoredInstance


@dataclass(frozen=True, slots=True)
class Import:
    """What an import has brought, as of a commit."""

    owner: tuple[int, bytes]  # type id and name
    number: int
    keys: int = 0
    live_bytes: int = 0
    moved_at: float = field(default_factory=time.monotonic)


class Imports:
    """Those of one partition. Any thread begins and ends one, the thread that commits settles them."""

    def __init__(self, left: garbage.Garbage) -> None:
        """`left` is told of what an import leaves."""
        self._garbage = left
        self._by_id: dict[str, Import] = {}
        self._changing = threading.Lock()

    def begin(self, instance: StoredInstance, import_id: str, number: int) -> None:
        """From now on rows may lie under the number."""
        with self._changing:
            self._by_id[import_id] = Import((instance.type_id, instance.name), number)
            self._keep()

    def is_begun(self, import_id: str) -> bool:
        """Whether it is under way."""
        return import_id in self._by_id

    def find(self, instance: StoredInstance, import_id: str) -> Import:
        """The import of that id; HostUnavailableError where the instance has none, or none any more."""
        found = self._by_id.get(import_id)
        if found is None or found.owner != (instance.type_id, instance.name):
            raise HostUnavailableError(
                f"the import into {shown(instance)} has ended: its worker was replaced, or nothing came for too long; "
                "nothing was changed, begin again"
            )
        return found

    def end(self, import_id: str) -> None:
        """It is given up: what it has brought is swept like anything that was left."""
        with self._changing:
            if self._by_id.pop(import_id, None) is not None:
                self._keep()
                self._garbage.note()

    def end_idle(self, idle_s: float) -> bool:
        """Give up those that nothing was brought to for so long; whether others are left."""
        late = time.monotonic() - idle_s
        for import_id, each in list(self._by_id.items()):
            if each.moved_at <= late:
                self.end(import_id)
        return bool(self._by_id)

    def settle(self, staged: Mapping[str, Import | None]) -> None:
        """A commit is durable, with what it says of some imports; None for one that was adopted."""
        with self._changing:
            for import_id, changed in staged.items():
                if import_id not in self._by_id:
                    self._garbage.note()  # it was given up meanwhile
                elif changed is None:
                    del self._by_id[import_id]
                else:
                    self._by_id[import_id] = changed
            self._keep()

    def _keep(self) -> None:
        self._garbage.kept = frozenset(each.number for each in self._by_id.values())


def write_rows(txn: Any, import_: Import, rows: Mapping[bytes, bytes]) -> Import:
    """Put rows beside the instance; the import as it is then. A key that it has brought before gets the later value."""
    garbage.leave(txn, import_.number)
    prefix, keys, live_bytes = data_prefix(import_.number), import_.keys, import_.live_bytes
    for key, value in rows.items():
        old = txn.replace(prefix + key, value)
        live_bytes += len(value) - len(old) if old is not None else len(key) + len(value)
        keys += old is None
    return replace(import_, keys=keys, live_bytes=live_bytes, moved_at=time.monotonic())
