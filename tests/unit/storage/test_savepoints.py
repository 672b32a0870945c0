"""Savepoints of a turn: what a rollback restores, and what counts towards the limits meanwhile."""

from __future__ import annotations

import pytest

from holdfast_host.core.errors import BadRequestError, LimitError
from holdfast_host.core.limits import Limits
from tests.unit.storage.test_overlay import Instance, keys_of


def test_a_rollback_restores_values_clears_alarms_and_the_count_of_bytes() -> None:
    instance = Instance()
    instance.stores(a=b"1", b=b"2")
    turn = instance.turn()
    turn.put(b"a", b"10")
    turn.set_alarm(5)
    turn.savepoint()
    turn.delete_all()
    turn.put(b"c", b"333")
    turn.set_alarm(6)
    turn.savepoint()
    turn.delete_alarm()
    turn.put(b"c", b"4")

    turn.rollback()

    assert (turn.get(b"a"), turn.get(b"c"), turn.get_alarm()) == (None, b"333", 6)

    turn.rollback()

    assert [turn.get(key) for key in (b"a", b"b", b"c")] == [b"10", b"2", None]
    assert turn.get_alarm() == 5
    changes = turn.take()
    assert (changes.writes, changes.cleared, changes.size_bytes) == ({b"a": b"10"}, False, 3)
    assert turn.wrote


def test_a_released_savepoint_becomes_part_of_the_one_around_it() -> None:
    instance = Instance()
    instance.stores(a=b"1")
    turn = instance.turn()
    turn.put(b"b", b"22")
    turn.savepoint()
    turn.put(b"b", b"3")
    turn.savepoint()
    turn.delete(b"a")
    turn.release()
    turn.release()

    assert turn.open_savepoints == 0
    changes = turn.take()
    assert (changes.writes, changes.size_bytes) == ({b"a": None, b"b": b"3"}, 3)


def test_what_a_rollback_would_restore_counts_towards_the_limits() -> None:
    turn = Instance(Limits(turn_write_bytes_max=100, turn_savepoints_max=2)).turn()
    turn.put(b"a", bytes(60))
    turn.savepoint()

    with pytest.raises(LimitError, match="writing 122 bytes"):
        turn.put(b"a", bytes(60))
    turn.savepoint()
    with pytest.raises(LimitError, match=r"savepoint 3 deep exceeds the limit of 2 \(Account/alice\)"):
        turn.savepoint()


@pytest.mark.limit("turn_savepoints_max")
def test_so_many_savepoints_are_open_at_once() -> None:
    turn = Instance(Limits(turn_savepoints_max=3)).turn()
    for _ in range(3):
        turn.savepoint()

    with pytest.raises(LimitError, match=r"savepoint 4 deep exceeds the limit of 3 \(Account/alice\)"):
        turn.savepoint()
    assert turn.open_savepoints == 3
    turn.release()
    turn.savepoint()


def test_after_a_savepoint_ended_the_whole_limit_is_there_again() -> None:
    turn = Instance(Limits(turn_write_bytes_max=100, turn_write_keys_max=2)).turn()
    turn.put(b"a", bytes(60))
    for end in (turn.rollback, turn.release):
        turn.savepoint()
        turn.put(b"b", bytes(30))
        end()

    turn.put(b"b", bytes(38))

    with pytest.raises(LimitError, match="writing 101 bytes"):
        turn.put(b"b", bytes(39))
    with pytest.raises(LimitError, match="writing 3 keys"):
        turn.put(b"c", b"")


def test_delete_all_hides_pending_writes_from_a_list() -> None:
    instance = Instance()
    earlier = instance.turn()
    earlier.put(b"a", b"1")
    instance.pending.add(earlier.take(), 7)
    turn = instance.turn()

    turn.delete_all()

    assert keys_of(turn) == []


@pytest.mark.parametrize("what", ["release", "rollback"])
def test_ending_a_savepoint_that_is_not_open_is_refused(what: str) -> None:
    turn = Instance().turn()

    with pytest.raises(BadRequestError, match=rf"{what} without an open savepoint \(Account/alice\)"):
        getattr(turn, what)()


def test_taking_releases_open_savepoints_and_leaves_the_overlay_empty() -> None:
    instance = Instance()
    turn = instance.turn()
    turn.put(b"a", b"1")
    turn.savepoint()
    turn.put(b"b", b"2")

    changes = turn.take()

    assert changes.writes == {b"a": b"1", b"b": b"2"}
    assert turn.get(b"a") is None
    instance.pending.add(changes, 3)
    assert turn.get(b"a") == b"1"
    assert not turn.take()
