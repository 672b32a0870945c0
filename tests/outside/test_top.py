"""A host that hangs, seen from outside: what spins is named with its place, and a worker that is stopped as well."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import processes
from tests.harness.commands import run
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess

ANSWER_S = 5.0  # two that the host waits for its workers, and a busy machine

pytestmark = pytest.mark.slow


def workers_of(host: HostProcess) -> list[dict[str, Any]]:
    """What the API answers, in time."""
    with host.caller() as caller:
        began = time.monotonic()
        found: list[dict[str, Any]] = caller.request("GET", "/v1/debug/workers").value["workers"]
        assert time.monotonic() - began < ANSWER_S
    return found


def until(host: HostProcess, holds: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while not holds(found := workers_of(host)):
        assert time.monotonic() < deadline, found
    return found


def call(host: HostProcess, name: str, method: str, *arguments: Any) -> Any:
    with host.caller(timeout_s=60.0) as caller:
        return caller.value("Probe", name, method, *arguments)


def test_a_spinning_actor_is_named_with_its_place_while_it_spins_and_in_the_log(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with ThreadPoolExecutor() as clients:
        spinning = [clients.submit(call, host, name, "spin", 4.0) for name in ("alice", "bob", "carol")]
        [worker] = until(host, lambda found: any(each["stands"] for each in found[0]["activity"]["turns"]))
        shown = run(host, "top", "--once")
        turns = {each["name"]: each for each in worker["activity"]["turns"]}
        for each in spinning:
            each.result()

    assert worker["answers"]
    assert worker["pid"] == host.pids()["worker"][0]
    assert {each["method"] for each in turns.values()} == {"spin"}
    places = {each["stands"] for each in turns.values() if each["stands"]}
    assert all(re.fullmatch(r"Probe\.spin, \S+\.py line \d+", place) for place in places), places
    assert "Probe/alice.spin" in shown
    assert "  in Probe.spin, " in shown
    [line, *_] = [line for line in host.log.splitlines() if "a turn runs for long" in line]
    assert re.search(
        r' warning worker 0 a turn runs for long instance=Probe/\w+ .*method=spin .*stands="Probe\.spin, ', line
    )
    assert "a turn has run for long instance=Probe/" in host.log


def test_a_worker_that_does_not_answer_is_shown_with_what_it_had_begun(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    names = [f"n{number}" for number in range(40)]
    with ThreadPoolExecutor(len(names)) as clients:
        spinning = [clients.submit(call, host, name, "spin", 1.0) for name in names]
        until(host, lambda found: all(each["activity"] and each["activity"]["turns"] for each in found))
        stopped = host.pids()["worker"][0]
        processes.send(stopped, signal.SIGSTOP)
        try:
            silent, other = workers_of(host)  # before it is replaced, ten seconds later
        finally:
            processes.send(stopped, signal.SIGCONT)
        for each in spinning:
            each.result()

    assert (silent["answers"], silent["activity"], silent["pid"]) == (False, None, stopped)
    assert silent["heartbeat_s"] >= 0
    assert {(each["type"], each["function"]) for each in silent["noted"]} == {("Probe", None)}
    assert {each["name"] for each in silent["noted"]} <= set(names)
    assert other["answers"]
    assert all(each["answers"] for each in workers_of(host))
