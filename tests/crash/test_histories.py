"""Histories of concurrent calls over HTTP are linearizable; and the check finds workers that are not."""

from __future__ import annotations

import random
import threading
import time

import pytest

from tests.crash.linear import Call, violations
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command


@pytest.mark.slow
def test_a_history_of_concurrent_calls_to_one_name_has_an_order_that_agrees_with_time(
    probe_host: StartHost,
) -> None:
    history = record_history(probe_host(workers=2), clients=8, calls=60)

    assert violations(history) == []
    assert sum(not call.reads for call in history) > 100


@pytest.mark.slow
def test_it_has_one_although_the_worker_is_killed_meanwhile_again_and_again(start_probe_host: StartHost) -> None:
    history = record_history(start_probe_host(), clients=8, calls=150, kills=8)

    assert violations(history) == []
    assert sum(call.value is not None for call in history) > 500


@pytest.mark.slow
@pytest.mark.parametrize("mutation", ["open_gate", "serve_stale_reads"])
def test_the_check_finds_a_worker_that_answers_before_it_commits_or_serves_what_is_past(
    start_probe_host: StartHost, mutation: str
) -> None:
    host = start_probe_host(command=command(mutation))

    assert violations(record_history(host, clients=8, calls=150, kills=8))


def record_history(host: HostProcess, *, clients: int, calls: int, kills: int = 0) -> list[Call]:
    """Increments and reads of one name by many clients, while its worker is killed so often."""
    history: list[Call] = []

    def client(number: int) -> None:
        chance = random.Random(number)
        with host.caller() as caller:
            for _ in range(calls):
                history.append(call(caller, reads=chance.random() < 0.3))  # noqa: PERF401 others append meanwhile

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for number in range(kills):
        while len(history) < clients * calls * (number + 1) // (kills + 2):
            time.sleep(0.002)
        host.kill("worker")
        with host.caller() as caller:
            caller.call("Probe", "counter", "get", "n", 0)  # the next one is killed when it is there
    for thread in threads:
        thread.join()
    return history


def call(caller: Caller, *, reads: bool) -> Call:
    began_s = time.monotonic()
    try:
        answer = (
            caller.call("Probe", "counter", "get", "n", 0) if reads else caller.call("Probe", "counter", "increment")
        )
    except NoAnswerError:
        return Call(reads, began_s, float("inf"), None)
    return Call(reads, began_s, time.monotonic(), answer.value if answer.status == 200 else None)


@pytest.mark.parametrize(
    "history",
    [
        [Call(False, 0, 1, 1), Call(False, 0, 1, 1)],
        [Call(False, 0, 1, 1), Call(False, 2, 3, 2), Call(True, 4, 5, 1)],
        [Call(False, 0, 1, 1), Call(True, 0, 1, 2)],
        [Call(False, 0, 1, 2), Call(False, 2, 3, 1)],
        [Call(False, 0, 1, 3)],
        [Call(False, 0, 9, 1), Call(True, 1, 2, 1), Call(True, 3, 4, 0)],
        [Call(False, 0, 9, 1), Call(True, 1, 2, 1), Call(False, 3, 4, 1)],
    ],
    ids=[
        "the same twice",
        "a read of the past",
        "a read of the future",
        "order turned round",
        "one out of nothing",
        "a read that takes back what another has seen",
        "an increment that another has seen done before it began",
    ],
)
def test_the_check_of_histories_finds_what_no_order_explains(history: list[Call]) -> None:
    assert violations(history)
