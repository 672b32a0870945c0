"""The send page: whose frames are on their way, as the worker writes it and the front reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from holdfast_host.wire.pages.send_page import EVERYBODY, NO_SLOT, SEND_SLOTS, InFlight, SendPage, owner_mark


@pytest.fixture
def ends() -> Iterator[tuple[SendPage, SendPage]]:
    """The worker's, and the front's."""
    front = SendPage.create()
    worker = SendPage(os.dup(front.fd))
    yield worker, front
    worker.close()
    front.close()


def test_what_is_on_its_way_is_seen_at_the_other_end_until_the_last_of_it_is_there(
    ends: tuple[SendPage, SendPage],
) -> None:
    worker, front = ends
    slots = [worker.take(owner, group) for owner, group in ((7, 0), (8, 41), (7, 42))]
    front.clear(NO_SLOT)
    front.clear(slots[1])

    assert front.in_flight() == [InFlight(7, 0), InFlight(7, 42)]
    worker.withdraw(slots[2])
    front.clear(slots[0])
    assert front.in_flight() == []
    assert not front.stands_for_everybody


def test_every_slot_is_used_again_and_without_one_a_count_stands_for_everybody(
    ends: tuple[SendPage, SendPage],
) -> None:
    worker, front = ends
    slots = [worker.take(7, 0) for _ in range(SEND_SLOTS)]
    further = [worker.take(8, 9) for _ in range(3)]

    assert sorted(slots) == list(range(1, SEND_SLOTS + 1))
    assert further == [EVERYBODY] * 3
    front.clear(EVERYBODY)
    worker.withdraw(EVERYBODY)
    assert front.stands_for_everybody
    front.clear(EVERYBODY)
    assert not front.stands_for_everybody
    for slot in slots:
        front.clear(slot)
    assert [worker.take(9, 1) for _ in slots] == sorted(slots, reverse=True)


def test_a_link_that_ends_while_its_worker_lives_stands_for_everybody_for_good(ends: tuple[SendPage, SendPage]) -> None:
    worker, front = ends
    worker.lose_everything()

    assert front.stands_for_everybody
    assert front.in_flight() == []


def test_an_instance_has_one_mark_whoever_reckons_it_and_no_slot_is_clear_by_it() -> None:
    marks = {owner_mark(type_id, name) for type_id in range(20) for name in (b"a", b"b", b"", b"x" * 256)}

    assert len(marks) == 80
    assert 0 not in marks
    assert owner_mark(7, b"lobby") == owner_mark(7, b"lobby")
