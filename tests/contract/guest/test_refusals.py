"""What a refused call leaves behind in memory, and what becomes of an activation that has run out of it."""

from __future__ import annotations

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject


@pytest.fixture
def refused(subject: NewSubject) -> Subject:
    """An instance of Refused."""
    return subject("Refused")


@pytest.mark.parametrize(
    ("what", "size", "error"),
    [
        ("get", 1000, "LimitError"),
        ("get_many", 1000, "LimitError"),
        ("put", 2 << 20, "LimitError"),
        ("put_key", 1000, "LimitError"),
        ("put_many", 2 << 20, "LimitError"),
        ("delete", 1000, "LimitError"),
        ("savepoint", 1000, "LimitError"),
        ("unstorable", 1000, "CodecError"),
        ("no time", 1000, "TypeError"),
        ("call", 1000, "ActorCallError"),
        ("call_that_fails", 1000, "ActorCallError"),
        ("call_with_too_much", 1 << 20, "ActorCallError"),
        ("fetch", 1000, "ActorCallError"),
    ],
)
def test_a_refused_call_leaves_nothing_for_the_collector(refused: Subject, what: str, size: int, error: str) -> None:
    assert refused.call("catch", what, 3, size, False).typed == [[error], 0]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "size"), [("put_key", 512 << 10), ("put", 2 << 20), ("call", 512 << 10)])
def test_an_actor_may_be_refused_large_arguments_for_ever(refused: Subject, what: str, size: int) -> None:
    """100 of them are more than a sandbox has room for; the collector has not been asked for."""
    [told], _ = refused.call("catch", what, 100, size, False).typed

    assert told in {"LimitError", "ActorCallError"}
    assert refused.call("catch", what, 100, size, True).typed == [[told], 0]


@pytest.mark.parametrize("how", ["alone", "as the reason of another", "in a group"])
def test_an_activation_that_ran_out_of_memory_is_dropped(refused: Subject, how: str) -> None:
    before = refused.call("which").typed

    assert refused.call("out_of_memory", how).refusal == (500, "ActorMethodError")
    assert refused.call("which").typed != before


def test_an_activation_that_failed_for_another_reason_and_wrote_nothing_stays(refused: Subject) -> None:
    before = refused.call("which").typed

    assert refused.call("out_of_memory", "not").refusal == (500, "ActorMethodError")
    assert refused.call("which").typed == before
