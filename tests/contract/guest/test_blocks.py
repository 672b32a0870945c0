"""`transaction()` blocks are told apart: each ends itself, in its own turn, and hides no exception."""

from __future__ import annotations

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject

FIRST = "RuntimeError: a transaction() block ends while one that was begun inside it is open: that one ends first"
OVER = "RuntimeError: a transaction() block ends that is over: it was ended, or undone with the one around it"
EARLIER = "RuntimeError: a transaction() block ends that an earlier turn has begun: it ended with that turn"


@pytest.fixture
def blocks(subject: NewSubject) -> Subject:
    """An instance of Blocks."""
    return subject("Blocks")


@pytest.mark.parametrize(
    ("outer_fails", "inner_fails", "expected"),
    [
        (False, False, [FIRST, "done", ["inner", "outer"]]),
        (False, True, [FIRST, "done", ["outer"]]),  # what is undone is the inner one's, not the outer one's
        (True, False, ["done", OVER, []]),  # an exception undoes all that was written in the block
        (True, True, ["done", "done", []]),
    ],
)
def test_a_block_that_ends_out_of_order_ends_no_other_one(
    blocks: Subject, outer_fails: bool, inner_fails: bool, expected: list[object]
) -> None:
    assert blocks.call("end_the_outer_one_first", outer_fails, inner_fails).typed == expected


def test_a_savepoint_is_ended_by_its_id_and_another_id_ends_nothing(blocks: Subject) -> None:
    """Also not the id of a savepoint that an earlier turn has left open."""
    said, kept, grows, left_open = blocks.call("by_id", 10**6).typed

    assert said == ["BadRequestError"] * 10
    assert (kept, grows) == (["first"], True)

    said, _, _, of_this_turn = blocks.call("by_id", left_open).typed

    assert said == ["BadRequestError"] * 10
    assert of_this_turn > left_open


def test_a_block_ends_once_and_is_begun_once_at_a_time(blocks: Subject) -> None:
    assert blocks.call("end_twice").typed == [
        "RuntimeError: a transaction() block ends that was never begun",
        "RuntimeError: a transaction() block is begun while it is open: make one for each block",
        OVER,
        "done",
        1,
    ]


def test_a_block_that_is_left_open_does_not_reach_into_the_next_turn(blocks: Subject) -> None:
    """What it wrote is part of its turn, which ended well."""
    blocks.call("leave_open")

    assert blocks.call("sync").typed == ["by a turn"]


@pytest.mark.parametrize("inside", [False, True])
def test_a_block_of_an_earlier_turn_ends_nothing_in_a_later_one(blocks: Subject, inside: bool) -> None:
    blocks.call("leave_open")

    assert blocks.call("end_what_was_left_open", inside).typed == [EARLIER, ["by a turn", "later"]]


def test_an_exception_in_a_block_of_an_earlier_turn_undoes_nothing_of_a_later_one(blocks: Subject) -> None:
    blocks.call("leave_open")

    assert blocks.call("drop_what_was_left_open").typed == ["by a turn", "later"]
    assert blocks.call("sync").typed == ["by a turn", "later"]


def test_a_block_that_a_constructor_leaves_open_ends_with_it(subject: NewSubject) -> None:
    assert subject("Blocks", "opens").call("sync").typed == ["by the constructor"]


def test_what_is_wrong_with_a_block_does_not_hide_the_exception_under_way(blocks: Subject) -> None:
    assert blocks.call("fail_in_a_block_that_is_over").typed == "KeyError: 'under way'"


def test_a_block_that_cannot_be_begun_leaves_those_around_it_to_be_undone(blocks: Subject) -> None:
    message, left = blocks.call("go_too_deep", 101).typed

    assert "savepoint 101 deep exceeds the limit of 100" in message
    assert left == ["before"]
