"""The short form of the crash sweep; `make crash` is the long one. And that it finds what is wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.sweep import at_random, at_step, stopped_at_step, stopped_for, sweep
from tests.harness.mutants.host import command

KILLS_MAX = 200  # a mutant shows itself within a few, seldom later; then the sweep ends
ROUND, ROUNDS_MAX = 12, 10  # what is lost shows itself at a sweep's end

pytestmark = pytest.mark.slow


def test_whoever_is_killed_at_whichever_step_of_a_commit_what_is_stored_agrees_with_the_model(
    probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    shutil.copytree(probe_data(2), tmp_path / "data")
    chance = random.Random(1)
    kills = [at_step(step, whole_host=step % 5 == 4) for step in range(10)]
    kills += [at_random(chance, role) for role in ("worker", "front", "all", "supervisor")]
    kills += [stopped_at_step(2), stopped_for(0.3)]
    done = sweep(tmp_path / "data", tmp_path, kills, seed=1)

    assert done.faults == []
    assert done.kills == len(kills)
    assert all(done.connected[kind] for kind in ("opened", "heard", "closed", "kept", "left"))


@pytest.mark.parametrize("mutation", ["open_gate", "clear_alarms_after_they_ran"])
def test_the_sweep_finds_a_worker_that_answers_before_its_commit_or_delivers_an_alarm_twice(
    probe_data: Callable[[int], Path], tmp_path: Path, mutation: str
) -> None:
    shutil.copytree(probe_data(2), tmp_path / "data")
    kills = [at_step(step % 10, whole_host=False) for step in range(KILLS_MAX)]

    assert sweep(tmp_path / "data", tmp_path, kills, seed=1, command=command(mutation), connections=0).faults


@pytest.mark.parametrize(
    "mutation",
    ["keep_no_receipts", "remove_calls_before_they_are_answered", "remove_sockets_before_they_are_heard"],
    ids=["receipts", "jobs", "sockets"],
)
def test_the_sweep_finds_a_key_that_takes_effect_twice_a_job_that_is_lost_and_a_close_that_nobody_hears(
    probe_data: Callable[[int], Path], tmp_path: Path, mutation: str
) -> None:
    for number in range(ROUNDS_MAX):
        folder = tmp_path / f"{number}"
        shutil.copytree(probe_data(2), folder / "data")
        kills = [at_step(step % 10, whole_host=False) for step in range(ROUND)]
        if sweep(folder / "data", folder, kills, seed=number, command=command(mutation), clients=1).faults:
            break
    else:
        pytest.fail(f"nothing was found in {ROUNDS_MAX * ROUND} kills")
