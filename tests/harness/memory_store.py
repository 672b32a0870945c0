"""A Store in memory, for tests: commits can be held back and completed by the test, or made to fail.

It keeps every promise of the protocol but durability, and runs through the same conformance suite as the LMDB one.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, StorageFullError
from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import Limits
from holdfast_host.core.listing_pages import NamePage
from holdfast_host.storage.jobs import DueJob, DuePage, FoundJob, Job
from holdfast_host.storage.leans import NO_LEANS, Leans, lose_what_leans
from holdfast_host.storage.lmdb.keys import has_due_row, index_key, pack_job, pack_receipt
from holdfast_host.storage.lmdb.sockets import pack_socket, socket_key
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    Changes,
    CommitReport,
    Leader,
    LoadTogether,
    Receipt,
    SocketRow,
    StorageRoom,
    StoreBrokenError,
    StoredInstance,
)
from holdfast_host.storage.transfers import ExportedAlarm, ExportedInstance, ExportedJob, ExportedKey, ExportRow
from holdfast_host.storage.type_quotas import TypeQuotas
from holdfast_host.storage.unflushed import change_sockets


@dataclass(slots=True)
class Row:
    """One instance as it is stored."""

    type_id: int
    name: bytes
    number: int
    values: dict[bytes, bytes] = field(default_factory=dict)
    alarm: Alarm | None = None
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    jobs: dict[bytes, Job] = field(default_factory=dict)
    sockets: dict[int, SocketRow] = field(default_factory=dict)

    def copy(self) -> Row:
        """Another one, whose parts may be changed."""
        return replace(
            self,
            values=dict(self.values),
            receipts=dict(self.receipts),
            jobs=dict(self.jobs),
            sockets=dict(self.sockets),
        )

    @property
    def live_bytes(self) -> int:
        return sum(len(key) + len(value) for key, value in self.values.items())

    @property
    def apart_bytes(self) -> int:
        owner = StoredInstance(0, self.type_id, self.name)
        sockets = sum(8 + len(pack_socket(owner, each)) for each in self.sockets.values())
        jobs = sum(len(id_) + len(pack_job(0, each)) for id_, each in self.jobs.items())
        return jobs + sockets + sum(len(key) + len(pack_receipt(each)) for key, each in self.receipts.items())


class MemoryStore:
    """All partitions in one dict. Any thread may read, one commits; the controls are for a thread of the test."""

    def __init__(self, partitions: int = 1, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.quotas = TypeQuotas()
        self._rows: dict[tuple[int, bytes], Row] = {}
        self._imports: dict[str, tuple[tuple[int, bytes], dict[bytes, bytes]]] = {}
        self._placed: WeakValueDictionary[tuple[int, bytes], StoredInstance] = WeakValueDictionary()
        self._reached = dict.fromkeys(range(partitions), (1, 1))
        self._next_number = 1
        self._placing = threading.Lock()
        self._changed = threading.Condition()
        self._holding = False
        self._waiting = 0
        self._permits = 0
        self._breaks: str | None = None
        self._loses: set[bytes] = set()
        self._full = False
        self.groups: list[int] = []  # committed so far, in order
        self.jobs = MemoryJobs(self)

    # The protocol

    @property
    def settles_later(self) -> bool:
        """A commit is there on return."""
        return False

    def attach(self, leader: Leader) -> LoadTogether | None:
        """It needs nothing of its worker."""
        return None

    def place(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, which may have to be looked up yet; reads and writes nothing."""
        with self._placing:
            found = self._placed.get((type_id, name))
            if found is None:
                partition = partition_of(type_id, name, len(self._reached))
                found = self._placed[type_id, name] = StoredInstance(partition, type_id, name)
            return found

    def look_up(self, instance: StoredInstance) -> None:
        """Read what is stored of the instance, or number a new one; before anything else is asked of it."""
        with self._placing:
            if instance.number:
                return
            row = self._rows.get((instance.type_id, instance.name))
            if row is None:
                instance.data_number = instance.number = self._next_number
                self._next_number += 1
            else:
                instance.exists, instance.live_bytes, instance.apart_bytes = True, row.live_bytes, row.apart_bytes
                instance.data_number = instance.number = row.number

    def locate(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, looked up."""
        instance = self.place(type_id, name)
        self.look_up(instance)
        return instance

    def get(self, instance: StoredInstance, key: bytes) -> bytes | None:
        """One value as of the last commit."""
        row = self._rows.get((instance.type_id, instance.name))
        return None if row is None else row.values.get(key)

    def receipt(self, instance: StoredInstance, key_hash: bytes) -> Receipt | None:
        """The answer that is kept under an idempotency key, by its hash; it never expires here."""
        row = self._rows.get((instance.type_id, instance.name))
        return None if row is None else row.receipts.get(key_hash)

    def socket(self, instance: StoredInstance, socket: int) -> SocketRow | None:
        """One socket of the instance, or its auto response, as of the last commit."""
        row = self._rows.get((instance.type_id, instance.name))
        return None if row is None else row.sockets.get(socket)

    def sockets(
        self, instance: StoredInstance, after: int, entries_max: int
    ) -> tuple[list[tuple[int, SocketRow]], int | None]:
        """The instance's sockets after a number, in their order, and the number to go on after."""
        row = self._rows.get((instance.type_id, instance.name))
        left = sorted(each for each in row.sockets.items() if each[0] > after) if row is not None else []
        return left[:entries_max], left[entries_max - 1][0] if len(left) > entries_max else None

    def socket_page(
        self, after: bytes, entries_max: int
    ) -> tuple[list[tuple[StoredInstance, int, SocketRow]], bytes | None]:
        """The sockets of all instances, and the position to go on from; None where that is all."""
        left = sorted(
            (socket_key(row.number, socket), row.type_id, row.name, socket, each)
            for row in list(self._rows.values())
            for socket, each in row.sockets.items()
            if socket_key(row.number, socket) > after
        )
        page = [(self.locate(type_id, name), socket, each) for _, type_id, name, socket, each in left[:entries_max]]
        return page, left[entries_max - 1][0] if len(left) > entries_max else None

    def scan(
        self,
        instance: StoredInstance,
        *,
        start: bytes,
        end: bytes | None,
        reverse: bool,
        entries_max: int,
        bytes_max: int,
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """Pairs with start <= key < end in key order (or against it), and whether that is all there is."""
        row = self._rows.get((instance.type_id, instance.name))
        values = {} if row is None else row.values
        keys = sorted((key for key in values if start <= key and (end is None or key < end)), reverse=reverse)
        pairs: list[tuple[bytes, bytes]] = []
        page_bytes = 0
        for key in keys:
            if pairs and (len(pairs) >= entries_max or page_bytes >= bytes_max):
                return pairs, False
            pairs.append((key, values[key]))
            page_bytes += len(key) + len(values[key])
        return pairs, True

    def alarm(self, instance: StoredInstance) -> Alarm | None:
        """The instance's alarm as of the last commit."""
        row = self._rows.get((instance.type_id, instance.name))
        return None if row is None or row.alarm is None else replace(row.alarm)

    def due_alarms(self, before_us: int, entries_max: int) -> list[tuple[int, StoredInstance]]:
        """The earliest alarms that are due before a time, in due order, with that time."""
        due = sorted(
            (row.alarm.due_us, row.number, row.type_id, row.name)
            for row in list(self._rows.values())
            if row.alarm is not None and has_due_row(row.alarm) and row.alarm.due_us < before_us
        )
        return [(due_us, self.locate(type_id, name)) for due_us, _, type_id, name in due[:entries_max]]

    def parked_alarms(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[StoredInstance]:
        """Some instances of a type whose alarms are parked, without those of these names."""
        names = [
            row.name
            for row in list(self._rows.values())
            if row.type_id == type_id and row.alarm is not None and row.alarm.state == "parked" and row.name not in but
        ]
        return [self.locate(type_id, name) for name in names[:entries_max]]

    def alarm_page(
        self, state: str, after: bytes, entries_max: int
    ) -> tuple[list[tuple[int, bytes, Alarm]], bytes | None]:
        """Type, name and alarm of those in a state, and the position to go on from; None where that is all."""
        rows = sorted(
            (index_key(row.alarm, row.type_id, row.number), row.type_id, row.name, replace(row.alarm))
            for row in list(self._rows.values())
            if row.alarm is not None and row.alarm.state == state
        )
        left = [row for row in rows if row[0] > after]
        page = [row[1:] for row in left[:entries_max]]
        return page, left[entries_max - 1][0] if len(left) > entries_max else None

    def instances(self, type_id: int, prefix: bytes, after: bytes, entries_max: int) -> NamePage:
        """Name and live bytes of a type's instances in name order, and the name to go on after."""
        rows = sorted(
            (row.name, row.live_bytes)
            for row in list(self._rows.values())
            if row.type_id == type_id and row.name.startswith(prefix) and row.name > after
        )
        return NamePage(rows[:entries_max], rows[entries_max - 1][0] if len(rows) > entries_max else None)

    def count_keys(self, instance: StoredInstance, after: bytes) -> tuple[int, bytes | None]:
        """How many keys the instance has after one, and the key to go on after."""
        row = self._rows.get((instance.type_id, instance.name))
        return 0 if row is None else sum(key > after for key in row.values), None

    def export(self, type_id: int, name: bytes | None, prefix: bytes) -> MemoryExport:
        """What is committed now: one instance with its alarm and jobs; or all of a type whose names begin so."""
        rows = [
            row.copy()
            for row in sorted(self._rows.values(), key=lambda row: row.name)
            if row.type_id == type_id and (row.name.startswith(prefix) if name is None else row.name == name)
        ]
        return MemoryExport(rows, name is not None)

    def begin_import(self, instance: StoredInstance) -> str:
        """Make room beside the instance for what it may adopt; the import's id."""
        import_id = f"import {len(self._imports) + self._next_number}"
        self._next_number += 1
        self._imports[import_id] = ((instance.type_id, instance.name), {})
        return import_id

    def staged_keys(self, instance: StoredInstance, import_id: str) -> int:
        """How many keys the import has brought, as of the last commit; HostUnavailableError where it has ended."""
        return len(self._import(instance, import_id))

    def end_import(self, instance: StoredInstance, import_id: str) -> None:
        """Give it up: what it has brought goes."""
        self._imports.pop(import_id, None)

    def end_idle_imports(self, idle_s: float) -> bool:
        """None is idle here; whether some are under way."""
        return bool(self._imports)

    def _import(self, instance: StoredInstance, import_id: str) -> dict[bytes, bytes]:
        owner, brought = self._imports.get(import_id, (None, {}))
        if owner != (instance.type_id, instance.name):
            raise HostUnavailableError(f"the import into {instance.name!r} has ended: begin again")
        return brought

    def refusal(self, instance: StoredInstance, stored_bytes: int) -> StorageFullError | None:
        """Why the instance may not grow to so many bytes; None where it may, or does not grow."""
        if stored_bytes <= instance.live_bytes + instance.apart_bytes:
            return None
        refusal = self.quotas.refusal(instance)
        if refusal is not None:
            return refusal
        limit = self._limits.instance_bytes_max
        if stored_bytes > limit:
            return StorageFullError(f"storage of {stored_bytes} bytes exceeds the limit of {limit} bytes an instance")
        return StorageFullError("the store is full: the test said so") if self._full else None

    def room(self) -> StorageRoom:
        """Endless, until the test says that it is full."""
        return StorageRoom(0, "the test wants it full") if self._full else StorageRoom(1 << 60, None)

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        """Apply all batches; waits first while the test holds commits back."""
        report = CommitReport()
        with self._changed:
            self._wait_for_test()
            if self._breaks is not None:
                raise StoreBrokenError(self._breaks)
            by_instance: dict[int, list[Batch]] = {}
            for batch in batches:
                by_instance.setdefault(id(batch.instance), []).append(batch)
            for partition in {batch.instance.partition for batch in batches}:
                epoch, reached = self._reached[partition]
                if group <= reached:
                    raise StoreBrokenError(f"group {group} does not follow group {reached}")
                self._reached[partition] = (epoch, group)
            report.lost = lose_what_leans(by_instance, leans, lambda number: self._apply(by_instance[number]))
            self._loses.clear()
            self.groups.append(group)
        return report

    @property
    def has_garbage(self) -> bool:
        """Whether `sweep` has something to do now: what is deleted here is gone at once."""
        return False

    def sweep(self) -> None:
        """Nothing to delete."""

    def reached(self) -> dict[int, tuple[int, int]]:
        """For each partition its epoch and the last group recorded in it."""
        return dict(self._reached)

    def close(self) -> None:
        """Nothing to close; the rows stay readable for the test."""

    # The test's controls

    def hold(self) -> None:
        """From now on commits wait, each for one `complete`."""
        with self._changed:
            self._holding = True

    def wait_held(self, timeout_s: float = 10.0) -> None:
        """Return when a commit waits; TimeoutError after the time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting > 0, timeout_s):
                raise TimeoutError("no commit is waiting")

    def complete(self) -> None:
        """Let one held commit go on; one that has not come yet finds the permit."""
        with self._changed:
            self._permits += 1
            self._changed.notify_all()

    def let_go(self) -> None:
        """Hold nothing back any more."""
        with self._changed:
            self._holding = False
            self._changed.notify_all()

    def break_next(self, reason: str = "the sync failed") -> None:
        """The next commit, and every one after it, raises StoreBrokenError."""
        with self._changed:
            self._breaks = reason

    def lose_next(self, names: Iterable[bytes]) -> None:
        """In the next commit, the instances of these names are lost with StorageFullError."""
        with self._changed:
            self._loses = set(names)

    def fill(self, full: bool = True) -> None:
        """Refuse every growth, or do so no more."""
        self._full = full

    # Inside

    def _wait_for_test(self) -> None:
        if not self._holding:
            return
        self._waiting += 1
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._permits > 0 or not self._holding)
        self._waiting -= 1
        if self._holding:
            self._permits -= 1

    def _apply(self, batches: list[Batch]) -> HoldfastError | None:
        """All batches of one instance, or none."""
        instance = batches[0].instance
        if instance.name in self._loses:
            return StorageFullError(f"no room for {instance.name!r}: the test said so")
        place = (instance.type_id, instance.name)
        old = self._rows.get(place)
        row = Row(instance.type_id, instance.name, instance.number) if old is None else old.copy()
        staged: dict[str, dict[bytes, bytes]] = {}
        for batch in batches:
            staging = batch.changes.staging
            if staging is None:
                _apply_to(row, batch.changes)
                continue
            try:
                brought = staged.setdefault(staging.id, dict(self._import(instance, staging.id)))
            except HostUnavailableError as error:
                return error
            brought |= staging.rows
            if staging.adopts:
                _apply_to(row, replace(batch.changes, writes=dict(brought)))
            refusal = self.refusal(StoredInstance(0, 0, b""), sum(len(key) + len(brought[key]) for key in brought))
            if refusal is not None:
                return refusal
        live_bytes, apart_bytes = row.live_bytes, row.apart_bytes
        refusal = self.refusal(instance, live_bytes + apart_bytes)
        if refusal is not None:
            return refusal
        for import_id, brought in staged.items():
            self._imports[import_id] = (place, brought)
        for staging in (batch.changes.staging for batch in batches):
            if staging is not None and staging.adopts:
                del self._imports[staging.id]
        instance.live_bytes, instance.apart_bytes = live_bytes, apart_bytes
        instance.exists = bool(row.values or row.receipts or row.jobs or row.sockets) or row.alarm is not None
        if instance.exists:
            self._rows[place] = row
        else:
            self._rows.pop(place, None)
        return None


class MemoryExport:
    """What there was when it was made; a page has two rows."""

    def __init__(self, rows: list[Row], with_apart: bool) -> None:
        self._left: list[ExportRow] = []
        for row in rows:
            self._left.append(ExportedInstance(row.name, row.live_bytes))
            self._left += [ExportedKey(*each) for each in sorted(row.values.items())]
            if with_apart and row.alarm is not None:
                self._left.append(ExportedAlarm(row.alarm))
            self._left += [ExportedJob(*each) for each in sorted(row.jobs.items()) if with_apart]

    def step(self, bytes_max: int, longest_s: float) -> list[ExportRow]:
        """The next two rows; none where that was all."""
        page, self._left = self._left[:2], self._left[2:]
        return page

    def close(self) -> None:
        """Nothing is held."""


def _apply_to(row: Row, changes: Changes) -> None:
    if changes.cleared:
        row.values.clear()
    for key, value in changes.writes.items():
        if value is None:
            row.values.pop(key, None)
        else:
            row.values[key] = value
    if changes.erased:
        row.receipts.clear()
        row.jobs.clear()
    row.receipts |= changes.receipts or {}
    change_sockets(row.sockets, changes)
    for id_, job in (changes.jobs or {}).items():
        if job is None:
            row.jobs.pop(id_, None)
        else:
            row.jobs[id_] = job
    if changes.alarm_changed:
        row.alarm = None if changes.alarm is None else replace(changes.alarm)


class MemoryJobs:
    """The jobs of a MemoryStore."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def get(self, instance: StoredInstance, id_: bytes) -> Job | None:
        """One job."""
        return self._of(instance).get(id_)

    def page(
        self, instance: StoredInstance, after: bytes, prefix: bytes, entries_max: int
    ) -> tuple[list[tuple[bytes, Job]], bool]:
        """Jobs of an instance in the order of their ids, and whether that is all."""
        found = sorted(each for each in self._of(instance).items() if each[0] > after and each[0].startswith(prefix))
        return found[:entries_max], len(found) <= entries_max

    def count(self, instance: StoredInstance) -> int:
        """How many an instance has."""
        return len(self._of(instance))

    def due(
        self, pool: str, positions: Mapping[int, tuple[int, int, bytes]], before_us: int, entries_max: int
    ) -> DuePage:
        """Those that are due before a time, from those positions on."""
        rows: list[DueJob] = []
        reached: dict[int, tuple[int, int, bytes]] = {}
        is_all = True
        for partition in self._store.reached():
            own = sorted(
                (job.due_us, row.number, id_, row.type_id, row.name)
                for row in list(self._store._rows.values())
                for id_, job in row.jobs.items()
                if job.is_due_sometime and job.pool == pool and job.due_us < before_us
                if self._store.place(row.type_id, row.name).partition == partition
                if (job.due_us, row.number, id_) > positions.get(partition, (-1, 0, b""))
            )
            page = own[:entries_max]
            rows += [DueJob(due_us, self._store.locate(type_id, name), id_) for due_us, _, id_, type_id, name in page]
            reached[partition] = (before_us, 0, b"") if len(own) == len(page) else page[-1][:3]
            is_all = is_all and len(own) == len(page)
        return DuePage(sorted(rows, key=lambda row: row.due_us), reached, is_all)

    def due_of(
        self, instance: StoredInstance, pool: str, before_us: int, but: Collection[bytes], entries_max: int
    ) -> tuple[list[DueJob], bool]:
        """Some of one instance that are due before a time, but for those ids; and whether that is all."""
        found = [
            DueJob(job.due_us, instance, id_)
            for id_, job in sorted(self._of(instance).items(), key=lambda each: each[0])
            if job.is_due_sometime and job.pool == pool and job.due_us < before_us and id_ not in but
        ]
        return found[:entries_max], len(found) <= entries_max

    def parked(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[tuple[StoredInstance, bytes]]:
        """Some parked jobs of a type, without those of the instances of these names."""
        all_of_it = [each for each in self._all() if each.job.state == "parked" and each.type_id == type_id]
        found = [each for each in all_of_it if each.name not in but]
        return [(self._store.locate(type_id, each.name), each.id) for each in found[:entries_max]]

    def listing(self, state: str, after: bytes, entries_max: int) -> tuple[list[FoundJob], bytes | None]:
        """Those in a state, and the position to go on from."""
        found = sorted((each for each in self._all() if each.job.state == state), key=lambda each: each.id)
        left = [each for each in found if each.id > after]
        return left[:entries_max], left[entries_max - 1].id if len(left) > entries_max else None

    def _of(self, instance: StoredInstance) -> dict[bytes, Job]:
        row = self._store._rows.get((instance.type_id, instance.name))
        return {} if row is None else row.jobs

    def _all(self) -> list[FoundJob]:
        return [
            FoundJob(row.type_id, row.name, id_, job)
            for row in list(self._store._rows.values())
            for id_, job in row.jobs.items()
        ]
