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


@pytest.mark.parametrize("mutation", ["open_gate", "clear_alarms_after_they_ran"])
def test_the_sweep_finds_a_worker_that_answers_before_its_commit_or_delivers_an_alarm_twice(
    probe_data: Callable[[int], Path], tmp_path: Path, mutation: str
) -> None:
    shutil.copytree(probe_data(2), tmp_path / "data")
    kills = [at_step(step % 10, whole_host=False) for step in range(KILLS_MAX)]

    assert sweep(tmp_path / "data", tmp_path, kills, seed=1, command=command(mutation)).faults
