"""The changes of earlier turns, until their groups are settled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from holdfast_host.storage import unflushed
from holdfast_host.storage.store import Alarm, Changes, Receipt, SocketRow, Store, StoredInstance
from holdfast_host.storage.unflushed import Pending, read_socket


def written(pending: Pending) -> list[tuple[int, dict[bytes, bytes | None], bool]]:
    return [(layer.group, layer.changes.writes, layer.changes.cleared) for layer in pending.layers]


def test_turns_of_one_group_are_kept_together_and_groups_apart() -> None:
    pending = Pending()
    pending.add(Changes({b"a": b"1"}), 2)
    pending.add(Changes({b"b": b"2", b"a": b"3"}), 2)
    pending.add(Changes({b"c": None}), 2)
    pending.add(Changes({b"a": b"4"}), 3)

    assert written(pending) == [(2, {b"a": b"3", b"b": b"2", b"c": None}, False), (3, {b"a": b"4"}, False)]


def test_settling_a_group_forgets_it_and_those_before_it() -> None:
    pending = Pending()
    for group in (2, 3, 5):
        pending.add(Changes({b"a": b"%d" % group}), group)

    pending.settle(3)
    assert [layer.group for layer in pending.layers] == [5]

    pending.settle(4)
    assert pending
    pending.settle(5)
    assert not pending


def test_a_batch_is_never_altered_by_what_comes_after_it() -> None:
    """The commit reads each batch of a group by itself."""
    pending = Pending()
    first, second = Changes({b"a": b"1"}, size_bytes=2), Changes({b"b": b"2"}, cleared=True, size_bytes=2)

    for each in (first, second, Changes({b"c": b"3"}), Changes({b"b": None})):
        pending.add(each, 2)

    assert (first.writes, second.writes) == ({b"a": b"1"}, {b"b": b"2"})
    assert written(pending) == [(2, {b"b": None, b"c": b"3"}, True)]


def test_a_reader_that_looked_before_a_settle_keeps_what_it_saw() -> None:
    pending = Pending()
    pending.add(Changes({b"a": b"1"}), 2)
    seen = pending.layers

    pending.settle(2)

    assert seen[0].changes.writes == {b"a": b"1"}


def test_nothing_changed_is_nothing_pending() -> None:
    pending = Pending()

    pending.add(Changes(), 2)

    assert not pending


def test_an_alarm_is_pending_like_a_key_and_size_is_an_upper_bound() -> None:
    pending = Pending()
    pending.add(Changes({b"a": b"1"}, size_bytes=2), 2)
    pending.add(Changes(alarm=Alarm(7), alarm_changed=True), 2)
    pending.add(Changes({b"a": b"12"}, size_bytes=3), 3)

    assert pending.layers[0].changes.alarm == Alarm(7)
    assert pending.size_bytes == 5

    kept = {b"h" * 16: Receipt(9, 200, b"f" * 16, b"x" * 1000)}
    pending.add(Changes(receipts=kept, size_bytes=1016), 3)
    pending.add(Changes({b"b": b"1"}, cleared=True, size_bytes=2), 3)

    assert pending.size_bytes >= 2 + 1016 + 2, "receipts stay where keys go"

    pending.clear()

    assert pending.size_bytes == 0


def test_sockets_that_were_read_while_a_group_was_settled_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader settles while a turn of its own thread reads: what it has read is of before."""
    pending = Pending()
    pending.add(Changes(sockets={5: SocketRow(1)}), 2)

    class Found(dict[int, SocketRow]):
        def __iter__(self) -> Iterator[int]:
            return super().__iter__()

        def keys(self) -> Any:  # what a copy asks for
            pending.settle(2)
            return super().keys()

    monkeypatch.setattr(unflushed, "_read_stored", lambda store, instance: Found({4: SocketRow(1)}))
    store, instance = cast("Store", None), StoredInstance(0, 7, b"a")
    assert sorted(pending.read_sockets(store, instance)) == [4, 5]
    monkeypatch.setattr(unflushed, "_read_stored", lambda store, instance: {4: SocketRow(1), 5: SocketRow(1)})

    assert sorted(pending.read_sockets(store, instance)) == [4, 5]


def test_the_socket_that_was_read_last_is_read_once_until_a_commit_changes_it() -> None:
    pending, instance = Pending(), StoredInstance(0, 7, b"a")
    rows: dict[int, SocketRow | None] = {4: SocketRow(1), 5: SocketRow(2)}
    asked: list[int] = []

    class Rows:
        def socket(self, _: StoredInstance, socket: int) -> SocketRow | None:
            asked.append(socket)
            return rows.get(socket)

    store = cast("Store", Rows())
    for group, writes in ((1, Changes({b"key": b"value"})), (2, Changes(sockets={5: SocketRow(3)}))):
        pending.add(writes, group)
        assert [read_socket(store, instance, pending, 4) for _ in range(2)] == [SocketRow(1)] * 2
        pending.settle(group)
    assert asked == [4], "what else was written says nothing of it"
    rows[4] = SocketRow(6)
    pending.add(Changes(sockets={4: rows[4]}), 3)
    assert read_socket(store, instance, pending, 4) == SocketRow(6)
    pending.settle(3)

    assert read_socket(store, instance, pending, 4) == SocketRow(6)
    assert asked == [4, 4]


def test_a_socket_that_was_read_while_a_commit_changed_it_is_read_anew() -> None:
    pending, instance = Pending(), StoredInstance(0, 7, b"a")
    answers = [SocketRow(1), SocketRow(2)]

    class Rows:
        def socket(self, _: StoredInstance, __: int) -> SocketRow | None:
            if len(answers) == 2:  # it was read before the commit, and is settled behind it
                pending.settle(1)
            return answers.pop(0)

    store = cast("Store", Rows())
    pending.add(Changes(sockets={5: SocketRow(9)}), 1)
    assert read_socket(store, instance, pending, 4) == SocketRow(1)

    assert read_socket(store, instance, pending, 4) == SocketRow(2)


def test_sockets_are_counted_without_a_copy_of_those_that_are_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each handshake of a crowd would take as long as the crowd is large."""
    pending = Pending()
    store, instance = cast("Store", None), StoredInstance(0, 7, b"a")
    monkeypatch.setattr(unflushed, "_read_stored", lambda store, instance: {4: SocketRow(1), 5: SocketRow(1)})
    pending.read_sockets(store, instance)
    pending.add(Changes(sockets={0: SocketRow(1), 4: None, 6: SocketRow(1)}), 1)
    monkeypatch.setattr(Pending, "read_sockets", None)

    assert pending.count_sockets(store, instance, [Changes(sockets={7: SocketRow(1)})]) == 3
    pending.settle(1)
    assert pending.count_sockets(store, instance, []) == 2
