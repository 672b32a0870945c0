"""Commits as the suite makes them, and all that an instance has."""

from __future__ import annotations

from holdfast_host.core.failures import required
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    Changes,
    Store,
    StoredInstance,
)

ACCOUNT = 7


def changes(writes: dict[bytes, bytes | None] | None = None, *, cleared: bool = False) -> Changes:
    """Of a turn that writes these keys; None takes one away."""
    size = sum(len(key) + len(value or b"") for key, value in (writes or {}).items())
    return Changes(dict(writes or {}), cleared=cleared, size_bytes=size)


def alarm_change(alarm: Alarm | None) -> Changes:
    """Of a turn that sets the alarm, or clears it."""
    return Changes(alarm=alarm, alarm_changed=True)


class Committer:
    """Commits with growing group numbers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.group = max(group for _, group in store.reached().values())

    def __call__(self, *batches: tuple[StoredInstance, Changes]) -> dict[int, object]:
        self.group += 1
        batches_of_it = [Batch(instance, change) for instance, change in batches]
        return dict(required(self.store.commit(self.group, batches_of_it), "a report").lost)


def everything(store: Store, instance: StoredInstance, *, reverse: bool = False) -> list[tuple[bytes, bytes]]:
    """All its pairs, in one page."""
    pairs, complete = store.scan(instance, start=b"", end=None, reverse=reverse, entries_max=1000, bytes_max=1 << 20)
    assert complete
    return pairs
