"""The short form of the crash sweep and of the power cuts; `make crash` is the long one."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.cuts import cut_often
from tests.crash.linear import Call, violations
from tests.crash.sweep import at_random, at_step, sweep
from tests.harness.caller import Caller
from tests.harness.fixtures import StartHost

pytestmark = pytest.mark.slow


def test_whoever_is_killed_at_whichever_step_of_a_commit_what_is_stored_agrees_with_the_model(
    probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    shutil.copytree(probe_data(2), tmp_path / "data")
    chance = random.Random(1)
    kills = [at_step(step, whole_host=step % 5 == 4) for step in range(10)]
    kills += [at_random(chance, role) for role in ("worker", "front", "all", "supervisor")]
    done = sweep(tmp_path / "data", tmp_path, kills, seed=1)

    assert done.faults == []
    assert done.kills == len(kills)


def test_whatever_a_power_cut_leaves_of_the_writes_between_syncs_opens_and_holds_what_was_acknowledged(
    probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    shutil.copytree(probe_data(1), tmp_path / "data")
    done = cut_often(tmp_path / "data", tmp_path, calls=150, cuts=60, seed=2)

    assert done.faults == []
    assert done.cuts == 60


def test_a_history_of_concurrent_calls_to_one_name_has_an_order_that_agrees_with_time(
    start_probe_host: StartHost,
) -> None:
    history = record_history(start_probe_host(workers=2).url, clients=8, calls=60)

    assert violations(history) == []
    assert sum(not call.reads for call in history) > 100


def record_history(url: str, clients: int, calls: int) -> list[Call]:
    """Increments and reads of one name by many clients."""
    history: list[Call] = []

    def client(number: int) -> None:
        chance = random.Random(number)
        with Caller(url) as caller:
            for _ in range(calls):
                reads = chance.random() < 0.3
                began = time.monotonic()
                answer = caller.call("Probe", "counter", "get", "n", 0) if reads else caller.call(
                    "Probe", "counter", "increment"
                )  # fmt: skip
                value = answer.value if answer.status == 200 else None
                history.append(Call(reads, began, time.monotonic(), value))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return history


@pytest.mark.parametrize(
    "history",
    [
        [Call(False, 0, 1, 1), Call(False, 0, 1, 1)],
        [Call(False, 0, 1, 1), Call(False, 2, 3, 2), Call(True, 4, 5, 1)],
        [Call(False, 0, 1, 1), Call(True, 0, 1, 2)],
        [Call(False, 0, 1, 2), Call(False, 2, 3, 1)],
        [Call(False, 0, 1, 3)],
    ],
    ids=["the same twice", "a read of the past", "a read of the future", "order turned round", "one out of nothing"],
)
def test_the_check_of_histories_finds_what_no_order_explains(history: list[Call]) -> None:
    assert violations(history)
