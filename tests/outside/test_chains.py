"""Turns that wait for turns, over HTTP and two workers: a thousand chains, rings, and the cap on what waits at once."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import components, processes
from tests.harness.background import CallUnderWay
from tests.harness.caller import Answer, Caller
from tests.harness.components import PROJECT
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

CHAINS = 1_000
LINKS = 5
NAMES = [f"link-{number}" for number in range(12)]
BUDGET_S = 30.0
FOUND_S = 0.100
THREADS_MAX = 512 + 64  # what nested calls may hold in a worker, and what it has besides

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def start(data: Path, *options: str) -> HostProcess:
    host = HostProcess(data, *options)
    host.start()
    deploy(host, components.built(PROJECT / "tests" / "harness" / "guests" / "chain"))
    return host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """Two workers with the links of chains."""
    running = start(tmp_path_factory.mktemp("chains") / "data", "--workers", "2")
    yield running
    running.stop()


class MostThreads:
    """The largest number of threads that each process had at once; a context manager that looks all the while."""

    def __init__(self, pids: list[int]) -> None:
        self.most = dict.fromkeys(pids, 0)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> MostThreads:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.wait(0.01):
            for pid, most in self.most.items():
                self.most[pid] = max(most, processes.threads_of(pid))


def run_chains(host: HostProcess, paths: list[list[str]]) -> list[tuple[Answer, float]]:
    """Send all at once, each over a connection of its own; the answers and the seconds that each took."""
    results: list[tuple[Answer, float]] = []
    gate = threading.Barrier(len(paths) + 1)

    def one(path: list[str]) -> None:
        with Caller(host.url) as caller:
            gate.wait(60)
            began_s = time.monotonic()
            answer = caller.call("Link", path[0], "pass_on", path[1:])
            results.append((answer, time.monotonic() - began_s))

    threads = [threading.Thread(target=one, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    gate.wait(60)
    for thread in threads:
        thread.join()
    return results


def test_a_thousand_chains_of_five_over_few_names_all_end_in_time_with_bounded_threads(host: HostProcess) -> None:
    chance = random.Random(5)
    paths = [chance.sample(NAMES, LINKS) for _ in range(CHAINS)]
    with MostThreads(host.pids()["worker"]) as threads:
        results = run_chains(host, paths)
    outcomes = Counter(answer.error or "200" for answer, _ in results)
    with host.caller() as caller:
        counted = sum(caller.value("Link", name, "count") for name in NAMES)
        again = caller.call("Link", NAMES[0], "pass_on", NAMES[1:LINKS])

    assert len(results) == CHAINS
    assert outcomes.keys() <= {"200", "ActorDeadlockError", "HostUnavailableError", "MailboxFullError"}, outcomes
    assert all(answer.retryable for answer, _ in results if answer.status != 200)
    assert max(took_s for _, took_s in results) < BUDGET_S
    assert all(answer.value == LINKS for answer, _ in results if answer.status == 200)
    assert counted == outcomes["200"] * LINKS, outcomes
    assert outcomes["200"] > 0
    assert max(threads.most.values()) < THREADS_MAX, threads.most
    assert again.status == 200


def close_ring(host: HostProcess, names: list[str]) -> list[dict[str, Any]]:
    """Have each wait for the next at the same moment; what each saw."""
    at = time.time() + 0.3
    following = [*names[1:], names[0]]
    turns = [
        CallUnderWay(host, "Link", name, "wait_for", other, at) for name, other in zip(names, following, strict=True)
    ]
    return [turn.answer().value for turn in turns]


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_ring_is_found_within_100_ms_and_spelled_out_and_the_others_go_on(host: HostProcess, length: int) -> None:
    found_s = []
    for number in range(10):
        names = [f"ring-{length}-{number}-{link}" for link in range(length)]
        seen = close_ring(host, names)
        [ended] = [each for each in seen if each["name"]]
        found_s.append(ended["waited_s"])

        assert (ended["name"], ended["retry"]) == ("ActorDeadlockError", True)
        assert all(f"Link/{name} -> " in ended["message"] for name in names), ended["message"]

    assert statistics.median(found_s) < FOUND_S, found_s
    assert max(found_s) < FOUND_S * 3, found_s


def test_at_the_cap_a_new_nested_call_fails_at_once_as_retryable(tmp_path: Path) -> None:
    limits = ("--limit", "detached_turns_max=4", "--limit", "nested_turns_max=6")
    host = start(tmp_path / "data", "--workers", "1", *limits)
    try:
        with host.caller() as caller:
            for number in range(20):  # each is warm: what is measured is not an activation
                caller.value("Link", f"root-{number}", "call_busy", f"busy-{number}", 0, 0)
        # A turn that has computed for so long has a thread of its own, and so needs what it calls.
        turns = [CallUnderWay(host, "Link", f"root-{n}", "call_busy", f"busy-{n}", 2.0, 0.2) for n in range(20)]
        answers = [turn.answer() for turn in turns]
    finally:
        host.stop()
    seen = [answer.value for answer in answers if answer.status == 200]
    refused = [each for each in seen if each["name"]]

    assert {answer.error for answer in answers} <= {"", "HostUnavailableError"}
    assert all(answer.retryable for answer in answers if answer.status != 200)
    assert any(not each["name"] for each in seen)
    assert refused
    assert all((each["name"], each["retry"]) == ("HostUnavailableError", True) for each in refused)
    assert max(each["waited_s"] for each in refused) < 1.0
