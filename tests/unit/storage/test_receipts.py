"""Receipts of idempotency keys: kept with what they are for, never gone early, and swept when they have expired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.lmdb.receipts import QUIET_S
from holdfast_host.storage.store import Alarm, Batch, Changes, Receipt, StoredInstance
from tests.harness.partitions import faults_of, rows_of, sweep_all
from tests.unit.storage.conftest import LIMITS

ACCOUNT = 7
DAY_S = Limits().receipt_s


@dataclass
class Clock:
    """Both readings, moved apart or together."""

    now: float = 1000.0
    wall_s: float = 1_790_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall_us(self) -> int:
        return int(self.wall_s * 1e6)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall_s += seconds


class Rig:
    """A store of one partition on a clock, and its commits."""

    def __init__(self, data: Path, clock: Clock, limits: Limits) -> None:
        ensure_data_directory(data, 1)
        self.clock = clock
        self.store = LmdbStore.open(data, [0], limits, clock=clock)
        self.group = max(group for _, group in self.store.reached().values())

    def commit(self, *batches: tuple[StoredInstance, Changes]) -> None:
        self.group += 1
        report = self.store.commit(self.group, [Batch(instance, changes) for instance, changes in batches])
        assert not report.lost

    def keep(self, instance: StoredInstance, *keys: bytes, body: bytes = b"7", for_s: int = DAY_S) -> None:
        expires_s = int(self.clock.wall_s) + for_s
        for key in keys:
            self.commit((instance, Changes(receipts={key: Receipt(expires_s, 200, b"f" * 16, body)})))

    def kept(self, instance: StoredInstance, *keys: bytes) -> list[bytes]:
        return [key for key in keys if self.store.receipt(instance, key) is not None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rig(tmp_path: Path, clock: Clock) -> Iterator[Rig]:
    rig = Rig(tmp_path, clock, LIMITS.replace(delete_rows_max=8))
    yield rig
    assert faults_of(rig.store) == []
    rig.store.close()


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.mark.limit("receipt_s")
def test_a_receipt_is_there_until_it_has_expired_and_then_goes_with_the_instance_that_has_nothing_else(
    rig: Rig, clock: Clock
) -> None:
    alice, bob = rig.store.locate(ACCOUNT, b"alice"), rig.store.locate(ACCOUNT, b"bob")
    rig.commit((bob, Changes({b"k": b"1"}, size_bytes=2)))
    rig.keep(alice, key(1), key(2), body=b"x" * 5000)
    rig.keep(bob, key(1))
    clock.advance(DAY_S - 1)
    assert not rig.store.has_garbage

    clock.advance(2)
    assert rig.store.has_garbage
    assert rig.kept(alice, key(1), key(2)) == [key(1), key(2)], "it answers until it is swept"
    sweep_all(rig.store)

    assert rig.kept(alice, key(1), key(2)) == rig.kept(bob, key(1)) == []
    assert (alice.exists, alice.apart_bytes) == (False, 0)
    assert (bob.exists, bob.apart_bytes, bob.live_bytes) == (True, 0, 2)
    assert rows_of(rig.store) == 2


def test_nothing_is_swept_for_an_hour_after_a_start(tmp_path: Path, clock: Clock) -> None:
    first = Rig(tmp_path, clock, LIMITS)
    first.keep(first.store.locate(ACCOUNT, b"alice"), key(1))
    first.store.close()
    clock.advance(2 * DAY_S)
    second = Rig(tmp_path, clock, LIMITS)

    assert not second.store.has_garbage
    clock.advance(QUIET_S - 1)
    assert not second.store.has_garbage
    clock.advance(1)
    assert second.store.has_garbage
    second.store.close()


@pytest.mark.parametrize("jump_s", [3 * DAY_S, -3 * DAY_S])
def test_nothing_is_swept_for_an_hour_after_the_wall_clock_was_set(rig: Rig, clock: Clock, jump_s: int) -> None:
    alice = rig.store.locate(ACCOUNT, b"alice")
    rig.keep(alice, key(1))
    clock.advance(2 * QUIET_S)
    assert not rig.store.has_garbage

    clock.wall_s += jump_s
    clock.advance(1)
    assert not rig.store.has_garbage
    clock.advance(QUIET_S - 1)
    assert not rig.store.has_garbage
    assert rig.kept(alice, key(1)) == [key(1)]

    clock.advance(2)
    assert rig.store.has_garbage == (jump_s > 0)


def test_a_clock_that_was_set_and_put_right_again_has_forgotten_nothing(rig: Rig, clock: Clock) -> None:
    alice = rig.store.locate(ACCOUNT, b"alice")
    rig.keep(alice, key(1))
    clock.advance(2 * QUIET_S)
    clock.wall_s += 30 * DAY_S
    for _ in range(59):
        clock.advance(60)
        assert not rig.store.has_garbage
    clock.wall_s -= 30 * DAY_S
    clock.advance(2 * QUIET_S)

    assert not rig.store.has_garbage
    assert rig.kept(alice, key(1)) == [key(1)]


def test_groups_sweep_what_has_expired_also_of_the_instances_that_they_write(rig: Rig, clock: Clock) -> None:
    alice, bob = rig.store.locate(ACCOUNT, b"alice"), rig.store.locate(ACCOUNT, b"bob")
    rig.keep(alice, *map(key, range(10)))
    rig.keep(bob, *map(key, range(10)))
    clock.advance(DAY_S + 1)
    groups = 0
    while rig.store.has_garbage:
        rig.keep(alice, key(100 + groups))
        rig.commit((bob, Changes({b"n": b"%d" % groups}, size_bytes=2)))
        groups += 1
        assert faults_of(rig.store) == []

    assert 2 < groups < 20
    assert rig.kept(alice, *map(key, range(10))) == rig.kept(bob, *map(key, range(10))) == []
    assert len(rig.kept(alice, *(key(100 + n) for n in range(groups)))) == groups


def test_an_instance_that_is_looked_up_while_its_receipts_are_swept_is_known_as_it_is(
    rig: Rig, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.keep(rig.store.locate(ACCOUNT, b"alice"), key(1), key(2))
    clock.advance(DAY_S + 1)
    partition = rig.store._partitions[0]
    find = partition.find

    def swept_meanwhile(type_id: int, name: bytes) -> object:
        found = find(type_id, name)
        if rig.store.has_garbage:
            sweep_all(rig.store)
        return found

    monkeypatch.setattr(partition, "find", swept_meanwhile)
    alice = rig.store.locate(ACCOUNT, b"alice")

    assert (alice.exists, alice.apart_bytes) == (False, 0)
    rig.keep(alice, key(3))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_an_erased_instance_has_forgotten_its_keys_at_once_however_many_there_are(
    rig: Rig, clock: Clock, count: int
) -> None:
    alice = rig.store.locate(ACCOUNT, b"alice")
    keys = [key(number) for number in range(count)]
    rig.commit((alice, Changes({b"k": b"1"}, size_bytes=2)))
    rig.keep(alice, *keys)
    rig.commit((alice, Changes(cleared=True, erased=True)))

    assert rig.kept(alice, *keys) == []
    assert (alice.exists, alice.live_bytes, alice.apart_bytes) == (False, 0, 0)
    assert faults_of(rig.store) == []
    rig.keep(alice, keys[0], body=b"anew")
    rig.commit((alice, Changes({b"k": b"2"}, size_bytes=2, alarm=Alarm(5), alarm_changed=True)))
    assert faults_of(rig.store) == []
    sweep_all(rig.store)

    assert rig.kept(alice, *keys) == [keys[0]]
    assert rig.store.get(alice, b"k") == b"2"
    assert rig.store.alarm(alice) == Alarm(5)
    clock.advance(DAY_S + 1)
    sweep_all(rig.store)
    assert rig.kept(alice, keys[0]) == []
    assert rig.store.get(alice, b"k") == b"2"


def test_large_answers_of_an_erased_instance_go_a_piece_at_a_time_as_large_values_do(rig: Rig) -> None:
    """By weight, in the erasing commit and in each sweep; else 900 answers of 1 MiB hold up every turn for 0.3 s."""
    alice = rig.store.locate(ACCOUNT, b"alice")
    for number in range(6):
        rig.keep(alice, key(number), body=b"x" * 7 * 1024)
    rig.commit((alice, Changes(cleared=True, erased=True)))
    in_the_commit = rows_of(rig.store)
    sweeps = sweep_all(rig.store)

    assert in_the_commit == 5 * 2 + 1, "receipts, their expiry rows, and the garbage row"
    assert sweeps >= 5
    assert rows_of(rig.store) == 0


def test_what_is_left_of_an_erased_instance_is_not_taken_from_the_one_that_came_after_it(
    rig: Rig, clock: Clock
) -> None:
    alice = rig.store.locate(ACCOUNT, b"alice")
    rig.keep(alice, *map(key, range(30)))
    rig.commit((alice, Changes(cleared=True, erased=True)))
    rig.keep(alice, key(500), body=b"x" * 100, for_s=3 * DAY_S)
    before = alice.apart_bytes
    clock.advance(DAY_S + 1)
    sweep_all(rig.store)

    assert alice.apart_bytes == before
    assert rows_of(rig.store) == 3


def test_an_instance_that_clears_much_and_keeps_its_receipts_still_knows_them(rig: Rig) -> None:
    alice = rig.store.locate(ACCOUNT, b"alice")
    rig.keep(alice, key(1))
    rig.commit((alice, Changes({b"%d" % n: b"1" for n in range(40)}, size_bytes=80)))
    rig.commit((alice, Changes(cleared=True)))
    sweep_all(rig.store)

    assert rig.kept(alice, key(1)) == [key(1)]
    assert rows_of(rig.store) == 3


def test_several_turns_of_one_group_are_written_in_their_order(rig: Rig) -> None:
    alice = rig.store.locate(ACCOUNT, b"alice")
    receipt = Receipt(int(rig.clock.wall_s) + DAY_S, 200, b"f" * 16, b"7")
    rig.keep(alice, *map(key, range(20)))
    rig.commit(
        (alice, Changes(receipts={key(50): receipt})),
        (alice, Changes(cleared=True, erased=True)),
        (alice, Changes(receipts={key(51): receipt})),
        (alice, Changes(cleared=True, erased=True)),
        (alice, Changes(receipts={key(52): receipt, key(53): receipt})),
    )

    assert rig.kept(alice, *map(key, (*range(20), 50, 51, 52, 53))) == [key(52), key(53)]


def test_receipts_count_towards_the_quota_of_their_instance(tmp_path: Path, clock: Clock) -> None:
    rig = Rig(tmp_path, clock, LIMITS.replace(instance_bytes_max=1000))
    alice = rig.store.locate(ACCOUNT, b"alice")
    rig.keep(alice, key(1), body=b"x" * 800)
    receipt = Receipt(int(clock.wall_s) + DAY_S, 200, b"f" * 16, b"x" * 500)
    report = rig.store.commit(rig.group + 1, [Batch(alice, Changes(receipts={key(2): receipt}))])

    assert [type(error).__name__ for error in report.lost.values()] == ["StorageFullError"]
    refusal = rig.store.refusal(alice, 1001)
    assert refusal is not None
    assert f"{alice.apart_bytes} bytes are jobs, sockets, and answers kept under idempotency keys" in refusal.message
    assert rig.kept(alice, key(1), key(2)) == [key(1)]
    rig.store.close()
