"""Guarantee 5: an activation can vanish between two turns, and memory never claims what storage does not hold."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import pytest

from tests.harness import processes
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.load import Load, PlannedCall, Told
from tests.harness.mutants.host import command
from tests.harness.repeats import repeats

NAMES = repeats(2_000, 10_000)
FAILURES = ["put_then_raise", "put_then_trap"]


def remembered_after(host: HostProcess, method: str) -> dict[str, Any]:
    """What memory and storage say of a key after a turn that wrote both and failed."""
    with host.caller() as caller:
        caller.value("Probe", "alice", "remember_and_put", "k", "before")
        assert caller.call("Probe", "alice", method, "k", "after").status == 500
        claims: dict[str, Any] = caller.value("Probe", "alice", "remembered", "k")
    return claims


@pytest.mark.parametrize("method", FAILURES)
def test_after_a_turn_that_failed_with_writes_memory_does_not_claim_them(probe_host: StartHost, method: str) -> None:
    assert remembered_after(probe_host(), method) == {"memory": None, "storage": "before"}


@pytest.mark.slow
def test_without_the_drop_memory_claims_what_storage_does_not_hold(start_probe_host: StartHost) -> None:
    host = start_probe_host(command=command("keep_activations"))

    assert remembered_after(host, "put_then_raise") == {"memory": "after", "storage": "before"}


def test_a_turn_that_failed_without_writes_keeps_its_activation(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        before = caller.value("Probe", "alice", "activation_id")
        assert caller.call("Probe", "alice", "raise_only").status == 500
        assert caller.value("Probe", "alice", "activation_id") == before


@pytest.mark.slow
def test_after_an_eviction_storage_is_there_and_memory_is_new(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "idle_eviction_s=0.2")
    with host.caller() as caller:
        caller.value("Probe", "alice", "remember_and_put", "k", "v")
        before = caller.value("Probe", "alice", "activation_id")
        deadline = time.monotonic() + 30.0
        pause_s = 0.5
        while caller.value("Probe", "alice", "activation_id") == before:
            assert time.monotonic() < deadline, "an idle activation was never evicted"
            time.sleep(pause_s)  # each look is a use, so it has to rest longer than the limit

        assert caller.value("Probe", "alice", "remembered", "k") == {"memory": None, "storage": "v"}


def test_without_eviction_memory_stays(probe_host: StartHost) -> None:
    with probe_host().caller() as caller:
        caller.value("Probe", "alice", "remember_and_put", "k", "v")
        time.sleep(1.0)

        assert caller.value("Probe", "alice", "remembered", "k") == {"memory": "v", "storage": "v"}


@pytest.mark.slow
def test_after_a_restart_only_storage_is_left(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "remember_and_put", "k", "v")
        assert [caller.value("Probe", "alice", "count_in_memory") for _ in range(3)] == [1, 2, 3]
    host.stop()
    host.start()

    with host.caller() as caller:
        assert caller.value("Probe", "alice", "count_in_memory") == 1
        assert caller.value("Probe", "alice", "remembered", "k") == {"memory": None, "storage": "v"}


def call_each_once(host: HostProcess, names: int) -> Counter[int]:
    """Increment every name; how often each result came."""
    left = iter(range(names))

    def plan(_client: int, _chance: random.Random) -> PlannedCall | None:
        number = next(left, None)
        return None if number is None else PlannedCall(f"name-{number}", "increment")

    with Load(host.url, plan, clients=4) as load:
        records = load.join()
    assert {record.told for record in records} == {Told.DONE}
    return Counter(record.answer.value for record in records if record.answer is not None)


def wait_for_memory(worker: int, bytes_max: int) -> None:
    """Return when a worker's own memory is below that again."""
    deadline = time.monotonic() + 60.0
    while (held := processes.anonymous_bytes(worker)) > bytes_max:
        assert time.monotonic() < deadline, f"the worker still holds {held >> 20} MiB, not below {bytes_max >> 20} MiB"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.repeats
def test_thousands_of_names_are_right_after_eviction_and_the_memory_comes_back(
    start_probe_host: StartHost,
) -> None:
    host = start_probe_host("--limit", "idle_eviction_s=1")
    worker = host.pids()["worker"][0]
    call_each_once(host, 200)
    most = processes.anonymous_bytes(worker) + (64 << 20)  # what 200 activations took, and a little

    first = call_each_once(host, NAMES)
    wait_for_memory(worker, most)
    second = call_each_once(host, NAMES)
    wait_for_memory(worker, most)

    assert first == {1: NAMES - 200, 2: 200}
    assert second == {2: NAMES - 200, 3: 200}
    assert host.pids()["worker"] == [worker]
