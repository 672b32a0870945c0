"""Guarantee 4: a turn's writes commit in one transaction when it returns, or not at all."""

from __future__ import annotations

from typing import Any

from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command

# How a turn can end badly after a write, what its caller is told, and with which status.
FAILURES = [
    ("put_then_raise", ("k", "after"), "ActorMethodError", 500),
    ("put_then_refuse", ("k", "after"), "ActorError", 418),
    ("put_then_trap", ("k", "after"), "ActorTrapError", 500),
    ("put_then_spin", ("k", "after", 60), "ActorMethodTimeoutError", 504),
    ("put_then_exceed", ("k", "after"), "ActorMethodError", 500),
    ("put_then_return_too_much", ("k", "after"), "LimitError", 500),
]


Stored = dict[str, tuple[str, int, Any, Any]]


def stored_after(host: HostProcess, failures: list[tuple[str, tuple[Any, ...]]]) -> Stored:
    """By method: the error's name and status, and what storage says now and after a restart."""
    told: dict[str, tuple[str, int, Any]] = {}
    with host.caller() as caller:
        for method, arguments in failures:
            caller.value("Probe", method, "put", "k", "before")
            answer = caller.call("Probe", method, method, *arguments)
            told[method] = (answer.error, answer.status, caller.value("Probe", method, "get", "k"))
    host.kill_all()
    host.restart()
    with host.caller() as caller:
        return {method: (*seen, caller.value("Probe", method, "get", "k")) for method, seen in told.items()}


def test_a_turn_that_ends_badly_commits_nothing(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "method_timeout_s=2")

    stored = stored_after(host, [(method, arguments) for method, arguments, _, _ in FAILURES])

    assert stored == {method: (error, status, "before", "before") for method, _, error, status in FAILURES}


def test_without_the_discard_its_writes_are_there(start_probe_host: StartHost) -> None:
    host = start_probe_host(command=command("commit_failed_turns"))

    _, _, now, _ = stored_after(host, [("put_then_raise", ("k", "after"))])["put_then_raise"]

    assert now == "after"


def test_what_sync_committed_stays_and_what_came_after_it_goes(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        answer = caller.call("Probe", "alice", "put_sync_put_raise", 1, 2)
        now = caller.value("Probe", "alice", "everything")
    host.kill_all()
    host.restart()

    assert answer.error == "ActorMethodError"
    assert now == {"first": 1}
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "everything") == {"first": 1}


def test_a_transaction_that_fails_discards_its_own_writes_alone(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        assert caller.value("Probe", "alice", "discard_in_transaction", "k", "kept", "discarded") == "kept"
        assert caller.value("Probe", "alice", "get", "k") == "kept"


def test_a_constructors_writes_commit_with_the_turn_it_was_made_for(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        assert caller.value("Fragile", "good", "made") == 1
        failures = [caller.call("Fragile", "bad", "made") for _ in range(3)]
        refused = caller.call("Fragile", "good again", "made_then_raise")

        assert [failure.error for failure in failures] == ["ActorInitError"] * 3
        assert refused.error == "ActorMethodError"
        assert caller.value("Fragile", "good again", "made") == 1


def test_earlier_turns_writes_stay_when_a_later_turn_fails(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        for number in range(20):
            assert caller.value("Probe", "alice", "increment") == number + 1
            assert caller.call("Probe", "alice", "put_then_trap", "n", -1).error == "ActorTrapError"
            assert caller.value("Probe", "alice", "get", "n") == number + 1
