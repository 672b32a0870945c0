"""Idempotency keys: one effect and one answer for a day, over HTTP and between actors."""

from __future__ import annotations

import json

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject


@pytest.fixture
def keyed(subject: NewSubject) -> Subject:
    """An instance of Keyed."""
    return subject("Keyed")


@pytest.fixture
def other(subject: NewSubject) -> Subject:
    """Another one."""
    return subject("Keyed", "other")


def test_a_call_that_is_repeated_under_its_key_has_one_effect_and_the_answer_of_the_first(keyed: Subject) -> None:
    first = keyed.plain("add", "[5]", "order-17")
    again = [keyed.plain("add", "[5]", key) for key in ("order-17", "order-17")]

    assert first.value == {"total": 5, "key": "order-17", "turns": 1}
    assert [each.text for each in again] == [first.text] * 2
    assert [each.replayed for each in (first, *again)] == [False, True, True]
    assert keyed.plain("add", "[5]", "order-18").value == {"total": 10, "key": "order-18", "turns": 2}
    assert keyed.plain("add", "[5]").value == {"total": 15, "key": None, "turns": 3}


def test_a_key_is_its_instances_and_outlives_eviction_and_what_clears_the_keys(keyed: Subject, other: Subject) -> None:
    keyed.plain("add", "[5]", "k")
    keyed.plain("clear")
    keyed.driver.evict(keyed.type, keyed.name)

    assert keyed.plain("add", "[5]", "k").value["total"] == 5
    assert keyed.plain("total").value == 0
    assert not other.plain("add", "[5]", "k").replayed


@pytest.mark.parametrize(("method", "body"), [("add", "[6]"), ("add", '{"by":5}'), ("total", ""), ("have_add", "[5]")])
def test_another_call_under_a_used_key_is_refused_and_does_nothing(keyed: Subject, method: str, body: str) -> None:
    keyed.plain("add", "[5]", "k")
    refused = keyed.plain(method, body, "k")

    assert refused.refusal == (422, "IdempotencyConflictError")
    assert f"{keyed.label}.{method}: the idempotency key 'k' was used for another call" in refused.error["message"]
    assert keyed.plain("total").value == 5


def test_typed_and_plain_calls_are_other_calls(keyed: Subject) -> None:
    keyed.plain("add", "[5]", "k")
    typed = keyed.driver.post(keyed.type, keyed.name, "add", "[5]", typed_arguments=True, key="k")

    assert typed.refusal == (422, "IdempotencyConflictError")


def test_what_only_reads_is_not_kept_and_sees_what_has_come_since(keyed: Subject) -> None:
    assert keyed.plain("total", "", "r").value == 0
    assert keyed.plain("undo", "", "u").value == "undone"
    keyed.plain("add", "[5]")
    totals = [keyed.plain("total", "", "r"), keyed.plain("total", "", "u")]

    assert [(each.value, each.replayed) for each in totals] == [(5, False), (5, False)]


def test_a_call_that_failed_is_not_kept_and_its_key_may_be_used_again(keyed: Subject) -> None:
    failed = [keyed.plain("add", '{"by":5,"fail":true}', "k") for _ in range(2)]

    assert [each.refusal for each in failed] == [(500, "ActorMethodError")] * 2
    assert keyed.plain("add", "[7]", "k").value["total"] == 7


def test_what_was_synced_before_a_failure_stays_and_the_call_runs_again(keyed: Subject) -> None:
    for _ in range(2):
        keyed.plain("add", '{"by":5,"fail":true,"sync":true}', "k")
    assert keyed.plain("total").value == 10

    answers = [keyed.plain("add", '{"by":5,"sync":true}', "l") for _ in range(2)]
    assert [each.value["total"] for each in answers] == [15, 15]


def test_a_stub_with_a_key_has_one_effect_whoever_calls(keyed: Subject, other: Subject) -> None:
    target = json.dumps([other.name, "transfer-1", 5])
    answers = [each.plain("have_add", target).value for each in (keyed, keyed, other)]

    assert answers[0] == answers[1] == {"total": 5, "key": "transfer-1", "turns": 1}
    assert answers[2][0] == "ActorReentrancyError"
    assert other.plain("total").value == 5


def test_a_turn_that_had_another_one_write_is_kept(keyed: Subject, other: Subject) -> None:
    target = json.dumps([other.name, "inner"])
    answers = [keyed.plain("have_add", target, "outer") for _ in range(2)]

    assert answers[1].replayed
    assert other.plain("total").value == 1


def test_a_turn_can_make_keys_for_others_from_its_own(keyed: Subject, other: Subject) -> None:
    answer = keyed.plain("have_add_under_a_key_of_this", json.dumps([other.name]), "order-17").value

    assert answer["key"] == "order-17/add"
    assert keyed.plain("key").value is None
    assert keyed.plain("key", "", r'"a \"b\""').value == 'a "b"'


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "an idempotency key has 1 to 255 bytes of UTF-8, this one 0"),
        ("名" * 86, "an idempotency key has 1 to 255 bytes of UTF-8, this one 258"),
        (5, "an idempotency key is a str, not int"),
    ],
)
def test_a_stub_takes_no_key_that_is_none(keyed: Subject, key: object, message: str) -> None:
    assert keyed.call("have_add", "x", key).typed[1] == message


def test_a_stub_with_a_key_has_no_fetch(keyed: Subject) -> None:
    assert "fetch has no idempotency key" in keyed.plain("fetch_once", '["x"]').value


@pytest.mark.parametrize("key", ["", " ", '""', '"a', "x" * 256])
def test_a_header_that_says_no_key_is_refused(keyed: Subject, key: str) -> None:
    refused = keyed.plain("add", "[5]", key)

    assert refused.refusal == (400, "BadRequestError")
    assert "is no key: it is 1 to 255 printable ASCII characters" in refused.error["message"]
    assert keyed.plain("total").value == 0


def test_an_instance_that_is_erased_has_forgotten_its_keys(keyed: Subject) -> None:
    keyed.plain("add", "[5]", "k")
    keyed.driver.delete(keyed.type, keyed.name)

    assert keyed.plain("add", "[5]", "k").value["total"] == 5
    assert not keyed.plain("add", "[5]", "l").replayed
