"""Calls side by side: `gather`, and calls that are awaited."""

from __future__ import annotations

import json

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject


@pytest.fixture
def one(subject: NewSubject) -> Subject:
    """An instance of Gathering."""
    return subject("Gathering")


@pytest.fixture
def names(subject: NewSubject) -> list[str]:
    """Those of three others."""
    return [subject("Gathering", name).name for name in ("a", "b", "c")]


def totals(one: Subject, names: list[str]) -> list[int]:
    return [one.driver.post("Gathering", name, "total").value for name in names]


def test_calls_that_are_gathered_give_their_results_in_their_order(one: Subject, names: list[str]) -> None:
    assert one.plain("all", json.dumps([names])).value == [0, 1, 2]
    assert one.plain("all", json.dumps([[*names, names[0]]])).value == [0, 2, 4, 3]
    assert totals(one, names) == [3, 2, 4]
    assert one.plain("nothing").value == []


def test_results_keep_their_types(one: Subject, names: list[str]) -> None:
    assert one.plain("types", json.dumps([names[0]])).value == ["tuple", "tuple"]


def test_the_first_error_is_raised_when_all_are_over(one: Subject, names: list[str]) -> None:
    failed = one.plain("all", json.dumps([names, False, names[1]])).value

    assert failed == [["ActorMethodError", "ValueError: as asked by 1"]]
    assert totals(one, names) == [0, 0, 2]


def test_errors_stand_in_their_place_where_that_is_asked_for(one: Subject, names: list[str]) -> None:
    outcomes = one.plain("all", json.dumps([[*names, one.name], True, names[1]])).value

    assert outcomes[:3] == [0, ["ActorMethodError", "ValueError: as asked by 1"], 2]
    assert outcomes[3][0] == "ActorReentrancyError"


def test_calls_under_keys_have_one_effect_each(one: Subject, names: list[str]) -> None:
    assert one.plain("keyed", json.dumps([names[0]])).value == [1, 1, 2]


@pytest.mark.parametrize(
    ("how", "error", "message", "made"),
    [
        ("twice", "RuntimeError", "the same call is given twice", 0),
        ("again", "RuntimeError", "a call is made once, start another one", 1),
        ("many", "ValueError", "65 calls at once, the limit is 64", 0),
        ("result", "TypeError", "gather takes calls as `stub.start.method(...)` makes them, not dict", 1),
        ("argument", "CodecError", "the arguments of Gathering.add", 0),
        ("private", "AttributeError", "'_add' is no method that a stub can call", 0),
        ("once", "AttributeError", "start has no once: write stub.once(key).start.method(...)", 0),
        ("fetch", "AttributeError", "start has no fetch: write stub.fetch(request)", 0),
    ],
)
def test_what_cannot_be_gathered_is_refused_in_words(
    one: Subject, names: list[str], how: str, error: str, message: str, made: int
) -> None:
    name, text = one.plain("misuse", json.dumps([how, names[0]])).value

    assert name == error
    assert message in text
    assert totals(one, names[:1]) == [made]


def test_calls_can_be_awaited_one_by_one_and_together(one: Subject, names: list[str]) -> None:
    assert one.plain("awaited", json.dumps([names])).value == [1, 2, 1, 1]
    assert one.plain("awaited_in_tasks", json.dumps([names])).value == [4, 3, 3]


def test_more_calls_than_may_be_made_at_once_are_awaited_in_parts(one: Subject, names: list[str]) -> None:
    assert one.plain("awaited_many", json.dumps([names[0], 130])).value == 130


def test_an_awaited_call_that_fails_leaves_the_others_alone(one: Subject, names: list[str]) -> None:
    assert one.plain("awaited_failing", json.dumps([names[0]])).value == [1, "ActorMethodError", 4]


def test_a_call_that_is_awaited_twice_is_refused_there_and_leaves_the_others_alone(
    one: Subject, names: list[str]
) -> None:
    assert one.plain("awaited_twice", json.dumps([names[0]])).value == ["int", "RuntimeError", "int"]
    assert one.plain("gathered_while_awaited", json.dumps([names[1]])).value == ["int", "RuntimeError", "int"]
    assert totals(one, names) == [2, 2, 0]


def test_an_await_that_is_cancelled_before_its_call_has_left_makes_none(one: Subject, names: list[str]) -> None:
    assert one.plain("cancelled", json.dumps([names[0]])).value == [0, 1]


@pytest.mark.parametrize(
    ("counts", "lengths"),
    [([900_000] * 6, [900_000] * 6), ([1_100_000, 5, 6], ["LimitError", 5, 6])],
    ids=["more than leaves at once", "one that is too large"],
)
def test_large_calls_that_are_awaited_leave_in_parts_and_harm_none_beside_them(
    one: Subject, names: list[str], counts: list[int], lengths: list[object]
) -> None:
    assert one.plain("awaited_large", json.dumps([names[0], counts])).value == lengths


def test_arguments_of_all_together_have_a_limit_and_past_it_no_call_is_made(one: Subject, names: list[str]) -> None:
    name, message, *lengths = one.plain("large", json.dumps([names[0], "length", [900_000] * 5])).value

    assert name == "LimitError"
    assert "at once, the limit is 4194304 bytes: make fewer at a time" in message
    assert lengths == [900_000] * 2, "what was not made can be gathered in parts"


def test_results_of_all_together_have_a_limit_and_one_past_it_is_an_error_in_its_place(
    one: Subject, names: list[str]
) -> None:
    found = one.plain("large", json.dumps([names[0], "repeat", [1_000_000] * 4 + [500_000, 5]])).value

    assert found == [*[1_000_000] * 4, "LimitError", 5]
