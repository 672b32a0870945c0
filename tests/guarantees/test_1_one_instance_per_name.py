"""Guarantee 1: every call for a name reaches one activation; there are never two."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.load import Load, PlannedCall, Record, Told
from tests.harness.mutants.host import command

NAMES = [f"one-{number}" for number in range(10)]
CALLS = 600


def ask_all_at_once(host: HostProcess) -> list[Record]:
    """Many clients ask few names who they are, all starting together."""
    left = iter(range(CALLS))

    def plan(_client: int, chance: random.Random) -> PlannedCall | None:
        return PlannedCall(chance.choice(NAMES), "activation_id") if next(left, None) is not None else None

    with Load(host.url, plan, clients=32) as load:
        return load.join()


def activations_by_name(records: list[Record]) -> dict[str, set[str]]:
    """Who answered for each name."""
    found = defaultdict(set)
    for record in records:
        assert record.answer is not None
        assert record.told is Told.DONE, record
        found[record.call.name].add(record.answer.value)
    return found


def test_every_call_for_a_name_reaches_one_activation(start_probe_host: StartHost) -> None:
    host = start_probe_host("--fronts", "2", workers=2)

    found = activations_by_name(ask_all_at_once(host))

    assert {name: len(ids) for name, ids in found.items()} == dict.fromkeys(NAMES, 1)
    assert len(set.union(*found.values())) == len(NAMES)


@pytest.mark.slow
def test_without_the_directory_a_name_has_many_activations(start_probe_host: StartHost) -> None:
    host = start_probe_host(command=command("forget_instances"))

    found = activations_by_name(ask_all_at_once(host))

    assert any(len(ids) > 1 for ids in found.values())


@pytest.mark.slow
def test_an_eviction_between_two_calls_leaves_one_activation_at_a_time(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "idle_eviction_s=0.01")
    tally: Counter[str] = Counter()
    answers = []
    with host.caller() as caller:
        for number in range(300):
            name = NAMES[number % 3]
            answers.append((caller.value("Probe", name, "increment"), caller.value("Probe", name, "activation_id")))
            tally[name] += 1
            if number % 30 == 29:
                time.sleep(0.3)  # long enough for idle activations to go; the sums are right with and without

        sums = {name: caller.value("Probe", name, "get", "n") for name in tally}

    assert sums == dict(tally)
    assert len({activation for _, activation in answers}) > 3


@pytest.mark.slow
def test_a_deploy_under_load_never_makes_two_and_loses_no_call(
    start_probe_host: StartHost, probe_component: TestComponent, tmp_path: Path
) -> None:
    host = start_probe_host()
    changed = tmp_path / "holdfast.toml"
    acknowledged: Counter[str] = Counter()

    def plan(_client: int, chance: random.Random) -> PlannedCall:
        return PlannedCall(chance.choice(NAMES[:3]), "slow_increment", (0.01,))

    with Load(host.url, plan, clients=8) as load:
        for greeting in ("two", "three", "four"):
            load.wait_for(20)
            changed.write_text(probe_component.manifest.read_text().replace('"hello"', f'"{greeting}"'))
            deploy(host, TestComponent("probe", probe_component.project, changed, probe_component.component))
        load.wait_for(20)
    for record in load.records:
        assert record.told is Told.DONE, record
        acknowledged[record.call.name] += 1
    with host.caller() as caller:
        sums = {name: caller.value("Probe", name, "get", "n") for name in acknowledged}
        greeting = caller.value("Probe", NAMES[0], "greeting")

    assert sums == dict(acknowledged)
    assert greeting == "four"


@pytest.mark.slow
def test_a_second_host_on_the_same_directory_says_who_holds_it(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", 1)

        began = time.monotonic()
        second = subprocess.run(
            [HOLDFAST, "serve", "--listen", "127.0.0.1:0", "--data", str(host.data)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        waited_s = time.monotonic() - began

        assert second.returncode != 0
        assert str(host.pids()["supervisor"][0]) in second.stderr
        assert "Traceback" not in second.stderr
        assert waited_s > 4.0
        assert caller.value("Probe", "alice", "get", "k") == 1


@pytest.mark.slow
def test_a_host_started_while_a_dead_one_leaves_waits_for_it(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", 1)
    pids = host.pids()
    stopped = threading.Thread(target=host.kill, args=("supervisor",))
    stopped.start()
    stopped.join()
    host.wait()

    host.start()

    with host.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") == 1
    assert not set(pids["worker"]) & set(host.pids()["worker"])
