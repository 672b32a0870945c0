"""asyncio within a turn: coroutines run as ever, and what would have to be waited for is told."""

from __future__ import annotations

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject

NEVER = "this await would never end: nothing is left in the turn that could end it"


@pytest.fixture
def awaits(subject: NewSubject) -> Subject:
    """An instance of Awaits."""
    return subject("Awaits")


def test_gathered_coroutines_take_turns_at_a_sleep_of_zero(awaits: Subject) -> None:
    assert awaits.call("gather", 2).typed == [[0, 1], ["0.0", "1.0", "0.1", "1.1"]]


def test_a_task_group_runs_and_gives_its_results(awaits: Subject) -> None:
    assert awaits.call("group").typed == ["a", "b"]


def test_a_task_group_ends_the_others_when_one_fails(awaits: Subject) -> None:
    assert awaits.call("group_that_fails").typed == ["one of them"]


def test_timeouts_around_what_needs_no_time_do_nothing(awaits: Subject) -> None:
    assert awaits.call("waits_within_time").typed == [2, 0, "c"]


def test_locks_and_queues_may_live_as_long_as_the_activation(awaits: Subject) -> None:
    for _ in range(3):
        assert awaits.call("hands_over").typed == [0, 1, 2]


def test_asynchronous_generators_run(awaits: Subject) -> None:
    assert awaits.call("generates").typed == [0, 1, 2]


def test_asyncio_run_works_in_a_plain_method_again_and_again(awaits: Subject) -> None:
    assert [awaits.call("runs").typed for _ in range(2)] == ["run", "run"]


def test_a_task_that_nobody_waits_for_ends_with_its_turn(awaits: Subject) -> None:
    assert awaits.call("leaves_a_task").typed == "done"

    assert awaits.call("was_left").typed is True


@pytest.mark.parametrize("kind", ["event", "queue", "future", "gather", "task", "timeout"])
def test_a_wait_that_nothing_ends_fails_at_its_await_and_can_be_caught(awaits: Subject, kind: str) -> None:
    assert awaits.call("stuck", kind).typed.startswith(NEVER)


def test_a_wait_that_nothing_ends_fails_the_turn_which_commits_nothing(awaits: Subject, probe: Subject) -> None:
    reply = awaits.call("stuck_for_good")

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith(f"RuntimeError: {NEVER}")
    assert awaits.call("runs").typed == "run"


def test_a_sleep_of_zero_yields_and_a_longer_one_names_the_rule(awaits: Subject) -> None:
    assert awaits.call("sleeps", 0).typed == "slept"

    assert awaits.call("sleeps", 0.5).typed.startswith("asyncio.sleep(0.5): an actor's turn cannot sleep")


@pytest.mark.parametrize("kind", ["get", "put", "stub", "gather", "scan", "transaction"])
def test_an_await_of_what_is_done_already_is_told_that_none_is_needed(awaits: Subject, kind: str) -> None:
    reply = awaits.call("awaits", kind)

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith("TypeError: ")
    assert reply.error["message"].endswith(
        "calls of storage and of stubs are done when they return: they need no await, no async for and no async with"
    )


def test_a_coroutine_may_call_an_instance_that_runs_a_loop_of_its_own(awaits: Subject) -> None:
    assert awaits.call("calls").typed == ["run", "after"]


def test_a_blocking_section_inside_a_coroutine_runs_one_to_its_end(awaits: Subject) -> None:
    assert awaits.call("blocks").typed == "block"
