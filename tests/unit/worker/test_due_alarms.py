"""What is due soon, kept in memory: nothing is missed, however few of the rows are there at a time."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_host.storage.store import Alarm, Batch, Changes, StoredInstance
from holdfast_host.worker.alarms import due as due_alarms
from holdfast_host.worker.alarms.due import MINUTE_US, PAGE_ROWS, DueAlarms
from tests.harness.memory_store import MemoryStore

TYPE = 1


class Rows:
    """A store with alarms, and the timetable that is told of each change."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.table = DueAlarms()
        self.groups = itertools.count(2)

    def arm(self, due: dict[bytes, int | None], *, told: bool = True) -> list[StoredInstance]:
        batches = []
        for name, due_us in due.items():
            alarm = None if due_us is None else Alarm(due_us, scheduled_us=due_us)
            batches.append(
                Batch(self.store.locate(TYPE, name), Changes(alarm=alarm, alarm_changed=True)),
            )
        self.store.commit(next(self.groups), batches)
        if told:
            for batch in batches:
                self.table.put(batch.instance, None if batch.changes.alarm is None else batch.changes.alarm.due_us)
        return [batch.instance for batch in batches]

    def take(self, now_us: int) -> tuple[StoredInstance, int] | None:
        while (found := self.table.take(now_us)) is None and self.table.lacks(now_us):
            self.table.fill(self.table.open_page(now_us, 0).read(self.store), ())
        return found

    def take_all(self, now_us: int) -> list[tuple[bytes, int]]:
        """Everything that is due, each row removed as it is taken, as its delivery would."""
        taken = []
        while (found := self.take(now_us)) is not None:
            instance, due_us = found
            taken.append((instance.name, due_us))
            self.arm({instance.name: None})
        return taken


def test_what_is_due_comes_in_due_order_and_nothing_before_its_time() -> None:
    rows = Rows()
    rows.arm({b"c": 300, b"a": 100, b"b": 200, b"later": 301})

    assert rows.take_all(300) == [(b"a", 100), (b"b", 200), (b"c", 300)]
    assert rows.table.next_us() == 301


def test_far_more_rows_than_a_page_come_out_once_each_and_few_are_in_memory() -> None:
    rows = Rows()
    names = [b"n%05d" % number for number in range(PAGE_ROWS * 5)]
    rows.arm({name: 1000 + number for number, name in enumerate(names)}, told=False)
    rows.take(0)

    assert len(rows.table) == PAGE_ROWS
    assert [name for name, _ in rows.take_all(10_000)] == names


def test_a_page_of_rows_that_are_all_due_at_the_same_time_does_not_hide_the_others() -> None:
    rows = Rows()
    names = {b"n%05d" % number for number in range(PAGE_ROWS * 3)}
    rows.arm(dict.fromkeys(names, 7), told=False)

    taken = rows.take_all(8)

    assert len(taken) == len(names)
    assert {name for name, _ in taken} == names


def test_an_alarm_beyond_the_horizon_costs_no_memory() -> None:
    rows = Rows()
    rows.take_all(0)
    rows.arm({b"soon": MINUTE_US // 2, b"far": 2 * MINUTE_US})

    assert len(rows.table) == 1
    assert rows.take_all(3 * MINUTE_US) == [(b"soon", MINUTE_US // 2), (b"far", 2 * MINUTE_US)]


def test_an_alarm_that_is_pushed_out_again_and_again_does_not_fill_the_memory() -> None:
    rows = Rows()
    rows.take_all(0)
    for due_us in range(1000, 1000 + 3 * due_alarms._HEAP_MAX):
        rows.table.put(rows.store.locate(TYPE, b"session"), due_us)
    rows.arm({b"session": 50_000}, told=True)

    assert len(rows.table._heap) <= due_alarms._HEAP_MAX
    assert rows.take_all(60_000) == [(b"session", 50_000)]


def test_what_no_longer_fits_is_read_again_when_its_time_has_come() -> None:
    rows = Rows()
    rows.take_all(0)
    names = [b"n%05d" % number for number in range(due_alarms._HEAP_MAX + PAGE_ROWS)]
    rows.arm({name: 1000 + number for number, name in enumerate(names)})

    assert len(rows.table) < due_alarms._HEAP_MAX
    assert [name for name, _ in rows.take_all(100_000)] == names


NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), NAMES, st.integers(0, 3 * MINUTE_US)),
        st.tuples(st.just("clear"), NAMES, st.just(0)),
        st.tuples(st.just("now"), st.just(b""), st.integers(0, 4 * MINUTE_US)),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whatever_is_set_and_however_the_clock_jumps_each_alarm_is_taken_once_when_due(
    steps: list[tuple[str, bytes, int]],
) -> None:
    rows = Rows()
    armed: dict[bytes, int] = {}
    for step, name, value in [*steps, ("now", b"", 4 * MINUTE_US)]:
        if step == "arm":
            armed[name] = value
            rows.arm({name: value})
        elif step == "clear":
            armed.pop(name, None)
            rows.arm({name: None})
        else:
            due = {name: at for name, at in armed.items() if at <= value}
            taken = rows.take_all(value)

            assert dict(taken) == due
            assert len(taken) == len(due)
            armed = {name: at for name, at in armed.items() if at > value}
    assert armed == {}
