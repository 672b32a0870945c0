"""What a group makes of each of its instances: one final value a key, one final row: no row is touched twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.jobs import POOLS, STATES
from holdfast_host.storage.lmdb.keys import ALARM_STATES, pack_job, pack_receipt
from holdfast_host.storage.lmdb.sockets import pack_socket
from holdfast_host.storage.postgres.arrays import blobs, ints, longs
from holdfast_host.storage.postgres.handles import SOCKET_BYTES
from holdfast_host.storage.postgres.schema import NO_ALARM
from holdfast_host.storage.store import Changes
from holdfast_host.storage.unflushed import apply_changes, change_sockets

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.handles import Handle

_HASH_BYTES: Final = 16
_BEGUN, _KILLED = 1, 2


class Merged:
    """One instance of a group: what all its batches make of it together."""

    __slots__ = (
        "adopted", "alarm", "apart_bytes", "apart_number", "changes", "data_number", "exists", "handle", "live_bytes",
        "receipt_bytes", "staged",
    )  # fmt: skip

    def __init__(self, handle: Handle, batches: Iterable[Changes], take_number: Callable[[], int]) -> None:
        self.handle = handle
        self.staged: dict[str, dict[bytes, bytes]] = {}  # all that an import has brought, by its id
        self.adopted: list[str] = []
        self.changes = changes = Changes()
        for each in batches:
            apply_changes(changes, each)
        self.data_number, self.apart_number = handle.data_number, handle.number
        self.live_bytes, self.apart_bytes = handle.live_bytes, handle.apart_bytes
        if changes.cleared:
            self.live_bytes = 0
            if handle.keys:
                self.data_number = take_number()
        if changes.erased:
            self.apart_bytes = 0
            if handle.apart_bytes:
                self.apart_number = take_number()
        stored = {} if changes.cleared else handle.keys
        for key, value in changes.writes.items():
            old = stored.get(key)
            self.live_bytes += (len(key) + len(value) if value is not None else 0) - (
                len(key) + len(old) if old is not None else 0
            )
        self._count_apart()
        self.alarm = changes.alarm if changes.alarm_changed else handle.alarm
        self.exists = self.live_bytes > 0 or self.apart_bytes > 0 or self.alarm is not None

    def _count_apart(self) -> None:
        handle, changes = self.handle, self.changes
        grown = 0
        for id_, job in (changes.jobs or {}).items():
            earlier = None if changes.erased else handle.jobs.get(id_)
            grown += (job.size_bytes if job is not None else 0) - (earlier.size_bytes if earlier is not None else 0)
        # One is kept only where none was found under its hash.
        added = sum(_HASH_BYTES + len(pack_receipt(receipt)) for receipt in (changes.receipts or {}).values())
        self.receipt_bytes = (0 if changes.erased else handle.receipt_bytes) + added
        grown += added
        for number, row in (changes.sockets or {}).items():
            old = None if changes.erased else handle.sockets.get(number)
            grown += SOCKET_BYTES + len(pack_socket(handle, row)) if row is not None else 0
            grown -= SOCKET_BYTES + len(pack_socket(handle, old)) if old is not None else 0
        self.apart_bytes += grown

    @property
    def touches_apart(self) -> bool:
        """Whether it writes jobs, receipts or sockets."""
        changes = self.changes
        return not (changes.jobs is None and changes.receipts is None and changes.sockets is None)

    @property
    def writes_row(self) -> bool:
        """Whether the instance's own row is another one than before."""
        handle = self.handle
        return self.exists and (
            not handle.exists
            or self.live_bytes != handle.live_bytes
            or self.apart_bytes != handle.apart_bytes
            or self.data_number != handle.data_number
            or self.apart_number != handle.number
            or self.changes.alarm_changed
        )

    @property
    def leaves_garbage(self) -> bool:
        """Whether rows stay under numbers that it has no more; before it is settled."""
        return self.data_number != self.handle.data_number or self.apart_number != self.handle.number

    def settle(self) -> None:
        """It is durable: so the handle is from now on."""
        handle, changes = self.handle, self.changes
        with handle.lock:
            if changes.cleared:
                handle.keys, handle.order = {}, None
            keys = handle.keys
            count = len(keys)
            deleted = False
            for key, value in changes.writes.items():
                if value is None:
                    deleted = keys.pop(key, None) is not None or deleted
                else:
                    keys[key] = value
            if deleted or len(keys) != count:
                handle.order = None
            handle.alarm = self.alarm
            if changes.erased:
                handle.jobs, handle.sockets = {}, {}
            if changes.jobs:
                jobs = dict(handle.jobs)
                for id_, job in changes.jobs.items():
                    if job is None:
                        jobs.pop(id_, None)
                    else:
                        jobs[id_] = job
                handle.jobs = jobs
            handle.receipt_bytes = self.receipt_bytes
            if changes.sockets:
                sockets = dict(handle.sockets)
                change_sockets(sockets, Changes(sockets=changes.sockets))
                handle.sockets = sockets
            handle.live_bytes, handle.apart_bytes = self.live_bytes, self.apart_bytes
            handle.data_number, handle.number, handle.exists = self.data_number, self.apart_number, self.exists


def group_arrays(merged: Sequence[Merged]) -> list[bytes]:
    """The arrays of `statements.COMMIT`, from $5 on."""
    epochs = {each.handle.shard: each.handle.epoch for each in merged}
    rows = [each for each in merged if each.writes_row]
    alarms = [each.alarm for each in rows]
    puts, dels = _keys(merged)
    garbage = [
        (number, apart, each.handle.shard)
        for each in merged
        for number, apart, there in (
            (each.handle.data_number, 0, each.data_number != each.handle.data_number),
            (each.handle.number, 1, each.apart_number != each.handle.number),
        )
        if there
    ]
    return [
        ints([*epochs]),
        longs([*epochs.values()]),
        longs([each.handle.row for each in rows]),
        ints([each.handle.shard for each in rows]),
        ints([each.handle.type_id for each in rows]),
        blobs([each.handle.name for each in rows]),
        longs([each.data_number for each in rows]),
        longs([each.apart_number for each in rows]),
        longs([each.live_bytes for each in rows]),
        longs([each.apart_bytes for each in rows]),
        longs([alarm.due_us if alarm else 0 for alarm in alarms]),
        longs([alarm.scheduled_us if alarm else 0 for alarm in alarms]),
        ints([alarm.retry_count if alarm else 0 for alarm in alarms]),
        ints([ALARM_STATES.index(alarm.state) if alarm else NO_ALARM for alarm in alarms]),
        ints([alarm.begun * _BEGUN + alarm.killed * _KILLED if alarm else 0 for alarm in alarms]),
        blobs([alarm.last_error.encode("utf-8", "replace") if alarm else b"" for alarm in alarms]),
        blobs([alarm.trace if alarm else b"" for alarm in alarms]),
        longs([data for data, _ in puts]),
        blobs([key for _, key in puts]),
        blobs([*puts.values()]),
        longs([data for data, _ in dels]),
        blobs([key for _, key in dels]),
        longs([each.handle.row for each in merged if each.handle.exists and not each.exists]),
        longs([number for number, _, _ in garbage]),
        ints([apart for _, apart, _ in garbage]),
        ints([shard for _, _, shard in garbage]),
    ]


def _keys(merged: Sequence[Merged]) -> tuple[dict[tuple[int, bytes], bytes], list[tuple[int, bytes]]]:
    puts: dict[tuple[int, bytes], bytes] = {}
    dels: list[tuple[int, bytes]] = []
    for each in merged:
        data = each.data_number
        stored = each.handle.keys if data == each.handle.data_number else {}
        for key, value in each.changes.writes.items():
            if value is not None:
                puts[data, key] = value
            elif key in stored:
                dels.append((data, key))
    return puts, dels


def apart_arrays(merged: Sequence[Merged]) -> list[bytes]:
    """The further arrays of `statements.COMMIT_ALL`."""
    jobs = [(each, id_, job) for each in merged for id_, job in (each.changes.jobs or {}).items()]
    kept = [(each, id_, job) for each, id_, job in jobs if job is not None]
    receipts = [(each, hash_, it) for each in merged for hash_, it in (each.changes.receipts or {}).items()]
    sockets = [(each, number, row) for each in merged for number, row in (each.changes.sockets or {}).items()]
    open_ = [(each, number, row) for each, number, row in sockets if row is not None]
    return [
        longs([each.apart_number for each, _, _ in kept]),
        blobs([id_ for _, id_, _ in kept]),
        longs([each.handle.row for each, _, _ in kept]),
        ints([each.handle.shard for each, _, _ in kept]),
        ints([POOLS.index(job.pool) for _, _, job in kept]),
        ints([STATES.index(job.state) for _, _, job in kept]),
        longs([job.due_us for _, _, job in kept]),
        blobs([pack_job(each.handle.type_id, job) for each, _, job in kept]),
        longs([each.apart_number for each, _, job in jobs if job is None]),
        blobs([id_ for _, id_, job in jobs if job is None]),
        longs([each.apart_number for each, _, _ in receipts]),
        blobs([hash_ for _, hash_, _ in receipts]),
        longs([each.handle.row for each, _, _ in receipts]),
        ints([each.handle.shard for each, _, _ in receipts]),
        longs([receipt.expires_s for _, _, receipt in receipts]),
        blobs([pack_receipt(receipt) for _, _, receipt in receipts]),
        longs([each.apart_number for each, _, _ in open_]),
        longs([number for _, number, _ in open_]),
        longs([each.handle.row for each, _, _ in open_]),
        ints([each.handle.shard for each, _, _ in open_]),
        blobs([pack_socket(each.handle, row) for each, _, row in open_]),
        longs([each.apart_number for each, _, row in sockets if row is None]),
        longs([number for _, number, row in sockets if row is None]),
    ]
