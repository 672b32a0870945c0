"""The changes of an instance's earlier turns that are not durable yet.

They belong to the instance's entry, not to its sandbox: an activation that begins between a turn and its commit must
read what that turn wrote. Reads look here after the turn's own overlay and before the store.

Threads: `add` runs where no turn of the instance reads; `settle` and `clear` may run on the leader's thread while a
detached turn reads. The layers are therefore never mutated once a reader may see them shrink: they are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_host.storage.jobs import Job
from holdfast_host.storage.store import Alarm, Changes, Receipt, Store, StoredInstance


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
    """

    __slots__ = ("layers", "savepoints")

    def __init__(self) -> None:
        self.layers: tuple[Layer, ...] = ()
        self.savepoints = 0

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
            self.layers = tuple([layer for layer in layers if layer.group > group]) if layers[-1].group > group else ()

    def clear(self) -> None:
        """Forget everything: the instance's batches are lost."""
        self.layers = ()


def apply_changes(target: Changes, later: Changes) -> None:
    """Make `target` what it and then `later` do. `size_bytes` stays an upper bound of what it writes."""
    if later.cleared:
        target.writes = dict(later.writes)
        target.cleared = True
        if target.receipts is None and target.jobs is None:
            target.size_bytes = 0
    else:
        target.writes.update(later.writes)
    target.size_bytes += later.size_bytes
    if later.alarm_changed:
        target.alarm = later.alarm
        target.alarm_changed = True
    if later.erased:
        target.erased, target.receipts, target.jobs = True, None, None
    if later.receipts is not None:
        target.receipts = {**(target.receipts or {}), **later.receipts}
    if later.jobs is not None:
        target.jobs = {**(target.jobs or {}), **later.jobs}


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
