"""A test kit that dies at a chosen moment: what is lost, what is kept, and what nobody knows."""

from __future__ import annotations

import pytest

from holdfast import ActorCallError
from holdfast.testing import LocalHost
from tests.unit.testing.actors import START, Account, Session


def test_a_crash_after_the_nth_write_commits_nothing_of_its_turn(local: LocalHost) -> None:
    session = local.instance(Session, "s")
    stub = local.env.SESSION.id_from_name("s")
    stub.write("kept")
    local.env.ACCOUNT.id_from_name("other").deposit(1)
    local.crash_after_writes(3)

    stub.write("x", "y")
    with pytest.raises(ActorCallError) as caught:
        stub.write("a", "b")

    assert (caught.value.name, caught.value.retryable, caught.value.status) == ("HostUnavailableError", True, 503)
    assert list(session.storage) == ["kept", "x", "y"]
    assert not session.active
    assert not local.instance(Account, "other").active
    stub.write("a", "b")
    assert list(session.storage) == ["a", "b", "kept", "x", "y"]


def test_an_actor_cannot_catch_a_crash(local: LocalHost) -> None:
    local.crash_after_writes(2)

    with pytest.raises(ActorCallError, match="committed nothing"):
        local.env.SESSION.id_from_name("s").write_stubbornly()

    assert not local.instance(Session, "s").exists


def test_a_crash_after_a_sync_leaves_the_outcome_unknown(local: LocalHost) -> None:
    local.crash_after_writes(2)

    with pytest.raises(ActorCallError) as caught:
        local.env.SESSION.id_from_name("s").write_and_sync()

    assert (caught.value.name, caught.value.retryable) == ("ActorOutputGateError", False)
    assert dict(local.instance(Session, "s").storage) == {"a": 1}


def test_a_crash_in_a_callee_takes_its_caller_along(local: LocalHost) -> None:
    local.crash_after_writes(2)

    with pytest.raises(ActorCallError) as caught:
        local.env.SESSION.id_from_name("s").pay("alice")

    assert caught.value.name == "ActorOutputGateError"
    assert not local.instance(Session, "s").exists
    assert not local.instance(Account, "alice").exists


def test_a_crash_between_commit_and_answer_loses_the_answer_only(local: LocalHost) -> None:
    alice = local.env.ACCOUNT.id_from_name("alice")
    local.crash_after_commits()

    with pytest.raises(ActorCallError) as caught:
        alice.deposit(5)

    assert caught.value.name == "ActorOutputGateError"
    assert alice.deposit(5) == {"balance": 10}


def test_a_handler_that_crashes_the_host_is_run_again(local: LocalHost) -> None:
    """The first crash is nobody's fault; from the second on it counts."""
    session = local.instance(Session, "s")
    session.set_alarm(START)
    local.crash_after_writes(1)

    assert local.clock.advance() == 2

    assert session.storage["expired"] == START
    assert session.alarm is None


def test_a_crash_of_the_whole_host_keeps_what_was_committed(local: LocalHost) -> None:
    local.env.ACCOUNT.id_from_name("alice").deposit(5)

    local.crash()

    assert not local.instance(Account, "alice").active
    assert local.env.ACCOUNT.id_from_name("alice").deposit(1) == {"balance": 6}
