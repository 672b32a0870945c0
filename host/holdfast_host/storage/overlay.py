"""One turn's view of its instance's storage.

Reads look through overlay, pending changes of earlier turns, and store, in this order; writes go to the overlay and
nowhere else, until the turn ends (or syncs) and `take` makes them a batch. All limits on keys, values, turns and pages
are enforced here; a call that is refused has changed nothing.

What does not live here: when a batch is committed and what waits for it (worker), and the merging of layers in a
listing (storage.listing), savepoints (storage.turn_changes), and jobs (storage.turn_jobs).
"""

from __future__ import annotations

import builtins

from holdfast_host.core.errors import BadRequestError, CodecError, LimitError
from holdfast_host.core.limits import RESERVED_KEY_PREFIX, Limits
from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.listing import key_range, read_page
from holdfast_host.storage.socket_changes import SocketChanges, row_bytes
from holdfast_host.storage.store import Alarm, Changes, Receipt, Store, StoredInstance
from holdfast_host.storage.transfers import Staging
from holdfast_host.storage.unflushed import Pending, apply_changes, read_alarm, read_receipt

RESERVED_PREFIX = RESERVED_KEY_PREFIX.encode()
_RESERVED_FIRST = RESERVED_PREFIX[0]


class Overlay(SocketChanges):
    """What a turn has written so far, over everything before it. Implements StorageCalls.

    Lives for one turn. Used by one thread at a time: the one that runs the guest, and the leader while that one waits.
    """

    __slots__ = ()

    def __init__(self, store: Store, instance: StoredInstance, pending: Pending, limits: Limits, label: str) -> None:
        """`label` names the instance in errors, as `Account/alice`."""
        self._store = store
        self._instance = instance
        self._pending = pending
        self._limits = limits
        self._label = label
        self._top = Changes({})
        self._below = []
        self._below_bytes = self._below_keys = 0
        self._open = ()
        self.wrote = False
        self._ended_socket = self._sent = self._sent_bytes = 0
        self._taken = self._jobs_left = None

    # Reads

    def get(self, key: bytes) -> bytes | None:
        """The encoded value, None where the key is absent."""
        self._check_key(key)
        return self._read(key)

    def get_many(self, keys: builtins.list[bytes]) -> builtins.list[tuple[bytes, bytes]]:
        """The pairs that exist, in the order asked for.

        Raises:
            LimitError: more keys than a turn may write, or more bytes than a page; the message names the key that did
                not fit any more.
        """
        limits = self._limits
        if len(keys) > limits.turn_write_keys_max:
            raise LimitError(
                f"get_many of {len(keys)} keys exceeds the limit of {limits.turn_write_keys_max} keys ({self._label})"
            )
        pairs: list[tuple[bytes, bytes]] = []
        page_bytes = 0
        for key in keys:
            self._check_key(key)
            value = self._read(key)
            if value is None:
                continue
            page_bytes += len(key) + len(value)
            if page_bytes > limits.page_bytes_max:
                raise LimitError(
                    f"get_many passes the limit of {limits.page_bytes_max} bytes a page at key {_shown(key)}: "
                    f"ask for it and those after it in another call ({self._label})"
                )
            pairs.append((key, value))
        return pairs

    @property
    def page_entries_max(self) -> int:
        """What `list` gives at once, at the most."""
        return self._limits.page_entries_max

    def list(
        self,
        prefix: bytes,
        start: bytes | None,
        start_after: bytes | None,
        end: bytes | None,
        reverse: bool,
        limit: int,
    ) -> tuple[builtins.list[tuple[bytes, bytes]], bytes | None]:
        """A page of pairs in order of their keys' UTF-8 bytes, or against it.

        `start` is inclusive, `start_after` and `end` are exclusive, all three also when the order is reversed.

        Returns:
            The pairs, and where the page's bytes ended it before `limit` did, the first key that was left out (else
            None). The next page begins after (reversed: ends before) the last key of this one.

        Raises:
            BadRequestError: `limit` is not 1 to the entries of a page, or there are both `start` and `start_after`.
        """
        entries_max = self._limits.page_entries_max
        if not 1 <= limit <= entries_max:
            raise BadRequestError(f"a list of {limit} entries: 1 to {entries_max} entries are allowed ({self._label})")
        if start is not None and start_after is not None:
            raise BadRequestError(f"a list begins at start or at start_after, not both ({self._label})")
        bounds = key_range(prefix, start, start_after, end, self._limits.key_bytes_max)
        if bounds is None:
            return [], None
        first, stop = bounds
        # The order matters: a layer that is settled after it was seen here is in the store twice, never nowhere.
        layers = [*(layer.changes for layer in self._pending.layers), *self._below, self._top]
        return read_page(
            self._store,
            self._instance,
            layers,
            first,
            stop,
            reverse=reverse,
            entries_max=limit,
            bytes_max=self._limits.page_bytes_max,
        )

    def get_alarm(self) -> int | None:
        """When the alarm will be delivered, in microseconds; None for one that is abandoned, too."""
        alarm = self._read_alarm()
        return None if alarm is None or alarm.state == "abandoned" else alarm.due_us

    # Writes

    def put(self, key: bytes, value: bytes) -> None:
        """Write one encoded value.

        Raises:
            LimitError: key or value is too large, or the turn has written too much.
        """
        self._check_key(key)
        value_bytes = len(value)
        if value_bytes > self._limits.value_bytes_max:
            raise self._too_large(key, value_bytes)
        self._write(key, value, value_bytes)

    def delete(self, key: bytes) -> bool:
        """Delete one key; whether it was there."""
        self._check_key(key)
        if self._read(key) is None:
            return False
        self._write(key, None, 0)
        return True

    def delete_all(self) -> None:
        """Delete every key, not the alarm."""
        top = self._top
        top.writes.clear()
        top.size_bytes = row_bytes(top, self._instance)
        top.size_bytes += sum(job.size_bytes for job in (top.jobs or {}).values() if job is not None)
        top.cleared = True
        self.wrote = True

    def set_alarm(self, due_us: int) -> None:
        """Set or replace the alarm; a time before 1970 is kept as 1970, due at once."""
        due_us = max(0, due_us)
        self._top.alarm = Alarm(due_us=due_us, scheduled_us=due_us)
        self._top.alarm_changed = True
        self.wrote = True

    def delete_alarm(self) -> None:
        """Clear the alarm; nothing to do where there is none."""
        if self._read_alarm() is not None:
            self._top.alarm = None
            self._top.alarm_changed = True
            self.wrote = True

    def erase(self) -> bool:
        """Delete every key, receipt, job and socket; the alarm must be deleted too. Whether there may be others."""
        self.delete_all()
        layers = [layer.changes for layer in self._pending.layers]
        pending = any(each.receipts is not None or each.jobs or each.sockets for each in layers)
        self._top.erased = pending or self._instance.apart_bytes > 0
        return self._top.erased

    # Imports

    def stage(self, import_id: str, rows: builtins.list[tuple[bytes, bytes]]) -> None:
        """Put keys and values beside the instance, for it to adopt; the turn writes nothing else.

        Raises:
            LimitError, CodecError, BadRequestError: as `put`; nothing is staged.
        """
        for key, value in rows:
            self._check_key(key)
            if len(value) > self._limits.value_bytes_max:
                raise self._too_large(key, len(value))
        self._top.staging = Staging(import_id, dict(rows))
        self._top.size_bytes += sum(len(key) + len(value) for key, value in rows)
        self.wrote = True

    def staged_keys(self, import_id: str) -> int:
        """How many keys the import has brought; HostUnavailableError where it has ended."""
        return self._store.staged_keys(self._instance, import_id)

    def adopt(self, import_id: str, alarm: Alarm | None, jobs: builtins.list[Job]) -> None:
        """Have nothing any more but what the import has brought, with this alarm and these jobs.

        Until that is committed the turn reads nothing of it: `sync` comes next.
        """
        self.erase()
        self._top.erased = True
        self._top.staging = Staging(import_id, {}, adopts=True)
        self._top.alarm, self._top.alarm_changed = alarm, True
        for job in jobs:
            self._write_job(new_id(job.key), job)

    # Receipts

    def receipt(self, key_hash: bytes) -> Receipt | None:
        """What earlier turns have kept under an idempotency key, by its hash."""
        return read_receipt(self._store, self._instance, self._pending, key_hash)

    def keep_receipt(self, key_hash: bytes, receipt: Receipt) -> None:
        """Keep the turn's answer, with what it has written."""
        self._top.receipts = {key_hash: receipt}
        self._top.size_bytes += len(key_hash) + len(receipt.body)
        self.wrote = True

    def take_alarm(self) -> None:
        """Begin to handle the alarm: from now on it is gone for the turn, and `take` clears it with what was written.

        `take_early` leaves it as it is, unless the turn has set another one by then, which takes its place.
        """
        self._taken = b""

    def take(self) -> Changes:
        """What the turn changed so far; the overlay is empty afterwards. Savepoints still open are released.

        Raises:
            StorageFullError: the instance or the disk has no room for it; the overlay is as before.
        """
        while self._below:
            self.release()
        changes = self._top
        if changes.size_bytes:
            self._check_room(changes)
        elif changes.alarm is not None and not self._instance.exists:
            refusal = self._store.quotas.refusal(self._instance)
            if refusal is not None:
                raise refusal
        if self._taken is not None:
            if self._taken:
                self._finish_taken(changes, self._taken)
            else:
                changes.alarm_changed = True
        if self._ended_socket:
            self._end(changes)
        self._top = Changes({})
        return changes

    def take_early(self) -> Changes:
        """What the turn changed so far, to be committed while it goes on; see `take`."""
        taken, self._taken = self._taken, None
        ended, self._ended_socket = self._ended_socket, 0
        try:
            changes = self.take()
        finally:
            self._taken, self._ended_socket = taken, ended
        self._sent = self._sent_bytes = 0
        if taken:
            said = changes.jobs is not None and taken in changes.jobs
        else:
            said = changes.alarm is not None
            changes.alarm_changed = changes.alarm_changed and (said or taken is None)
        if said:
            self._taken = None
        return changes

    # Inside

    def _read(self, key: bytes) -> bytes | None:
        top = self._top
        if key in top.writes:
            return top.writes[key]
        if top.cleared:
            return None
        below, layers = self._below, self._pending.layers
        for changes in reversed(below) if below else ():
            if key in changes.writes:
                return changes.writes[key]
            if changes.cleared:
                return None
        for layer in reversed(layers) if layers else ():
            changes = layer.changes
            if key in changes.writes:
                return changes.writes[key]
            if changes.cleared:
                return None
        return self._store.get(self._instance, key)

    def _read_alarm(self) -> Alarm | None:
        for changes in (self._top, *reversed(self._below)):
            if changes.alarm_changed:
                return changes.alarm
        return None if self._taken == b"" else read_alarm(self._store, self._instance, self._pending)

    def _write(self, key: bytes, value: bytes | None, value_bytes: int) -> None:
        """Put or delete within the limits of the turn."""
        top, limits = self._top, self._limits
        writes = top.writes
        grown = value_bytes
        if key in writes:
            old = writes[key]
            if old is not None:
                grown -= len(old)
        else:
            grown += len(key)
            keys = self._below_keys + len(writes) + 1
            if keys > limits.turn_write_keys_max:
                raise LimitError(
                    f"writing {keys} keys in one turn exceeds the limit of {limits.turn_write_keys_max} keys "
                    f"({self._label})"
                )
        written = self._below_bytes + top.size_bytes + grown
        if written > limits.turn_write_bytes_max and grown > 0:
            raise LimitError(
                f"writing {written} bytes in one turn exceeds the limit of {limits.turn_write_bytes_max} bytes "
                f"(key {_shown(key)}, {self._label})"
            )
        writes[key] = value
        top.size_bytes += grown
        self.wrote = True

    def _too_large(self, key: bytes, value_bytes: int) -> LimitError:
        return LimitError(
            f"value of {value_bytes} bytes for key {_shown(key)} exceeds the limit of "
            f"{self._limits.value_bytes_max} bytes ({self._label})"
        )

    def _check_key(self, key: bytes) -> None:
        key_bytes = len(key)
        if not 0 < key_bytes <= self._limits.key_bytes_max:
            if key_bytes == 0:
                raise LimitError(f"an empty key: a key has 1 to {self._limits.key_bytes_max} bytes ({self._label})")
            raise LimitError(
                f"key of {key_bytes} bytes exceeds the limit of {self._limits.key_bytes_max} bytes ({self._label})"
            )
        if not key.isascii():
            try:
                key.decode()
            except UnicodeDecodeError:
                raise CodecError(f"key {key!r} is not valid UTF-8 ({self._label})") from None
        if key[0] == _RESERVED_FIRST and key.startswith(RESERVED_PREFIX):  # the first byte lets nearly all keys pass
            raise BadRequestError(f"key {_shown(key)}: what starts with __holdfast_ is reserved ({self._label})")

    def _check_room(self, changes: Changes) -> None:
        """First by an upper bound that costs nothing, then by what the changes really add."""
        instance, store = self._instance, self._store
        bound = instance.live_bytes + instance.apart_bytes + self._pending.size_bytes + changes.size_bytes
        if store.refusal(instance, bound) is None:
            return
        merged = Changes()
        for layer in self._pending.layers:
            apply_changes(merged, layer.changes)
        apply_changes(merged, changes)
        stored_bytes = 0 if merged.cleared else instance.live_bytes
        for key, value in merged.writes.items():
            old = None if merged.cleared else store.get(instance, key)
            stored_bytes += (0 if value is None else len(key) + len(value)) - (
                0 if old is None else len(key) + len(old)
            )
        stored_bytes += 0 if merged.erased else instance.apart_bytes
        stored_bytes += sum(len(key) + len(receipt.body) for key, receipt in (merged.receipts or {}).items())
        stored_bytes += row_bytes(merged, instance)
        for id_, job in (merged.jobs or {}).items():
            earlier = None if merged.erased else store.jobs.get(instance, id_)
            stored_bytes += (job.size_bytes if job else 0) - (earlier.size_bytes if earlier else 0)
        refusal = store.refusal(instance, stored_bytes)
        if refusal is not None:
            raise refusal


def _shown(key: bytes) -> str:
    return ascii(key.decode("utf-8", "replace"))
