"""Which job is next: functions in turn, instances in turn, none with more than its share, and all are found."""

from __future__ import annotations

import random
from collections import Counter

from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.store import Batch, Changes, StoredInstance
from holdfast_host.worker.jobs.fair_queue import FairQueue
from holdfast_host.worker.jobs.timetable import HELD_OF_FUNCTION, HELD_OF_INSTANCE, MINUTE_US, JobTimetable
from tests.harness.memory_store import MemoryStore

FUNCTIONS = {1: "f", 2: "g"}
NOW_US = 1_000_000


class Rig:
    """A store with due jobs, and the timetable of its runs."""

    def __init__(self, *, function_max: int = 64, instance_max: int = 16) -> None:
        self.store = MemoryStore(2)
        self.table = JobTimetable("run", FUNCTIONS.__getitem__, function_max, instance_max)
        self.group = 1
        self.under_way: list[tuple[StoredInstance, bytes]] = []

    def make(self, type_id: int, name: str, count: int, due_us: int = 0, *, known: bool = True) -> StoredInstance:
        """Jobs of an instance; `known` to the timetable, as those are that commit while it lives."""
        stored = self.store.locate(type_id, name.encode())
        jobs: dict[bytes, Job | None] = {new_id(""): Job("run", due_us) for _ in range(count)}
        self.group += 1
        assert not self.store.commit(self.group, [Batch(stored, Changes(jobs=jobs))]).lost
        for id_ in jobs if known else ():
            self.table.put(stored, id_, due_us)
        return stored

    def take(self, now_us: int = NOW_US) -> StoredInstance | None:
        """The next, after as many pages as that takes."""
        while True:
            found = self.table.take(now_us)
            if found is not None:
                self.under_way.append((found.stored, found.id))
                return found.stored
            if not self.table.lacks(now_us):
                return None
            self.table.fill(self.table.open_page(now_us).read(self.store))

    def end(self, at: int = 0) -> None:
        """One that is under way is done."""
        stored, id_ = self.under_way.pop(at)
        self.group += 1
        self.store.commit(self.group, [Batch(stored, Changes(jobs={id_: None}))])
        self.table.leave(stored, id_)
        self.table.put(stored, id_, None)

    def names(self) -> Counter[str]:
        return Counter(stored.name.decode() for stored, _ in self.under_way)


def test_an_instance_has_its_share_and_no_more_and_others_go_on_beside_it() -> None:
    rig = Rig()
    rig.make(1, "many", 500)
    rig.make(1, "one", 1)
    while rig.take() is not None:
        pass

    assert rig.names() == {"many": 16, "one": 1}


def test_a_function_has_its_share_and_another_one_goes_on_beside_it() -> None:
    rig = Rig()
    for number in range(40):
        rig.make(1, f"f{number}", 5)
    rig.make(2, "g", 3)
    while rig.take() is not None:
        pass

    assert rig.names()["g"] == 3
    assert len(rig.under_way) == 64 + 3


def test_instances_of_a_function_take_turns() -> None:
    queue = FairQueue(100, 100)
    a, b = (StoredInstance(0, 1, name, number) for number, name in enumerate((b"a", b"b"), 1))
    for number in range(6):
        queue.add("f", a, (number, b"a%d" % number))
    for number in range(2):
        queue.add("f", b, (number, b"b%d" % number))

    taken = [found[1][1] for found in iter(queue.take, None)]
    assert taken == [b"a0", b"b0", b"a1", b"b1", b"a2", b"a3", b"a4", b"a5"]


def test_what_lies_behind_ten_thousand_jobs_of_another_instance_is_found() -> None:
    """What is more than a share is left to be read later, by itself, and the pages go on."""
    rig = Rig()
    rig.make(1, "many", 10_000, 0, known=False)
    rig.make(1, "late", 1, 10, known=False)
    for _ in range(16):
        assert rig.take() is not None
    assert rig.take() is not None
    assert rig.names() == {"many": 16, "late": 1}


def test_no_more_is_held_than_a_share_and_all_is_taken_in_the_end_and_once() -> None:
    rig = Rig()
    chance = random.Random(5)
    made = Counter({f"n{number}": chance.randrange(1, 700) for number in range(12)})
    for name, count in made.items():
        rig.make(chance.choice([1, 2]), name, count, chance.randrange(NOW_US), known=chance.random() < 0.5)
    taken: Counter[str] = Counter()
    while True:
        found = rig.take()
        if found is not None:
            taken[found.name.decode()] += 1
        elif not rig.under_way:
            break
        while rig.under_way and (found is None or chance.random() < 0.5):
            rig.end(chance.randrange(len(rig.under_way)))
            if chance.random() < 0.3:
                break
        assert len(rig.table) <= 2 * HELD_OF_FUNCTION + 12 * HELD_OF_INSTANCE

    assert taken == made


def test_what_is_not_due_yet_waits_and_what_moved_or_went_is_not_taken() -> None:
    rig = Rig()
    stored = rig.make(1, "a", 1, NOW_US + 50)
    moved, gone = new_id(""), new_id("")
    rig.table.put(stored, moved, NOW_US - 1)
    rig.table.put(stored, gone, NOW_US - 1)
    rig.table.put(stored, moved, NOW_US + 70)
    rig.table.put(stored, gone, None)

    assert rig.take() is None
    assert rig.table.next_us() == NOW_US + 50
    assert rig.take(NOW_US + 50) is stored
    assert rig.take(NOW_US + 69) is None


def test_what_is_forgotten_for_want_of_room_while_a_page_is_read_is_read_later() -> None:
    """One partition lags behind, so that pages are read; the other one's jobs of the next minute fill the table."""
    rig = Rig()
    rig.table.fill(rig.table.open_page(NOW_US).read(rig.store))
    alone = rig.make(1, "alone", 1, NOW_US + 50_000)
    many = rig.store.locate(1, b"many")
    for number in range(8_190):
        rig.table.put(many, new_id(""), NOW_US + 1_000 + number)
    page = rig.table.open_page(NOW_US + MINUTE_US).read(rig.store)
    for number in range(10):
        rig.table.put(many, new_id(""), NOW_US + 500 + number)
    assert len(rig.table) < 3_000, "all but the earliest are forgotten"
    rig.table.fill(page)

    assert alone in [rig.take(NOW_US + 2 * MINUTE_US) for _ in range(17)]
