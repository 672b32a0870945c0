"""A data directory moves into a store: every instance as it was, all the rest, and never half."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.data_directory import mark_moved, read_data_directory
from holdfast_host.storage.jobs import Job
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.moving import WholeInstance
from holdfast_host.storage.postgres import copying
from holdfast_host.storage.postgres.copying import Filling
from holdfast_host.storage.postgres.owning import start_host
from holdfast_host.storage.postgres.postgres_store import PostgresStore
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.storage.store import Alarm, Batch, Changes, Ending, Receipt, SocketRow
from holdfast_host.supervisor import moving
from holdfast_host.supervisor.directory.layout import make_directory, open_directory
from holdfast_host.supervisor.directory.lock import DirectoryLock
from holdfast_host.supervisor.homes import open_directory_homes
from holdfast_host.supervisor.moving import Moved, move_directory
from holdfast_host.supervisor.registry.records import TenantRecord
from holdfast_host.supervisor.secrets.secret_store import Secret
from tests.contract.homes.conftest import Home, new_database
from tests.contract.homes.test_registry import version
from tests.harness.postgres import HOST, PumpedStore

TYPES = (1, 2)
INSTANCES = 300
LIMITS = Limits(map_bytes=256 * MIB, disk_reserve_bytes=MIB)
SOCKET = 3 << 32 | 9


class KilledError(Exception):
    """In place of a kill."""


def changes_of(number: int) -> Changes:
    """What an instance stores: some of everything, much of nothing."""
    chance = random.Random(number)
    changes = Changes()
    for _ in range(chance.choice((0, 1, 1, 2, 40))):
        changes.writes[chance.randbytes(chance.randint(1, 30))] = chance.randbytes(chance.choice((0, 1, 100, 5000)))
    if number % 3 == 0:
        state = chance.choice(("armed", "retrying", "abandoned", "parked"))
        trace = chance.randbytes(25) if number % 2 else b""
        changes.alarm_changed = True
        changes.alarm = Alarm(
            chance.getrandbits(50),
            number,
            chance.getrandbits(50),
            state,
            "why \x00 ü",
            number % 2 == 0,
            number % 4 == 0,
            trace,
        )
    if number % 4 == 0:
        kind, state = ("run", "waiting") if number % 8 else ("http", "parked")
        changes.jobs = {
            chance.randbytes(16): Job(kind, chance.getrandbits(50), key="a", state=state, facts=chance.randbytes(50))
        }
    if number % 5 == 0:
        changes.receipts = {chance.randbytes(16): Receipt(2_000_000_000 + number, 200, chance.randbytes(16), b"done")}
    if number % 6 == 0:
        ending = Ending(1006, "gone", clean=False, broke=True) if number % 12 else None
        changes.sockets = {
            SOCKET: SocketRow(1_000_000, True, False, b"tags", b"protocol", b"attached", ending),
            0: SocketRow(1_000_000, True, False, b"ping", b"", b"pong", None),
        }
    if not (changes.writes or changes.alarm or changes.jobs or changes.receipts or changes.sockets):
        changes.writes[b"k"] = b""
    return changes


def name_of(number: int) -> bytes:
    return f"n{number} ü".encode()


class Source:
    """A data directory with all that one can hold, and a store to move it to."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "data"
        make_directory(self.root)
        self.directory = open_directory(self.root, 3)
        self.dsn = new_database()
        self.address = StoreAddress(self.dsn, "single")
        store = LmdbStore.open(self.root, range(3), LIMITS)
        batches = [Batch(store.locate(TYPES[n % 2], name_of(n)), changes_of(n)) for n in range(INSTANCES)]
        gone = [Batch(store.locate(1, b"gone"), Changes({b"k": b"v"}))]
        store.commit(2, [*batches, *gone])
        store.commit(3, [Batch(store.locate(1, b"gone"), Changes(cleared=True, erased=True))])
        store.close()
        home = Home(folder, None)
        with ExitStack() as cleanup:
            homes = open_directory_homes(self.directory, MIB, cleanup)
            recorded = version(home, 1)
            homes.registry.commit_version(recorded)
            homes.registry.commit_failure("fn_1", "no \x00")
            homes.registry.commit_tenant(TenantRecord("acme", {"calls": 3}, 5))
            homes.vault.replace({"A": Secret("hush", 1)})
            homes.quarantine.blame([(1, b"alice")], lambda each: ("f", 1))
            homes.audit.append([{"event": "begun"}])
            homes.front_numbers.take()
            (self.directory.components / f"{recorded.deployment.sha256}.wasm").write_bytes(b"component")

    def move(self) -> Moved:
        return move_directory(self.root, self.address, 16 * MIB, lambda step: None)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def is_in_use(self) -> bool:
        """Whether a host starts on the directory."""
        try:
            return read_data_directory(self.root) is not None
        except ConfigurationError:
            return False

    def is_free(self) -> bool:
        """Whether a host starts on the store."""
        with connect(self.address, "holdfast-test") as connection:
            with suppress(ConfigurationError):
                return start_host(connection, HOST, 1) is not None
            return False


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def exported(store: Any, type_id: int, name: bytes) -> list[Any]:
    export = store.export(type_id, name, b"")
    rows: list[Any] = []
    while page := export.step(1 << 20, 1.0):
        rows += page
    export.close()
    return rows


def test_every_instance_is_in_the_store_as_it_was(source: Source) -> None:
    before = LmdbStore.open(source.root, range(3), LIMITS)
    expected = {}
    receipts = {}
    for number in range(INSTANCES):
        type_id, name = TYPES[number % 2], name_of(number)
        instance = before.locate(type_id, name)
        expected[type_id, name] = (
            exported(before, type_id, name),
            (before.sockets(instance, 0, 100), before.socket(instance, 0)),
        )
        for hash_ in changes_of(number).receipts or {}:
            receipts[type_id, name] = hash_, before.receipt(instance, hash_)
    before.close()
    moved = source.move()
    with connect(source.address, "holdfast-test") as connection:
        life = start_host(connection, HOST, 1)
    assert life is not None
    after = PumpedStore(PostgresStore.open(source.address, HOST, life, 0, LIMITS))
    found = {
        each: (
            exported(after, *each),
            (after.sockets(after.locate(*each), 0, 100), after.socket(after.locate(*each), 0)),
        )
        for each in expected
    }
    kept = {each: (hash_, after.receipt(after.locate(*each), hash_)) for each, (hash_, _) in receipts.items()}
    new = after.locate(1, b"new")
    after.commit(5, [Batch(new, Changes({b"k": b"v"}))])
    numbers = source.execute("SELECT number FROM instance ORDER BY number")

    assert (moved.instances, moved.functions) == (INSTANCES, 1)
    assert found == expected
    assert kept == receipts
    assert len(receipts) == INSTANCES / 5
    assert len(numbers) == len({*numbers}) == INSTANCES + 1, "a new one has a number of its own"
    after.close()


def test_the_rest_is_there_too_and_the_directory_is_not_used_again(source: Source, tmp_path: Path) -> None:
    moved = source.move()
    home = Home(tmp_path / "hosts", source.dsn)
    home.folder.mkdir()
    home.key = moved.key
    homes = home.open(0)

    assert homes.registry.current()[0].version == 1
    assert TenantRecord("acme", {"calls": 3}, 5) in homes.registry.tenants()
    assert homes.vault.values() == {"A": "hush"}
    assert [each["event"] for each in homes.audit.read(0, 9)] == ["begun"]
    assert homes.front_numbers.take() == 2, "sockets of the fronts before are of nobody who lives"
    assert source.execute("SELECT count(*) FROM component") == [(1,)]
    assert not source.is_in_use()
    with pytest.raises(ConfigurationError, match="has been moved to the store"):
        read_data_directory(source.root)
    home.close()


def test_a_directory_that_has_moved_does_not_move_twice(source: Source) -> None:
    source.move()

    with pytest.raises(ConfigurationError, match="already"):
        source.move()


STEPS: list[tuple[Any, str, bool]] = [
    (copying, "begin", True),
    (Filling, "flush", False),
    (Filling, "flush", True),
    (moving, "_copy_rest", False),
    (moving, "_copy_rest", True),
    (moving, "_compare", True),
    (moving, "mark_moved", False),
    (moving, "mark_moved", True),
    (copying, "finish", False),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "step", "after"), STEPS, ids=[f"{'after' if a else 'before'} {s}" for _, s, a in STEPS]
)
def test_a_move_that_is_killed_at_any_step_is_gone_on_with_and_never_is_both_used(
    source: Source, monkeypatch: pytest.MonkeyPatch, kind: Any, step: str, *, after: bool
) -> None:
    real: Callable[..., Any] = getattr(kind, step)

    def die(*arguments: Any) -> None:
        if after:
            real(*arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, die)
        with pytest.raises(KilledError):
            source.move()

    assert not source.is_free()
    assert source.is_in_use() == ((step, after) not in {("mark_moved", True), ("finish", False)})
    moved = source.move()
    assert (moved.instances, moved.functions) == (INSTANCES, 1)
    assert source.execute("SELECT count(*) FROM kv") == [(sum(len(changes_of(n).writes) for n in range(INSTANCES)),)]
    assert not source.is_in_use()
    assert source.is_free()


def test_what_is_read_back_at_once_is_bounded_whatever_instances_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may have 16 MiB, and hundreds are of one question."""
    read_bytes, grouped = list[int](), copying._grouped

    def note(*asked: Any) -> dict[int, list[tuple[bytes, bytes]]]:
        found = grouped(*asked)
        read_bytes.append(sum(len(value) for rows in found.values() for _, value in rows))
        return found

    monkeypatch.setattr(copying, "_BATCH_BYTES", 250_000)
    monkeypatch.setattr(copying, "_grouped", note)
    stored = [
        WholeInstance(1, b"i%d" % number, size + 1, 0, None, [(b"k", bytes(size))], [], [], [])
        for number, size in enumerate((100_000, 100_000, 300_000, 0, *[100_000] * 16))
    ]
    with connect(StoreAddress(new_database(), "single"), "test") as connection:
        copying.begin(connection)
        filling = Filling(connection)
        for each in stored:
            filling.add(each)
        filling.flush()
        found = [*copying.read_back(connection)]

    assert found == stored
    assert max(read_bytes) == 300_000, "more than the largest of them"


def test_what_is_not_read_back_as_it_was_has_not_moved(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Filling.flush

    def flush_and_change(filling: Filling) -> None:
        flush(filling)
        source.execute("UPDATE kv SET v = v || 'other' WHERE data = (SELECT min(data) FROM kv WHERE data >= 7)")

    monkeypatch.setattr(Filling, "flush", flush_and_change)
    with pytest.raises(ConfigurationError, match=r"instance \d+ was not read back as it was: nothing has moved"):
        source.move()

    assert source.is_in_use()
    assert not source.is_free()


def test_instances_that_are_missing_are_missed(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Filling.flush
    monkeypatch.setattr(
        Filling, "flush", lambda it: (flush(it), source.execute("DELETE FROM instance WHERE number > 290"))
    )
    with pytest.raises(ConfigurationError, match="290 instances were read back of 300"):
        source.move()


def test_a_directory_on_which_a_host_runs_is_refused(source: Source) -> None:
    with DirectoryLock.acquire(source.root), pytest.raises(ConfigurationError, match="is held by"):
        source.move()
    assert source.is_free()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("INSERT INTO functions VALUES ('f', 'default', 'f', 1, 1, NULL, 1)", "has 1 functions and 0 instances"),
        ("UPDATE document SET content = '{}' WHERE name = 'tokens'", "0 instances, and tokens that a host has kept"),
        ("UPDATE cluster SET directory = 'h'", "is of the host h"),
        ("INSERT INTO tenants VALUES ('acme', '{}', 1)", "0 instances, and tenants that a host has kept"),
    ],
    ids=["filled", "with tokens", "bound", "with tenants"],
)
def test_a_store_that_is_not_empty_is_refused(source: Source, prepare: str, said: str) -> None:
    source.execute(prepare)
    with pytest.raises(ConfigurationError, match=said):
        source.move()

    assert source.is_in_use()


def test_a_store_that_a_host_is_connected_to_is_refused(source: Source) -> None:
    with (
        connect(source.address, "holdfast/another/host"),
        pytest.raises(ConfigurationError, match="the host another is"),
    ):
        source.move()


def test_a_store_that_another_copy_fills_is_refused_and_left_alone(source: Source) -> None:
    """It would be emptied under the other one, which may have compared all already."""
    with connect(source.address, "holdfast-store") as other:
        copying.begin(other)
        with pytest.raises(ConfigurationError, match="another copy into this store is under way"):
            source.move()
    assert source.move().instances == INSTANCES


def test_instances_that_are_too_large_for_a_store_are_named_before_anything_is_copied(source: Source) -> None:
    store = LmdbStore.open(source.root, range(3), LIMITS)
    store.commit(4, [Batch(store.locate(1, b"large"), Changes({b"k": b"x" * 300_000}))])
    store.close()
    with pytest.raises(
        ConfigurationError, match=r"1 instances have more than 262144 bytes.*Account/large \(300001 bytes"
    ):
        move_directory(source.root, source.address, 262_144, lambda step: None)

    assert source.is_free()


def test_what_is_no_data_directory_is_refused(source: Source, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, said in ((tmp_path / "none", "it is not there"), (tmp_path / "empty", "it has no format.json")):
        with pytest.raises(ConfigurationError, match=said):
            move_directory(path, source.address, MIB, lambda step: None)


def test_a_release_before_does_not_start_on_a_directory_that_has_moved(tmp_path: Path) -> None:
    """Its marker is of a format that no release reads."""
    mark_moved(tmp_path, "x")

    assert json.loads((tmp_path / "format.json").read_text())["format"] == 3
