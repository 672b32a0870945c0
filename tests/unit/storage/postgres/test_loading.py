"""What is not in memory is read together: how much is asked in one question, and what happens between two."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

import pytest

from holdfast_host.storage.jobs import Job, new_id
from holdfast_host.storage.postgres import loading
from holdfast_host.storage.postgres.arrays import long
from holdfast_host.storage.store import Changes, Receipt, SocketRow, StoredInstance
from tests.harness.postgres import WAIT_S, PumpedStore
from tests.unit.storage.postgres.conftest import TYPE, Owned

OLD = Receipt(1_000, 200, b"f" * 16, b"7")


class Reader:
    """Another life of the worker, which has nothing in memory, and what it asks."""

    def __init__(self, owned: Owned) -> None:
        self.store = PumpedStore.open(owned.address, owned.host_life, owned.store._limits)
        self.questions: list[str] = []
        self.told: queue.Queue[StoredInstance] = queue.Queue()
        link: Any = self.store._store._link
        send = link.send

        def noted(statement: str, *facts: Any) -> None:
            self.questions.append(statement)
            send(statement, *facts)

        link.send = noted

    def load(self, names: Sequence[bytes]) -> list[Any]:
        """All of them, in the order of the names."""
        places = [self.store.place(TYPE, name) for name in names]
        self.store.pump.post(lambda: self.store._store._loading.load(places, self.told.put))
        told = [self.told.get(timeout=WAIT_S) for _ in places]
        assert {*map(id, told)} == {*map(id, places)}
        return places


@pytest.fixture
def written(owned: Owned) -> Owned:
    """Ten instances that hold something of each kind."""
    for n in range(10):
        owned.begin_all(
            (
                b"n%d" % n,
                Changes(
                    {b"k": b"%d" % n, b"big": bytes(1_000)},
                    jobs={new_id(f"j{n}"): Job("call", n)},
                    sockets={n + 1: SocketRow(7, attachment=b"%d" % n)},
                    receipts={b"r" * 16: OLD},
                ),
            )
        )
        assert owned.store.report().lost == {}
    return owned


def check(places: Sequence[Any]) -> None:
    for n, handle in enumerate(places):
        assert handle.keys == {b"k": b"%d" % n, b"big": bytes(1_000)}
        assert [job.due_us for job in handle.jobs.values()] == [n]
        assert handle.sockets == {n + 1: SocketRow(7, attachment=b"%d" % n)}


def test_any_number_of_instances_are_two_questions_and_new_ones_none_more(written: Owned) -> None:
    reader = Reader(written)
    *places, new, newer = reader.load([*(b"n%d" % n for n in range(10)), b"new", b"newer"])

    check(places)
    assert (new.exists, newer.exists, 0 < new.number < newer.number) == (False, False, True)
    assert reader.questions == ["load", "load_rows"]
    reader.load([b"newest"])
    assert reader.questions == ["load", "load_rows", "load"]
    reader.store.close()


def test_what_they_hold_is_read_piece_by_piece(written: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd that comes back is no answer of a gigabyte, which every commit would wait behind."""
    monkeypatch.setattr(loading, "PIECE_BYTES", 2_500)
    reader = Reader(written)
    places = reader.load([b"n%d" % n for n in range(10)])

    check(places)
    assert reader.questions == ["load", *["load_rows"] * 5]
    reader.store.close()


def test_one_that_holds_more_than_a_piece_is_a_piece(written: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "PIECE_BYTES", 10)
    reader = Reader(written)

    check(reader.load([b"n%d" % n for n in range(3)]))
    assert reader.questions == ["load", *["load_rows"] * 3]
    reader.store.close()


def test_more_than_a_question_asks_for_are_several(written: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_INSTANCES_MAX", 4)
    reader = Reader(written)

    check(reader.load([b"n%d" % n for n in range(10)]))
    assert reader.questions[:3] == ["load"] * 3
    reader.store.close()


def test_receipts_that_expire_between_the_questions_are_not_counted_for_ever(
    written: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has told how many bytes an instance has, and since then it has fewer."""
    monkeypatch.setattr(loading, "PIECE_BYTES", 1)
    reader = Reader(written)
    store = reader.store._store
    loads: Any = store._loading
    sweeping, fill = store._sweeping, loads._fill
    swept: list[bool] = []

    def fill_and_sweep(*facts: Any) -> None:
        fill(*facts)
        if not swept:
            swept.append(True)
            seat = sweeping._seat
            parameters = [long(seat.seat), long(seat.life), sweeping._shards, long(1_000)]
            store._link.send("expire", parameters, store._find_expired)

    loads._fill = fill_and_sweep
    places = reader.load([b"n%d" % n for n in range(3)])

    check(places)
    stored = {bytes(name): size for name, size in written.other.execute("SELECT name, apart_bytes FROM instance")}
    assert [handle.apart_bytes for handle in places] == [stored[handle.name] for handle in places]
    assert [handle.receipt_bytes for handle in places] == [0, 0, 0]
    assert reader.questions.count("load") == 2
    reader.store.close()
