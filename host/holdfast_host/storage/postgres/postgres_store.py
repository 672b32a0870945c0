"""The Store on PostgreSQL: the shards of one worker over its one connection.

A commit is one statement, sent by the leader and told of later; see `statements` and `link`. Reads of an instance are
answered from its handle, which is loaded when it is first needed. A thread that needs what is not in memory posts the
statement to the leader, gives the leadership up where it has it, and waits: everything goes over the connection that
the commits take, for any other could lead to a primary that was deposed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakValueDictionary

from holdfast_host.core.errors import StorageFullError
from holdfast_host.core.failures import required
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.lmdb.keys import unpack_receipt
from holdfast_host.storage.postgres.arrays import long, number
from holdfast_host.storage.postgres.group_commit import GroupCommit
from holdfast_host.storage.postgres.handles import Handle
from holdfast_host.storage.postgres.jobs import PostgresJobs
from holdfast_host.storage.postgres.link import SILENCE_S, Link, Refusal, Rows
from holdfast_host.storage.postgres.listings import Listings
from holdfast_host.storage.postgres.loading import Loading
from holdfast_host.storage.postgres.owning import Seat, claim, worker_name
from holdfast_host.storage.postgres.schema import NUMBER_BLOCK
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.storage.postgres.shards import OwnedShards
from holdfast_host.storage.postgres.statements import PREPARED
from holdfast_host.storage.postgres.sweeping import Sweeping
from holdfast_host.storage.postgres.transfers import Imports, StoreTransfers
from holdfast_host.storage.store import (
    Alarm,
    Batch,
    CommitReport,
    Leader,
    LoadTogether,
    Receipt,
    SocketRow,
    StorageRoom,
    StoreBrokenError,
    StoredInstance,
)
from holdfast_host.storage.type_quotas import TypeQuotas

if TYPE_CHECKING:
    import psycopg

    from holdfast_host.core.limits import Limits

_RESERVE: Final = NUMBER_BLOCK // 2  # numbers left when the next block is asked for
_LOOK_S: Final = 1.0  # between two looks at whether the connection is gone


class PostgresStore(OwnedShards, Listings, StoreTransfers):
    """What one worker owns; lives as long as the worker. `commit` and what is told are the leader's."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        link: Link,
        seat: Seat,
        limits: Limits,
        address: StoreAddress,
        host: str,
    ) -> None:
        self._connection = connection
        self._link = link
        self._seat = seat
        self._host = host
        self._limits = limits
        self.quotas = TypeQuotas()
        self._replicated = address.durability == "replicated"
        self._address = address
        self._name = str(connection.info.parameter_status("application_name"))
        self._imports = Imports()
        self._placed: WeakValueDictionary[tuple[int, bytes], Handle] = WeakValueDictionary()
        self._placing = threading.Lock()
        self._own([*seat.reached])
        self._numbers = self._block_end = 0
        self._asking_numbers = False
        self._leader: Leader | None = None
        self._group = max((group for _, group in seat.reached.values()), default=1)
        self._recorded = 0  # the group in `reached`, 0 for none
        self._flight: GroupCommit | None = None
        self._loading = Loading(link, self._take_number)
        self._sweeping = Sweeping(self._ask, self._wait, self._find_expired, seat)
        self.jobs = PostgresJobs(self._ask, [*seat.reached], self.place, self._loaded)

    @classmethod
    def open(cls, address: StoreAddress, host: str, host_life: int, worker: int, limits: Limits) -> PostgresStore:
        """Connect, make sure of the server, and claim the worker's seat.

        Raises:
            StoreUnreachableError: nobody answers there now.
            ConfigurationError: the server is not to be used.
            OwnerLostError: the host is not the owner any more.
        """
        warnings: list[str] = []
        connection = connect(address, worker_name(host, worker), warnings.append)
        try:
            seat = claim(connection, host, host_life, worker, lambda: warnings[0] if warnings else None)
            (block,) = connection.execute(PREPARED["numbers"]).fetchone() or (0,)
            for name, statement in PREPARED.items():
                connection.pgconn.prepare(name.encode(), statement.encode())
            link = Link(connection.pgconn)
            connection.add_notice_handler(
                lambda notice: (
                    link.warn(notice.message_primary or "") if notice.severity_nonlocalized == "WARNING" else None
                )
            )
        except BaseException:
            connection.close()
            raise
        store = cls(connection, link, seat, limits, address, host)
        store._numbers, store._block_end = block, block + NUMBER_BLOCK
        return store

    @property
    def settles_later(self) -> bool:
        """A commit is on its way on return, and what was read leaves behind a confirm."""
        return True

    def attach(self, leader: Leader) -> LoadTogether:
        """The connection is this leader's from now on."""
        self._leader = leader
        self._link.attach(leader, leader.broken)
        return lambda instances, told: self._loading.load(cast("Sequence[Handle]", instances), told)

    # Places

    def look_up(self, instance: StoredInstance) -> None:
        """Load all that is stored of the instance, or number a new one."""
        handle = cast("Handle", instance)
        if not handle.number:
            self._wait_for(lambda done: self._loading.load([handle], lambda _: done()))

    def locate(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, looked up."""
        instance = self.place(type_id, name)
        self.look_up(instance)
        return instance

    def _loaded(self, instance: StoredInstance) -> Handle:
        if not instance.number:
            self.look_up(instance)
        return cast("Handle", instance)

    def _take_number(self) -> int:
        """One that nothing was ever under."""
        taken = self._numbers
        if taken >= self._block_end:
            raise StoreBrokenError("the worker has used up its numbers before it was given more")
        self._numbers += 1
        if self._block_end - taken < _RESERVE and not self._asking_numbers:
            self._asking_numbers = True
            self._link.send("numbers", [], self._have_numbers)
        return taken

    def _have_numbers(self, rows: Rows) -> None:
        self._asking_numbers = False
        self._numbers = number(rows[0][0])
        self._block_end = self._numbers + NUMBER_BLOCK

    # Reads of an instance

    def get(self, instance: StoredInstance, key: bytes) -> bytes | None:
        """One value as of the last commit."""
        return self._loaded(instance).keys.get(key)

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
        return self._loaded(instance).scan(start, end, reverse=reverse, entries_max=entries_max, bytes_max=bytes_max)

    def alarm(self, instance: StoredInstance) -> Alarm | None:
        """The instance's alarm as of the last commit."""
        return self._loaded(instance).alarm

    def receipt(self, instance: StoredInstance, key_hash: bytes) -> Receipt | None:
        """The answer that is kept under an idempotency key, by its hash."""
        handle = self._loaded(instance)
        if not handle.receipt_bytes:
            return None
        rows = self._ask("receipt", [long(handle.number), key_hash])
        return unpack_receipt(rows[0][0] or b"") if rows else None

    def socket(self, instance: StoredInstance, socket: int) -> SocketRow | None:
        """One socket of the instance, or its auto response, as of the last commit."""
        return self._loaded(instance).sockets.get(socket)

    def sockets(
        self, instance: StoredInstance, after: int, entries_max: int
    ) -> tuple[list[tuple[int, SocketRow]], int | None]:
        """The instance's sockets after a number, in their order, and the number to go on after."""
        held = self._loaded(instance).sockets
        left = sorted(each for each in held if each > after)
        page = [(each, held[each]) for each in left[:entries_max]]
        return page, page[-1][0] if len(left) > entries_max else None

    def count_keys(self, instance: StoredInstance, after: bytes) -> tuple[int, bytes | None]:
        """How many keys the instance has after one, and None: that is all."""
        return sum(key > after for key in [*self._loaded(instance).keys]), None

    # Room

    def refusal(self, instance: StoredInstance, stored_bytes: int) -> StorageFullError | None:
        """Why the instance may not grow to so many bytes; None where it may, or does not grow."""
        limits = self._limits
        if stored_bytes <= instance.live_bytes + instance.apart_bytes:
            return None
        refusal = self.quotas.refusal(instance)
        if refusal is not None:
            return refusal
        held_bytes = stored_bytes - cast("Handle", instance).receipt_bytes  # but for what this turn keeps of receipts
        for what, size, limit, name in (
            ("storage", stored_bytes, limits.instance_bytes_max, "instance_bytes_max"),
            ("storage held in memory", held_bytes, limits.instance_memory_bytes, "instance_memory_bytes"),
        ):
            if size > limit:
                return StorageFullError(
                    f"{what} of {size} bytes exceeds the limit of {limit} bytes an instance ({name}, instance "
                    f"{instance.name.decode('utf-8', 'replace')!r}): delete keys of it"
                )
        return None

    def room(self) -> StorageRoom:
        """The server's disk is not ours to see. Here a server that has fallen silent is noticed, too."""
        silent_s = self._link.silent_s()
        if silent_s > SILENCE_S:
            self._link.end(f"the store has not answered for {SILENCE_S:g} s")
        return StorageRoom(1 << 62, None, silent_s)

    # Commits

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> None:
        """Send the group, or a confirm where it has no batches; its leader is told.

        Raises:
            StoreBrokenError: the group does not follow the last one.
        """
        if group <= self._group:
            raise StoreBrokenError(f"group {group} does not follow group {self._group}")
        self._group = group
        flight = self._flight = GroupCommit(group, batches, leans, self._take_number, self.refusal, self._imports)
        self._send(flight)

    def _send(self, flight: GroupCommit) -> None:
        """What is next of it: all at once, or after a refusal one instance."""
        seat, name = self._seat, flight.statement
        parameters = [long(seat.seat), long(seat.life)]
        if name != "confirm":
            before = self._recorded if self._recorded != flight.group else 0  # of one whose first piece is written
            parameters += [long(flight.group), long(before), *flight.arrays()]
        self._link.send(
            name, parameters, lambda rows: self._written(flight, rows), lambda refusal: self._refused(flight, refusal)
        )
        if self._replicated:
            self._link.send("names", [], lambda rows: self._named(flight, rows))

    def _written(self, flight: GroupCommit, rows: Rows) -> None:
        if number(rows[0][0]) != 1:
            self._link.end("the store has another owner: nothing was written")
            return
        flight.is_written = True
        if not self._replicated:
            self._go_on(flight)

    def _named(self, flight: GroupCommit, rows: Rows) -> None:
        """Behind a commit: was there a standby to wait for?"""
        if not rows[0][0]:
            self._link.end("synchronous_standby_names of the store is empty: what it says may be on no standby")
            return
        if flight.is_written:
            self._go_on(flight)

    def _go_on(self, flight: GroupCommit) -> None:
        if flight.statement != "confirm":
            self._recorded = flight.group
        for each in flight.written():
            self._sweeping.anything |= each.leaves_garbage
            each.settle()
            if each.staged:
                self._imports.settle(each.staged, each.adopted)
        if flight.take_next():
            self._send(flight)
        else:
            self._end(flight, confirmed=True)

    def _refused(self, flight: GroupCommit, refusal: Refusal) -> None:
        """It was rolled back."""
        if refusal.sqlstate == "25006":
            self._link.end(f"the store takes no writes any more: {refusal.message}")
            return
        flight.refuse(refusal)
        if flight.take_next():
            self._send(flight)
        else:
            self._end(flight, confirmed=False)

    def _end(self, flight: GroupCommit, *, confirmed: bool) -> None:
        self._flight = None
        required(self._leader, "the leader of a store").settled(CommitReport(flight.lost, confirmed=confirmed))

    # Sweeping

    @property
    def has_garbage(self) -> bool:
        """Whether `sweep` has something to do now."""
        return self._sweeping.is_due

    def sweep(self) -> None:
        """Delete a piece of what emptied instances left, or of expired receipts.

        Raises:
            StoreBrokenError: the connection is gone.
        """
        self._sweeping.sweep()

    def _find_expired(self, rows: Rows) -> None:
        """These have lost so many bytes of receipts."""
        self._loading.expiries += bool(rows)
        with self._placing:
            for apart, bytes_, type_id, name in rows:
                handle = self._placed.get((number(type_id), name or b""))
                if handle is not None and handle.number == number(apart):
                    handle.apart_bytes -= number(bytes_)
                    handle.receipt_bytes -= number(bytes_)
                    handle.exists = handle.live_bytes > 0 or handle.apart_bytes > 0 or handle.alarm is not None

    # Waiting

    def _ask(self, statement: str, parameters: Sequence[bytes]) -> Rows:
        """The rows of a statement; any thread but a leader in no section.

        Raises:
            StoreBrokenError: the connection is gone.
        """
        found: list[Rows] = []
        self._wait(statement, parameters, found.append)
        return found[0]

    def _wait(self, statement: str, parameters: Sequence[bytes], told: Callable[[Rows], None]) -> None:
        """Send it; return when the leader has been told of its rows."""

        def begin(done: Callable[[], None]) -> None:
            def answered(rows: Rows) -> None:
                told(rows)
                done()

            self._link.send(statement, parameters, answered)

        self._wait_for(begin)

    def _wait_for(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Have the leader begin it; return when that has called `done()`."""
        leader, link = required(self._leader, "the leader of a store"), self._link
        answered = threading.Event()
        stepped_out = leader.step_out()
        leader.post(lambda: begin(answered.set))
        while not answered.wait(_LOOK_S):
            if link.lost is not None:
                raise link.lost
        if stepped_out:
            leader.step_back()

    def reached(self) -> dict[int, tuple[int, int]]:
        """For each shard its epoch and the last group that a predecessor recorded."""
        return dict(self._seat.reached)

    def close(self) -> None:
        """Close the connection; nothing may be called afterwards."""
        self._connection.close()
