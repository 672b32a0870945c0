"""The instances in memory: finding and making entries, and taking idle activations out again.

The entries are kept in the order of their last use, so that eviction looks only at the oldest.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from holdfast_host.core.child_process import private_bytes
from holdfast_host.worker.threads import heap
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Store
    from holdfast_host.worker.turns.open_calls import OpenCall

_EVICTIONS_PER_STEP: Final = 50  # closing an activation takes about 60 us


@leaders
class Directory:
    """Entries by (type number, name)."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._entries: OrderedDict[tuple[int, bytes], Entry] = OrderedDict()
        self._evicted_since_trim = 0
        self.evictions = 0
        self.is_full = False  # past the memory budget, and every activation is busy

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    def find(self, type_id: int, name: bytes) -> Entry | None:
        """The instance's entry, where it has one."""
        return self._entries.get((type_id, name))

    def running_calls(self, type_id: int, name: bytes) -> tuple[OpenCall, ...]:
        """The calls that the running turn of an instance waits for."""
        entry = self._entries.get((type_id, name))
        return entry.turn.waiting if entry is not None and entry.turn is not None else ()

    def open(self, type_id: int, name: bytes, type_name: str) -> Entry:
        """The instance's entry, a new one where it has none."""
        key = (type_id, name)
        entry = self._entries.get(key)
        if entry is None:
            stored = self._store.place(type_id, name)  # its first turn looks it up
            entry = Entry(type_id, f"{type_name}/{name.decode(errors='replace')}", stored)
            self._entries[key] = entry
        return entry

    def forget(self, entry: Entry) -> None:
        """It is another owner's; only while it has neither mail nor a turn."""
        if self._entries.pop((entry.type_id, entry.stored.name), None) is not None:
            entry.deactivate()

    def all(self) -> Collection[Entry]:
        """What is in memory."""
        return self._entries.values()

    def touch(self, entry: Entry, now: float) -> None:
        """It has just been used."""
        entry.used_at = now
        self._entries.move_to_end((entry.type_id, entry.stored.name))

    def evict_idle(self, now: float, settled: int) -> bool:
        """Drop what has been idle for too long; True when there may be more to do at once."""
        return self._evict(settled, lambda entry: now - entry.used_at < self._limits.idle_eviction_s)

    def evict_for_memory(self, settled: int) -> bool:
        """Drop the least recently used while the process is past its budget; whether it was."""
        budget = self._limits.worker_memory_bytes
        if not budget or private_bytes() <= budget:
            self.is_full = False
            return False
        gc.collect()
        more = self._evict(settled, lambda entry: False, at_most=max(16, len(self._entries) // 20))
        # Where nothing is busy there is nobody to wait for, and refusing would never end.
        busy = any(entry.turn is not None for entry in self._entries.values())
        self.is_full = busy and not more and private_bytes() > budget
        return True

    def evict_all(self, settled: int) -> None:
        """Drop every idle activation."""
        while self._evict(settled, lambda entry: False):
            pass

    def _evict(self, settled: int, keep: Callable[[Entry], bool], *, at_most: int = _EVICTIONS_PER_STEP) -> bool:
        """Walk from the least recently used until `keep` says so or enough were dropped."""
        gone: list[tuple[int, bytes]] = []
        for key, entry in self._entries.items():
            if len(gone) >= at_most or keep(entry):
                break
            if entry.is_idle(settled):
                gone.append(key)
        for key in gone:
            self._entries.pop(key).deactivate()
        self.evictions += len(gone)
        self._evicted_since_trim += len(gone)
        if self._evicted_since_trim and len(gone) < at_most:
            self._evicted_since_trim = 0
            heap.give_back()  # what the closed sandboxes held
        return len(gone) >= at_most
