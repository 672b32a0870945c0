"""The changes of an instance's earlier turns that are not durable yet.

They belong to the instance's entry, not to its sandbox: an activation that begins between a turn and its commit must
read what that turn wrote. Reads look here after the turn's own overlay and before the store.

Threads: `add` runs where no turn of the instance reads; `settle` and `clear` may run on the leader's thread while a
detached turn reads. The layers are therefore never mutated once a reader may see them shrink: they are replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast_host.storage.jobs import Job
from holdfast_host.storage.store import AUTO_RESPONSE, Alarm, Changes, Receipt, SocketRow, Store, StoredInstance

_PAGE: Final = 1_000  # sockets that one read brings


@dataclass(slots=True)
class Layer:
    """What the instance's turns of one group changed together."""

    group: int
    changes: Changes
    owned: bool = False  # False: `changes` is a batch's own, which its commit will read


class Pending:
    """Layers by group, oldest first. Lives as long as the instance's entry.

    Attributes:
        layers: What is not durable.
        savepoints: How many savepoints the instance's turns have begun: the number of the last one.
        stored_sockets: The instance's sockets as they are durable; None until `all_sockets` has read them.
        stored_socket: The one that was read last, by its number: who speaks is answered.
    """

    __slots__ = ("_settled", "layers", "savepoints", "stored_socket", "stored_sockets")

    def __init__(self) -> None:
        self.layers: tuple[Layer, ...] = ()
        self.savepoints = 0
        self.stored_sockets: dict[int, SocketRow] | None = None
        self.stored_socket: tuple[int, SocketRow | None] | None = None
        self._settled = 0  # how many layers were, so far

    def __bool__(self) -> bool:
        """True while anything is not durable."""
        return bool(self.layers)

    @property
    def size_bytes(self) -> int:
        """Bytes of keys and values that the layers write: an upper bound of what the instance still grows by."""
        return sum([layer.changes.size_bytes for layer in self.layers]) if self.layers else 0

    def add(self, changes: Changes, group: int) -> None:
        """Remember a turn's changes until their group is settled. `changes` must not be altered afterwards."""
        if not changes:
            return
        layers = self.layers
        if not layers or layers[-1].group != group:
            self.layers = (*layers, Layer(group, changes))
            return
        last = layers[-1]
        if not last.owned:
            merged = Changes()
            apply_changes(merged, last.changes)
            last = Layer(group, merged, owned=True)
            self.layers = (*layers[:-1], last)
        apply_changes(last.changes, changes)

    def settle(self, group: int) -> None:
        """Forget what is durable: everything tagged with this group or an earlier one."""
        layers = self.layers
        if layers:
            self._settled += 1  # first: who reads meanwhile keeps nothing that was read before
            if self.stored_sockets is not None or self.stored_socket is not None:
                self._settle_sockets(group)
            self.layers = tuple([layer for layer in layers if layer.group > group]) if layers[-1].group > group else ()

    def _settle_sockets(self, group: int) -> None:
        for layer in self.layers:
            if layer.group <= group and (layer.changes.sockets is not None or layer.changes.erased):
                self.stored_socket = None
                if self.stored_sockets is not None:
                    change_sockets(self.stored_sockets, layer.changes)

    def read_socket(self, store: Store, instance: StoredInstance, socket: int) -> SocketRow | None:
        """One of the instance's sockets as it is durable; the layers were seen before."""
        stored, last = self.stored_sockets, self.stored_socket
        if stored is not None and socket != AUTO_RESPONSE:
            return stored.get(socket)
        if last is not None and last[0] == socket:
            return last[1]
        settled, row = self._settled, store.socket(instance, socket)
        self.stored_socket = socket, row
        if settled != self._settled:
            self.stored_socket = None
        return row

    def read_sockets(self, store: Store, instance: StoredInstance) -> dict[int, SocketRow]:
        """The instance's sockets as its finished turns have left them, in no order; the caller's to change."""
        # As in a listing: a layer that is settled after it was seen here counts twice, never not at all.
        layers = self.layers
        if self.stored_sockets is None:
            settled, found = self._settled, _read_stored(store, instance)
            self.stored_sockets = dict(found)
            if settled != self._settled:
                self.stored_sockets = None
        else:
            found = self.stored_sockets.copy()
        for layer in layers:
            change_sockets(found, layer.changes)
        return found

    def count_sockets(self, store: Store, instance: StoredInstance, later: Iterable[Changes]) -> int:
        """How many sockets the instance has after its finished turns and these changes."""
        settled, stored = self._settled, self.stored_sockets
        changed: dict[int, SocketRow | None] = {}
        all_changes = [*(layer.changes for layer in self.layers), *later]
        if stored is not None and not any(changes.erased for changes in all_changes):
            for changes in all_changes:
                changed.update(changes.sockets or {})
            changed[AUTO_RESPONSE] = None  # it is none
            count = len(stored) + sum((row is not None) - (number in stored) for number, row in changed.items())
            if settled == self._settled:
                return count
        found = self.read_sockets(store, instance)  # the first time, and where a commit came between
        for changes in later:
            change_sockets(found, changes)
        found.pop(AUTO_RESPONSE, None)
        return len(found)

    def clear(self) -> None:
        """Forget everything: the instance's batches are lost."""
        self.layers = ()
        self._settled += 1  # as in `settle`
        self.stored_sockets = self.stored_socket = None


def apply_changes(target: Changes, later: Changes) -> None:
    """Make `target` what it and then `later` do. `size_bytes` stays an upper bound of what it writes."""
    if later.cleared:
        target.writes = dict(later.writes)
        target.cleared = True
        if target.receipts is None and target.jobs is None and target.sockets is None:
            target.size_bytes = 0
    else:
        target.writes.update(later.writes)
    target.size_bytes += later.size_bytes
    if later.alarm_changed:
        target.alarm = later.alarm
        target.alarm_changed = True
    if later.erased:
        target.erased, target.receipts, target.jobs, target.sockets = True, None, None, None
    if later.receipts is not None:
        target.receipts = {**(target.receipts or {}), **later.receipts}
    if later.jobs is not None:
        target.jobs = {**(target.jobs or {}), **later.jobs}
    if later.sockets is not None:
        target.sockets = {**(target.sockets or {}), **later.sockets}
    if later.sends is not None:
        target.sends = [*(target.sends or ()), *later.sends]


def change_sockets(target: dict[int, SocketRow], later: Changes) -> None:
    """Make of these sockets what they are after these changes."""
    if later.erased:
        target.clear()
    for number, row in later.sockets.items() if later.sockets is not None else ():
        if row is None:
            target.pop(number, None)
        else:
            target[number] = row


def _read_stored(store: Store, instance: StoredInstance) -> dict[int, SocketRow]:
    """All of them, in as many short reads as it takes."""
    found: dict[int, SocketRow] = {}
    after: int | None = AUTO_RESPONSE
    while after is not None:
        page, after = store.sockets(instance, after, _PAGE)
        found.update(page)
    return found


def read_socket(store: Store, instance: StoredInstance, pending: Pending, socket: int) -> SocketRow | None:
    """One of the instance's sockets as its finished turns have left it, durable or not."""
    for layer in reversed(pending.layers):
        sockets = layer.changes.sockets
        if sockets is not None and socket in sockets:
            return sockets[socket]
        if layer.changes.erased:
            return None
    return pending.read_socket(store, instance, socket)


def read_alarm(store: Store, instance: StoredInstance, pending: Pending) -> Alarm | None:
    """The instance's alarm as its finished turns have left it, durable or not."""
    for layer in reversed(pending.layers):
        if layer.changes.alarm_changed:
            return layer.changes.alarm
    return store.alarm(instance)


def read_receipt(store: Store, instance: StoredInstance, pending: Pending, key_hash: bytes) -> Receipt | None:
    """What the instance's finished turns have kept under an idempotency key, durable or not."""
    for layer in reversed(pending.layers):
        receipts = layer.changes.receipts
        if receipts is not None and key_hash in receipts:
            return receipts[key_hash]
        if layer.changes.erased:
            return None
    return store.receipt(instance, key_hash)


def read_job(store: Store, instance: StoredInstance, pending: Pending, id_: bytes) -> Job | None:
    """A job as the instance's finished turns have left it, durable or not."""
    for layer in reversed(pending.layers):
        jobs = layer.changes.jobs
        if jobs is not None and id_ in jobs:
            return jobs[id_]
        if layer.changes.erased:
            return None
    return store.jobs.get(instance, id_)
