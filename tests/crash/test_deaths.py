"""One process dies: what becomes of the calls that it had, of those that waited, and of the processes beside it."""

from __future__ import annotations

import signal
import time

import pytest

from tests.harness import processes
from tests.harness.background import CallUnderWay, wait_for_answers
from tests.harness.fixtures import StartHost
from tests.harness.load import Load, Record, Tokens

pytestmark = pytest.mark.slow


def test_a_call_that_had_not_begun_when_its_worker_died_is_answered_by_the_successor(
    start_probe_host: StartHost,
) -> None:
    host = start_probe_host()
    running = CallUnderWay(host, "Probe", "alice", "put_then_spin", "k", "after", 20)
    running.wait_until_active()
    waiting = CallUnderWay(host, "Probe", "alice", "increment")
    with host.caller() as caller:
        while caller.request("GET", "/v1/instances/Probe/alice").value["queued"] < 1:
            assert not running.is_answered_within(0.005)
    host.kill("worker")

    assert waiting.answer().value == 1
    assert running.answer().error == "HostUnavailableError"
    assert running.answer().retryable
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") is None


def test_a_call_that_had_synced_when_its_worker_died_has_an_unknown_outcome(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    running = CallUnderWay(host, "Probe", "alice", "put_sync_spin", "k", "synced", 20)
    with host.caller() as caller:
        while caller.request("GET", "/v1/instances/Probe/alice/storage/k").status != 200:
            assert not running.is_answered_within(0.005)
    host.kill("worker")

    assert running.answer().error == "ActorOutputGateError"
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") == "synced"


def test_a_stopped_worker_is_replaced_after_its_death_and_nothing_is_lost(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    tokens = Tokens("stopped", names=8)
    with Load(host.url, tokens.plan, clients=4) as load:
        load.wait_for(50)
        stopped = host.kill("worker", signal.SIGSTOP)
        deadline = time.monotonic() + 60.0
        while processes.is_running(stopped):
            assert time.monotonic() < deadline, "a stopped worker was never replaced"
            time.sleep(0.05)
        load.wait_for(50)
        records: list[Record] = load.stop()
    with host.caller() as caller:
        assert tokens.faults(caller, records) == []


@pytest.mark.parametrize("role", ["front", "worker", "supervisor"])
def test_whichever_process_is_killed_an_orderly_stop_or_the_death_of_the_host_leaves_none_behind(
    start_probe_host: StartHost, role: str
) -> None:
    host = start_probe_host(workers=2)
    host.kill(role)
    if role == "supervisor":
        host.wait()
        host.assert_nothing_left()
    else:
        wait_for_answers(host, ["a", "b", "c"])
        host.stop()
