"""`scan()` shows what lies ahead as it then is, and what lies behind not again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject


@pytest.fixture
def scans(subject: NewSubject) -> Subject:
    """An instance of Scans with ten keys."""
    made = subject("Scans")
    made.call("fill", 10)
    return made


def shown(scans: Subject, at: str, *steps: Any, **filters: Any) -> list[tuple[int, Any]]:
    return [(int(key[1:]), value) for key, value in scans.call("scan", at, list(steps), filters).typed]


def unchanged(*numbers: int) -> list[tuple[int, int]]:
    return [(number, number) for number in numbers]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([["delete", "k0004"]], unchanged(0, 1, 2, 3, 5, 6, 7, 8, 9)),
        ([["delete", "k0009"]], unchanged(*range(9))),
        ([["delete", "k0001"], ["put", "k0001", "behind"]], unchanged(*range(10))),
        ([["put", "k0004", "new"]], [*unchanged(0, 1, 2, 3), (4, "new"), *unchanged(5, 6, 7, 8, 9)]),
        ([["put", "k00045", "new"]], [*unchanged(0, 1, 2, 3, 4), (45, "new"), *unchanged(5, 6, 7, 8, 9)]),
        ([["put", "k0010", "new"]], [*unchanged(*range(10)), (10, "new")]),
        ([["put", "k0010", 10], ["put", "k0011", 11], ["delete", "k0010"]], [*unchanged(*range(10)), (11, 11)]),
        ([["put_many", {"k0004": "new", "k0005": "new"}], ["delete", "k0005"]],
            [*unchanged(0, 1, 2, 3), (4, "new"), *unchanged(6, 7, 8, 9)]),
        ([["delete_all"]], unchanged(0, 1, 2)),
        ([["delete_all"], ["put", "k0005", "new"], ["put", "k0001", "new"]], [*unchanged(0, 1, 2), (5, "new")]),
        ([["undo", ["delete_all"], ["put", "k0005", "new"]]], unchanged(*range(10))),
        ([["delete", "k0004"], ["undo", ["put", "k0004", "new"], ["delete", "k0005"]]],
            unchanged(0, 1, 2, 3, 5, 6, 7, 8, 9)),
        ([["put", f"k1{number:03}", 1] for number in range(200)],
            [*unchanged(*range(10)), *((1000 + number, 1) for number in range(200))]),
    ],
)  # fmt: skip
def test_a_scan_shows_what_lies_ahead_as_it_then_is(scans: Subject, steps: Any, expected: Any) -> None:
    assert shown(scans, "k0002", *steps) == expected


@pytest.mark.parametrize(
    ("filters", "steps", "expected"),
    [
        ({"reverse": True}, [["delete", "k0003"], ["delete", "k0008"]], unchanged(9, 8, 7, 6, 5, 4, 2, 1, 0)),
        ({"reverse": True}, [["put", "k00035", "new"]],
            [*unchanged(9, 8, 7, 6, 5, 4), (35, "new"), *unchanged(3, 2, 1, 0)]),
        ({"reverse": True}, [["put", "j9", "new"]], [*unchanged(*range(9, -1, -1)), (9, "new")]),
        ({"end": "k0008"}, [["put", "k0008", "new"], ["delete", "k0007"]], unchanged(0, 1, 2, 3, 4, 5, 6)),
        ({"start_after": "k0003"}, [["put", "k0003", "new"], ["delete", "k0007"]], unchanged(4, 5, 6, 8, 9)),
        ({"start": "k0004", "reverse": True}, [["put", "k0003", "new"], ["delete", "k0004"]], unchanged(9, 8, 7, 6, 5)),
        ({"prefix": "k0"}, [["put", "k1", "new"], ["put", "k00055", "new"]],
            [*unchanged(0, 1, 2, 3, 4, 5), (55, "new"), *unchanged(6, 7, 8, 9)]),
    ],
)  # fmt: skip
def test_a_scan_keeps_to_its_filters_while_keys_are_written(
    scans: Subject, filters: Any, steps: Any, expected: Any
) -> None:
    assert shown(scans, "k0005", *steps, **filters) == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_over_pages_shows_nothing_that_the_loop_has_deleted(scans: Subject, reverse: bool) -> None:
    scans.call("fill", 1500)

    seen = scans.call("delete_the_next", reverse).typed

    numbers = range(1499, -1, -2) if reverse else range(0, 1500, 2)
    assert seen == [f"k{number:04}" for number in numbers]


def test_a_scan_shows_every_key_that_its_own_loop_writes_ahead(scans: Subject) -> None:
    assert scans.call("grow", 200).typed == [f"g{number:03}" for number in range(201)]


def test_a_loop_may_write_every_key_anew_that_it_is_shown(scans: Subject) -> None:
    scans.call("fill", 1500)

    assert scans.call("convert").typed == [1500, True]


def test_scans_at_once_see_each_others_deletes(scans: Subject) -> None:
    assert scans.call("two_at_once").typed == [
        "k0000", "k0009", "k0002", "k0007", ["k0006", "k0004", "k0003", "k0002", "k0000"],
    ]  # fmt: skip


def test_a_scan_that_is_kept_for_the_next_turn_shows_what_is_stored_then(scans: Subject) -> None:
    scans.call("begin")
    scans.call("do", ["delete", "k0001"], ["put", "k0002", "new"])
    scans.call("do", *(["delete", f"k{number:04}"] for number in range(4, 10)))

    assert scans.call("go_on").typed == [["k0002", "new"], ["k0003", 3]]
