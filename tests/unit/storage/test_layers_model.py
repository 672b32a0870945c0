"""Overlay over pending over store, against one dict: whatever turns, groups, losses and restarts come in between."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.failures import required
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.jobs import Job
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.socket_changes import row_bytes
from holdfast_host.storage.store import Batch, Ending, SocketRow, Store, StoredInstance
from holdfast_host.storage.unflushed import Pending
from holdfast_host.wire.calls.trace_context import CONTEXT_BYTES
from holdfast_host.wire.sockets.frames import Send
from tests.harness.memory_store import MemoryStore
from tests.harness.partitions import faults_of, rows_of, sweep_all

LIMITS = Limits(
    map_bytes=16 * MIB,
    disk_reserve_bytes=0,
    page_entries_max=5,
    page_bytes_max=60,
    value_bytes_max=30,
    delete_rows_max=2,
)

TEXTS = ["a", "aa", "ab", "b", "b\0", "c", "é", "名", "名前", "\U0010ffff"]
keys = st.sampled_from([text.encode() for text in TEXTS])
bounds = st.none() | keys
values = st.integers(1, 30).flatmap(lambda size: st.binary(min_size=size, max_size=size))
endings = st.builds(Ending, st.integers(0, 9), st.text(max_size=3), st.booleans(), tries=st.integers(0, 3))
texts = st.just(b"") | values
traces = st.just(b"") | st.binary(min_size=CONTEXT_BYTES, max_size=CONTEXT_BYTES)
rows = st.builds(
    SocketRow, st.integers(0, 9), st.booleans(), st.booleans(), values, texts, texts, st.none() | endings, traces
)


@dataclass
class Model:
    """What the instance holds, as one turn sees it."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    alarm_us: int | None = None
    jobs: dict[str, int] = field(default_factory=dict)  # when they are due, by their keys
    sockets: dict[int, SocketRow] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)  # by the turn so far

    def copy(self) -> Model:
        return Model(dict(self.values), self.alarm_us, dict(self.jobs), dict(self.sockets), list(self.sent))


class Layers(RuleBasedStateMachine):
    """One instance between two neighbours; two groups at most are not settled."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending()
        self.group = 2
        self.current: list[Batch] = []
        self.flight: list[Batch] | None = None
        self.flight_group = 0
        self.flight_written = False
        # The same instance at four moments: durable, as the flight will leave it, when the turn began, and now.
        self.durable = Model()
        self.flown = Model()
        self.begun = Model()
        self.now = Model()
        self.savepoints: list[Model] = []
        self.numbers: list[int] = []  # of those savepoints
        self.used: set[int] = set()

    @initialize()
    def begin(self) -> None:
        self.store = self.open()
        neighbours = [self.store.locate(1, b"left")]
        self.locate()
        neighbours.append(self.store.locate(1, b"right"))
        for neighbour in neighbours:
            overlay = Overlay(self.store, neighbour, Pending(), LIMITS, "T/neighbour")
            overlay.put(b"b", b"theirs")
            self.store.commit(self.group, [Batch(neighbour, overlay.take())])
            self.group += 1

    def open(self) -> Store:
        raise NotImplementedError

    def locate(self) -> None:
        self.stored: StoredInstance = self.store.locate(1, b"mid")
        self.overlay = Overlay(self.store, self.stored, self.pending, LIMITS, "T/mid")

    def next_turn(self, model: Model) -> None:
        self.overlay = Overlay(self.store, self.stored, self.pending, LIMITS, "T/mid")
        self.begun, self.now, self.savepoints, self.numbers = model, model.copy(), [], []

    # What a guest does

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        self.overlay.put(key, value)
        self.now.values[key] = value

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        assert self.overlay.delete(key) == (self.now.values.pop(key, None) is not None)

    @rule()
    def delete_all(self) -> None:
        self.overlay.delete_all()
        self.now.values.clear()

    @rule(due_us=st.none() | st.integers(0, 1 << 60))
    def change_alarm(self, due_us: int | None) -> None:
        if due_us is None:
            self.overlay.delete_alarm()
        else:
            self.overlay.set_alarm(due_us)
        self.now.alarm_us = due_us

    @rule(number=st.integers(0, 3), row=st.none() | rows)
    def change_socket(self, number: int, row: SocketRow | None) -> None:
        self.overlay.put_socket(number, row)
        self.now.sockets.pop(number, None)
        if row is not None:
            self.now.sockets[number] = row

    @rule(number=st.integers(1, 3))
    def send(self, number: int) -> None:
        self.overlay.send(Send(0, (), b"%d" % number), (number,), 1)
        self.now.sent.append(number)

    @rule(key=st.sampled_from("xyz"), due_us=st.none() | st.integers(0, 99))
    def change_job(self, key: str, due_us: int | None) -> None:
        if due_us is None:
            assert self.overlay.cancel_job_of_key(key) == (self.now.jobs.pop(key, None) is not None)
        else:
            self.overlay.put_job(Job("run", due_us, key=key))
            self.now.jobs[key] = due_us

    @rule()
    def savepoint(self) -> None:
        self.numbers.append(self.overlay.savepoint())
        assert self.numbers[-1] not in self.used
        self.used.add(self.numbers[-1])
        self.savepoints.append(self.now.copy())

    @precondition(lambda self: self.savepoints)
    @rule()
    def release(self) -> None:
        self.overlay.release()
        self.savepoints.pop()
        self.numbers.pop()

    @precondition(lambda self: self.savepoints)
    @rule()
    def rollback(self) -> None:
        self.overlay.rollback()
        self.now = self.savepoints.pop()
        self.numbers.pop()

    @precondition(lambda self: self.savepoints)
    @rule(outermost=st.integers(0, 3), undo=st.booleans())
    def end_by_number(self, outermost: int, undo: bool) -> None:
        depth = min(outermost, len(self.savepoints) - 1)
        if undo:
            self.overlay.rollback_savepoint(self.numbers[depth])
            self.now = self.savepoints[depth]
        else:
            self.overlay.release_savepoint(self.numbers[depth])
        del self.savepoints[depth:], self.numbers[depth:]

    @rule(number=st.integers(-1, 60))
    def end_what_is_not_open(self, number: int) -> None:
        if number in self.numbers:
            return
        for end in (self.overlay.release_savepoint, self.overlay.rollback_savepoint):
            with pytest.raises(BadRequestError, match=f"of savepoint {number}, which is not open"):
                end(number)

    @rule(
        prefix=st.just(b"") | keys,
        begin=st.tuples(bounds, st.none()) | st.tuples(st.none(), bounds),  # both at once are refused
        end=bounds,
        reverse=st.booleans(),
        limit=st.integers(1, 5),
    )
    def list_page(
        self,
        prefix: bytes,
        begin: tuple[bytes | None, bytes | None],
        end: bytes | None,
        reverse: bool,
        limit: int,
    ) -> None:
        start, start_after = begin
        expected: list[tuple[bytes, bytes]] = []
        following: bytes | None = None
        for key in sorted(self.now.values, reverse=reverse):
            if not key.startswith(prefix) or len(expected) >= limit:
                continue
            if (start is not None and key < start) or (start_after is not None and key <= start_after):
                continue
            if end is not None and key >= end:
                continue
            pair = (key, self.now.values[key])
            if expected and sum(len(k) + len(v) for k, v in [*expected, pair]) > LIMITS.page_bytes_max:
                following = key
                break
            expected.append(pair)

        assert self.overlay.list(prefix, start, start_after, end, reverse, limit) == (expected, following)

    # What a worker does

    @rule()
    def end_turn(self) -> None:
        changes = self.overlay.take()
        written = sum(len(key) + len(value or b"") for key, value in changes.writes.items())
        if changes.sockets is None and changes.jobs is None:
            assert changes.size_bytes == written
        else:
            assert changes.size_bytes >= written + row_bytes(changes, self.stored)
        assert [number for _, [number] in changes.sends or ()] == self.now.sent
        self.now.sent.clear()
        if changes:
            self.current.append(Batch(self.stored, changes))
            self.pending.add(changes, self.flight_group + 1 if self.flight is not None else self.group)
        self.next_turn(self.now)

    @rule()
    def fail_turn(self) -> None:
        self.next_turn(self.begun)

    @precondition(lambda self: self.flight is None and self.current)
    @rule()
    def take_off(self) -> None:
        self.flight, self.flight_group, self.flight_written = self.current, self.group, False
        self.current = []
        self.group += 1
        self.flown = self.begun.copy()

    @precondition(lambda self: self.flight is not None and not self.flight_written)
    @rule()
    def commit(self) -> None:
        assert self.flight is not None
        assert not required(self.store.commit(self.flight_group, self.flight), "a report").lost
        self.flight_written = True
        self.durable = self.flown

    @precondition(lambda self: self.flight_written)
    @rule()
    def settle(self) -> None:
        self.pending.settle(self.flight_group)
        self.flight, self.flight_written = None, False

    @precondition(lambda self: not self.flight_written)
    @rule()
    def lose(self) -> None:
        self.flight, self.current = None, []
        self.pending.clear()
        self.next_turn(self.durable.copy())

    # What must hold

    @invariant()
    def reads_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        for text in TEXTS:
            assert self.overlay.get(text.encode()) == self.now.values.get(text.encode())
        assert self.overlay.get_alarm() == self.now.alarm_us
        assert self.overlay.all_sockets() == {number: row for number, row in self.now.sockets.items() if number}
        assert self.overlay.count_sockets() == len(self.overlay.all_sockets())
        assert [self.overlay.socket(number) for number in range(4)] == [*map(self.now.sockets.get, range(4))]
        assert self.all_jobs() == self.now.jobs
        assert self.all_pages(reverse=False) == sorted(self.now.values.items())
        assert self.all_pages(reverse=True) == sorted(self.now.values.items(), reverse=True)
        assert self.stored.live_bytes == sum(len(key) + len(value) for key, value in self.durable.values.items())
        durable = self.durable
        some = durable.values or durable.jobs or durable.sockets or durable.alarm_us is not None
        assert self.stored.exists == bool(some)
        assert self.store.jobs.count(self.stored) == len(self.durable.jobs)

    def all_jobs(self) -> dict[str, int]:
        found: dict[str, int] = {}
        after, done = b"", False
        while not done:
            page, done = self.overlay.list_jobs(after, 2)
            assert len(page) <= 2
            assert page or done
            found |= {job.key: job.due_us for _, job in page}
            after = page[-1][0] if page else after
        return found

    def all_pages(self, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        pairs: list[tuple[bytes, bytes]] = []
        while True:
            last = pairs[-1][0] if pairs else None
            start_after, end = (None, last) if reverse else (last, None)
            page, following = self.overlay.list(b"", None, start_after, end, reverse, LIMITS.page_entries_max)
            pairs += page
            if following is None and len(page) < LIMITS.page_entries_max:
                return pairs

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for name in (b"left", b"right"):
            assert self.store.get(self.store.locate(1, name), b"b") == b"theirs"
        due = [(at, each.name) for at, each in self.store.due_alarms(1 << 62, 10)]
        assert due == ([] if self.durable.alarm_us is None else [(self.durable.alarm_us, b"mid")])
        assert [row.due_us for row in self.store.jobs.due("run", {}, 1 << 62, 10).rows] == sorted(
            self.durable.jobs.values()
        )


class LayersInMemory(Layers):
    """Over the store that tests use."""

    def open(self) -> Store:
        return MemoryStore(limits=LIMITS)


class LayersOnDisk(Layers):
    """Over LMDB; the worker may also die and its successor go on."""

    def open(self) -> Store:
        self.cleanup = contextlib.ExitStack()
        self.data = Path(tempfile.mkdtemp(prefix="holdfast-model-"))
        self.cleanup.callback(shutil.rmtree, self.data)
        ensure_data_directory(self.data, 1)
        self.lmdb = LmdbStore.open(self.data, [0], LIMITS)
        return self.lmdb

    @precondition(lambda self: self.lmdb.has_garbage)
    @rule()
    def sweep(self) -> None:
        self.lmdb.sweep()

    @invariant()
    def rows_agree(self) -> None:
        if hasattr(self, "lmdb"):
            assert faults_of(self.lmdb) == []

    @rule()
    def restart(self) -> None:
        self.lmdb.close()
        self.store = self.lmdb = LmdbStore.open(self.data, [0], LIMITS)
        self.pending.clear()
        self.flight, self.current, self.flight_written = None, [], False
        self.locate()
        self.next_turn(self.durable.copy())

    def expected_rows(self) -> int:
        """Two neighbours with a name row and a key each; ours, and two rows for its alarm and each of its jobs."""
        timers = len(self.durable.jobs) + (self.durable.alarm_us is not None)
        return 4 + len(self.durable.values) + len(self.durable.sockets) + 2 * timers + self.stored.exists

    def teardown(self) -> None:
        try:
            super().teardown()
            if hasattr(self, "lmdb"):
                sweep_all(self.lmdb)
                self.reads_agree()
                assert faults_of(self.lmdb) == []
                assert rows_of(self.lmdb) == self.expected_rows()
        finally:
            if hasattr(self, "lmdb"):
                self.lmdb.close()
                self.cleanup.close()


TestLayersInMemory = LayersInMemory.TestCase
TestLayersInMemory.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLayersOnDisk = LayersOnDisk.TestCase
TestLayersOnDisk.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
