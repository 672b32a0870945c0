"""The Store protocol: what a worker needs of durable storage, and nothing else.

A store is opened by exactly one process. `commit` belongs to the leader; reads may come from any thread that runs a
turn, each for one call. There are two kinds. One has its files for itself: a commit is durable on return. The other is
a server's, where another process may take the place of ours at any moment: there a commit *settles later*, and what was
read may be the past until a commit that began after the read has come back: see `worker.commits.confirming_gate`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from holdfast_host.core.errors import HoldfastError, StorageFullError
from holdfast_host.core.listing_pages import NamePage
from holdfast_host.storage.jobs import Job, StoredJobs
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.transfers import Export, Staging
from holdfast_host.storage.type_quotas import TypeQuotas
from holdfast_host.wire.sockets.frames import Frame


@dataclass(slots=True, eq=False, weakref_slot=True)
class StoredInstance:
    """An instance's place on disk. One object per instance in memory; the entry owns it, the store knows it weakly.

    `number` is given by `look_up`, 0 before; it is written with the first commit and never used again. `exists` (it has
    a key, an alarm, a job, a receipt or a socket), `live_bytes` (keys and values), `apart_bytes` (those three) and
    `data_number` (what its keys are stored under) are as of the last commit, once it was looked up; only `commit` and
    `sweep` change them.
    """

    partition: int
    type_id: int
    name: bytes
    number: int = 0
    exists: bool = False
    live_bytes: int = 0
    data_number: int = 0  # its own number, until so many keys were deleted at once that they are swept later
    apart_bytes: int = 0


@dataclass(slots=True)
class Alarm:
    """The one durable timer of an instance."""

    due_us: int  # Unix time in microseconds
    retry_count: int = 0
    scheduled_us: int = 0  # what the guest asked for; `due_us` moves with retries
    state: str = "armed"  # armed, retrying, abandoned, parked
    last_error: str = ""
    begun: bool = False  # an attempt has begun whose end is not recorded: if its worker is gone, it died in it
    killed: bool = False  # the last attempt ended with its worker's death
    trace: bytes = b""  # of the turn that set it, where that was recorded, see wire.trace_context


EXPIRES_MAX_S: Final = (1 << 32) - 1  # what a row can say: the year 2106


class Receipt(NamedTuple):
    """The answer of a call that was made under an idempotency key, kept to be given again."""

    expires_s: int  # Unix time in seconds; it answers until it is swept, some time after
    status: int  # as a REPLY has it
    fingerprint: bytes  # 16 bytes of what was called, with what: see wire.idempotency
    body: bytes


class Ending(NamedTuple):
    """How a socket was closed, where `socket_close` has not run to its end yet."""

    code: int
    reason: str
    clean: bool
    broke: bool = False  # it broke a rule, or was cut: `socket_error` is to be told, where there is one
    tries: int = 0  # that failed
    begun: bool = False  # as an alarm's marks
    killed: bool = False


class SocketRow(NamedTuple):
    """A client's connection that an instance accepted; under number 0 the instance's auto response."""

    opened_us: int  # Unix time in microseconds
    events: bool = False  # an event stream, which only listens
    closed: bool = False  # by the instance: it is not listed any more
    tags: bytes = b""  # each between two NULs; of an auto response the text that it answers to
    protocol: bytes = b""
    attachment: bytes = b""  # encoded as values are; of an auto response what it answers
    ending: Ending | None = None
    trace: bytes = b""  # of the turn that accepted it, as an alarm's

    @property
    def marks(self) -> int:
        """SOCKET_EVENTS, SOCKET_CLOSED and SOCKET_ENDS: what is asked of each of a crowd."""
        return self.events * SOCKET_EVENTS | self.closed * SOCKET_CLOSED | (self.ending is not None) * SOCKET_ENDS

    def read(self) -> SocketRow:
        """The row with all its parts at hand: for who asks for several of one that a page has brought."""
        return self


SOCKET_EVENTS, SOCKET_CLOSED, SOCKET_ENDS = 1, 2, 4
AUTO_RESPONSE: Final = 0  # in place of a socket's number


@dataclass(slots=True)
class Changes:
    """What a turn changes, in one atomic piece.

    `cleared` comes first (all keys of the instance go), then `writes`; a value of None deletes the key. `erased` takes
    the receipts, jobs and sockets that were there before, then those of `receipts` are added, by the hash of their key
    (16 bytes), those of `jobs`, by their ids, and those of `sockets`, by their number; None takes one away. `sends` are
    not stored: they leave when all else is durable, in their order, each to the sockets beside it, and a turn that has
    nothing else makes no batch. With `staging` there are no `writes`; where it adopts, all of `cleared` and `erased`
    comes first, then what it brings.
    """

    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    cleared: bool = False
    alarm: Alarm | None = None
    alarm_changed: bool = False
    size_bytes: int = 0  # keys and values of `writes`, receipts, jobs, sockets with their keys, for a group's bound
    receipts: dict[bytes, Receipt] | None = None
    erased: bool = False
    jobs: dict[bytes, Job | None] | None = None
    sockets: dict[int, SocketRow | None] | None = None
    sends: list[tuple[Frame, Collection[int]]] | None = None
    staging: Staging | None = None

    def __bool__(self) -> bool:
        """True when there is anything to commit."""
        if self.writes or self.cleared or self.alarm_changed:
            return True
        if self.receipts is not None or self.jobs is not None or self.sockets is not None:
            return True
        return self.erased or self.staging is not None


@dataclass(slots=True)
class Batch:
    """The changes of one turn of one instance; an instance may have several in a group, in turn order."""

    instance: StoredInstance
    changes: Changes


@dataclass(slots=True)
class CommitReport:
    """What became of a group that is durable now: `lost` names the instances none of whose batches were committed."""

    lost: dict[int, HoldfastError] = field(default_factory=dict)  # by id() of the StoredInstance
    confirmed: bool = True  # of a store that confirms: what was read before the commit began was no past


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """What room a store has: free bytes of the disk, and why nothing may grow where that is so.

    `silent_s`: for how long one that is asked from afar has not answered what it was asked first.
    """

    disk_free_bytes: int
    shortage: str | None
    silent_s: float = 0.0


class StoreBrokenError(Exception):
    """A sync failed, or the store belongs to a successor: nothing more may be committed or answered as done."""


class OwnerLostError(StoreBrokenError):
    """The connection to the store is gone, or the store has another owner: only a successor can know what is committed.

    Nobody is answered: what a call is told follows from its word on the state page, and from what the successor finds.
    """


class TakenOverError(OwnerLostError):
    """The store belongs to another host: a successor of ours would own nothing."""


class Leader(Protocol):
    """What a store that settles later needs of the worker that it belongs to."""

    def post(self, action: Callable[[], None]) -> None:
        """Have the leader run it soon; any thread."""

    def step_out(self) -> bool:
        """A read is about to wait: another thread leads meanwhile, where this one does. Whether `step_back` follows."""

    def step_back(self) -> None:
        """The read is there."""

    def watch(self, fd: int, ready: Callable[[int], None]) -> None:
        """Have the leader call `ready(events)` when the descriptor is readable; before anybody leads."""

    def watch_writing(self, fd: int, *, writing: bool) -> None:
        """And when it is writable, from now on or no more; the leader's."""

    def settled(self, report: CommitReport) -> None:
        """The commit in flight is durable, but for what the report says; the leader's."""

    def broken(self, error: StoreBrokenError) -> None:
        """Nothing more can be committed or read: the worker ends; any thread."""


# Reads all of them as `look_up` does each, and calls `told(instance)` once that is there; the leader's, in no section.
LoadTogether = Callable[[Sequence[StoredInstance], Callable[[StoredInstance], None]], None]


class Store(Protocol):
    """Durable storage of the partitions that one worker owns."""

    @property
    def jobs(self) -> StoredJobs:
        """What is read of jobs."""

    @property
    def settles_later(self) -> bool:
        """Whether `commit` returns before the group is durable, and the store confirms; never changes."""

    def attach(self, leader: Leader) -> LoadTogether | None:
        """Give a store that settles later what it needs of its worker; before anything is read or committed.

        Returns how several instances are read in one question, where that is cheaper than one after the other.
        """

    def place(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, which may have to be looked up yet; reads and writes nothing.

        As long as anybody holds the object it is the same one for every caller.
        """

    def look_up(self, instance: StoredInstance) -> None:
        """Read what is stored of the instance, or number a new one, before anything else is asked; writes nothing.

        One short read, which no other instance's waits for; where it was looked up already nothing happens.
        """

    def locate(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, looked up."""

    def get(self, instance: StoredInstance, key: bytes) -> bytes | None:
        """One value as of the last commit."""

    def receipt(self, instance: StoredInstance, key_hash: bytes) -> Receipt | None:
        """The answer that is kept under an idempotency key, by its hash, as of the last commit or sweep."""

    def socket(self, instance: StoredInstance, socket: int) -> SocketRow | None:
        """One socket of the instance, or under AUTO_RESPONSE its auto response, as of the last commit."""

    def sockets(
        self, instance: StoredInstance, after: int, entries_max: int
    ) -> tuple[list[tuple[int, SocketRow]], int | None]:
        """The instance's sockets after a number, in their order, and the number to go on after; None where that is all.

        One short read transaction: a page that is not the last may be short.
        """

    def socket_page(
        self, after: bytes, entries_max: int
    ) -> tuple[list[tuple[StoredInstance, int, SocketRow]], bytes | None]:
        """The sockets of all instances, each behind the auto response, and the position to go on from; None for all.

        `after` is such a position, or empty for the first page. One short read transaction, as `sockets`.
        """

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
        """Pairs with start <= key < end in key order (or against it), and whether that is all there is.

        One short read transaction: at most `entries_max` pairs, no further pair once `bytes_max` is reached or the
        time of a page is over; at least one pair where there is any. Go on from the last key.
        """

    def alarm(self, instance: StoredInstance) -> Alarm | None:
        """The instance's alarm as of the last commit."""

    def due_alarms(self, before_us: int, entries_max: int) -> list[tuple[int, StoredInstance]]:
        """The earliest alarms that are due before a time, in due order, with that time."""

    def parked_alarms(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[StoredInstance]:
        """Some instances of a type whose alarms are parked, without those of these names."""

    def alarm_page(
        self, state: str, after: bytes, entries_max: int
    ) -> tuple[list[tuple[int, bytes, Alarm]], bytes | None]:
        """Type, name and alarm of those in a state, and the position to go on from; None where that is all.

        `after` is such a position, or empty for the first page. Armed and retrying alarms come in due order, partition
        by partition. One short read transaction: a page that is not the last may be short, even empty.
        """

    def instances(self, type_id: int, prefix: bytes, after: bytes, entries_max: int) -> NamePage:
        """Name and live bytes of a type's instances that exist, in the order of the names' bytes.

        Those whose names begin with `prefix` and come after `after` (empty: from the first), and the name to go on
        after; None where that is all. Short read transactions: a page that is not the last may be short.
        """

    def count_keys(self, instance: StoredInstance, after: bytes) -> tuple[int, bytes | None]:
        """How many keys the instance has after one (empty: from the first), as far as one short read transaction goes.

        The second is the key to go on after; None where that is all.
        """

    def export(self, type_id: int, name: bytes | None, prefix: bytes) -> Export:
        """What is committed now: one instance with its alarm and jobs; or all of a type whose names begin so.

        Whoever has it closes it: until then the files grow by what is written.
        """

    def begin_import(self, instance: StoredInstance) -> str:
        """Make room beside the instance for what it may adopt, see Staging; the import's id. Writes nothing."""

    def staged_keys(self, instance: StoredInstance, import_id: str) -> int:
        """How many keys the import has brought, as of the last commit; HostUnavailableError where it has ended."""

    def end_import(self, instance: StoredInstance, import_id: str) -> None:
        """Give it up: what it has brought goes. Nothing happens where there is none of that id."""

    def end_idle_imports(self, idle_s: float) -> bool:
        """Give up those that nobody has gone on with for so long; whether others are under way."""

    def refusal(self, instance: StoredInstance, stored_bytes: int) -> StorageFullError | None:
        """Why the instance may not grow to so many bytes, live and apart; None where it may, or does not grow.

        Cheap where it may: it reads what the last commits have measured. Where it may not, the disk is asked again.
        `commit` asks the same again with exact figures.
        """

    @property
    def quotas(self) -> TypeQuotas:
        """Which types may not grow, for their tenant's sake; `refusal` and `commit` ask them."""

    def room(self) -> StorageRoom:
        """What room there is now, as of a second ago at most; any thread."""

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport | None:
        """Write all batches in one transaction a partition, with the group's number; durable on return.

        A store that settles later returns None and tells its leader (`Leader.settled`, `Leader.broken`); until then no
        other commit is begun. There a group without batches is a confirm, and records no number.

        Group numbers grow. What does not fit on the disk, in the map or in an instance's quota is lost, instance by
        instance, and reported, and with it what leans on it; everything else is durable all the same. An instance
        leans only on others of its partition: whatever happens, it is never durable without them.

        Raises:
            StoreBrokenError: the outcome is unknown, or the epoch is not ours; the worker must end.
        """

    @property
    def has_garbage(self) -> bool:
        """Whether `sweep` has something to do now: never for long after one that found no room. Cheap; any thread."""

    def sweep(self) -> None:
        """Delete a piece of what cleared instances left and of expired receipts, in a commit that records no group.

        Where there is no room to delete in, nothing is deleted and it will be tried again. Never while a `commit` runs:
        what that clears may still be read.

        Raises:
            StoreBrokenError: as `commit`.
        """

    def reached(self) -> dict[int, tuple[int, int]]:
        """For each partition its epoch and the last group recorded in it."""

    def close(self) -> None:
        """Close; nothing may be called afterwards."""
