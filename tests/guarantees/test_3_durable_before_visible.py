"""Guarantee 3: nothing that depends on writes of finished turns leaves the host before they are synced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.background import CallUnderWay
from tests.harness.caller import NoAnswerError
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command

HELD_FOR_S = 1.0  # how long a reply is watched not to come


@dataclass(frozen=True, slots=True)
class Seen:
    """What left the host while a commit of alice's was held back."""

    own_reply: bool
    later_read: bool
    error_reply: bool
    other_read: bool


@contextmanager
def file_at(path: Path) -> Iterator[None]:
    """The file exists inside the block."""
    path.touch()
    try:
        yield
    finally:
        path.unlink()


def wait_until_held(hold: Path, timeout_s: float = 30.0) -> None:
    """Return when a commit is held back."""
    deadline = time.monotonic() + timeout_s
    while not hold.with_suffix(".held").exists():
        assert time.monotonic() < deadline, f"no commit began within {timeout_s} s"
        time.sleep(0.005)


def look_while_commit_is_held(host: HostProcess, hold: Path) -> Seen:
    """Alice writes; her commit is held back; what becomes visible of it?"""
    with host.caller() as caller:
        for name in ("alice", "bob"):
            caller.value("Probe", name, "put", "k", "before")
        with file_at(hold):
            write = CallUnderWay(host, "Probe", "alice", "put", "k", "after")
            wait_until_held(hold)
            read = CallUnderWay(host, "Probe", "alice", "get", "k")
            failure = CallUnderWay(host, "Probe", "alice", "raise_only")
            other = CallUnderWay(host, "Probe", "bob", "get", "k")
            other_answered = other.is_answered_within(10.0)
            seen = Seen(
                own_reply=write.is_answered_within(HELD_FOR_S),
                later_read=read.is_answered_within(0.0),
                error_reply=failure.is_answered_within(0.0),
                other_read=other_answered,
            )
        assert write.answer().status == 200
        assert read.answer().value == "after" or seen.own_reply  # an open gate keeps no order between callers either
        assert failure.answer().error == "ActorMethodError"
        assert other.answer().value == "before"
    return seen


def test_a_held_commit_holds_back_its_reply_and_what_later_turns_read_but_no_other_instance(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"

    seen = look_while_commit_is_held(start_probe_host(command=command(f"hold_commits={hold}")), hold)

    assert not seen.own_reply
    assert not seen.later_read
    assert not seen.error_reply
    assert seen.other_read


def test_without_the_gate_the_reply_leaves_before_the_commit(start_probe_host: StartHost, tmp_path: Path) -> None:
    hold = tmp_path / "hold"

    seen = look_while_commit_is_held(start_probe_host(command=command(f"hold_commits={hold}", "open_gate")), hold)

    assert seen.own_reply


def test_a_gate_that_knows_only_a_turns_own_writes_lets_a_later_read_out(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"

    seen = look_while_commit_is_held(
        start_probe_host(command=command(f"hold_commits={hold}", "gate_only_own_writes")), hold
    )

    assert not seen.own_reply
    assert seen.later_read


@pytest.mark.slow
@pytest.mark.parametrize("mutation", ["lose_sync", "doubt_sync"])
def test_a_failed_sync_is_never_answered_as_success_and_the_next_start_reads_what_is_durable(
    start_probe_host: StartHost, tmp_path: Path, mutation: str
) -> None:
    fail = tmp_path / "fail"
    host = start_probe_host(command=command(f"{mutation}={fail}"))
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "before")
        fail.touch()
        answer = caller.call("Probe", "alice", "put", "k", "after")
        code = host.wait()
    host.assert_nothing_left()
    fail.unlink()
    host.start()

    assert answer.status == 500
    assert answer.error == "ActorOutputGateError"
    assert code != 0
    with host.caller() as caller:
        stored = caller.value("Probe", "alice", "get", "k")
        assert stored == {"lose_sync": "before", "doubt_sync": "after"}[mutation]
        assert caller.value("Probe", "alice", "get", "k") == stored


@pytest.mark.slow
def test_without_care_for_sync_errors_a_success_is_answered_and_lost(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    fail = tmp_path / "fail"
    host = start_probe_host(command=command(f"lose_sync={fail}", "swallow_sync_errors"))
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "before")
        fail.touch()
        answer = caller.call("Probe", "alice", "put", "k", "after")
    host.kill_all()
    fail.unlink()
    host.start()

    assert answer.status == 200
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") == "before"


@pytest.mark.slow
def test_what_was_answered_survives_the_death_of_every_process_at_that_moment(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    for number in range(5):
        with host.caller() as caller:
            assert caller.value("Probe", "alice", "increment") == number + 1
        host.kill_all()
        host.restart()


def test_a_call_whose_worker_dies_in_its_commit_is_not_answered_as_success(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    host = start_probe_host(command=command(f"hold_commits={hold}"))
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "before")
    with file_at(hold):
        write = CallUnderWay(host, "Probe", "alice", "put", "k", "after")
        wait_until_held(hold)
        host.kill("worker")
        assert not write.is_answered_within(0.0) or write.answer().status != 200
    try:
        answer = write.answer()
    except NoAnswerError as error:
        raise AssertionError("the front stayed, so there must be an answer") from error

    assert answer.error == "HostUnavailableError"
    assert answer.retryable
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") == "before"
