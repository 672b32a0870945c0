"""`holdfast tune` on this machine, whatever it is: hosts come up, are loaded, and are gone afterwards."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.harness.host import HOLDFAST


@pytest.mark.slow
def test_the_best_numbers_are_found_with_reasons_and_nothing_is_left(tmp_path: Path) -> None:
    words = [HOLDFAST, "tune", "--data", str(tmp_path), "--seconds", "0.5", "--processes", "3", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first, *others = found["tried"]

    assert first["numbers"] == {"workers": 1, "fronts": 1}
    assert first["calls_per_s"] > 100
    assert 0 < first["worker_busy"] < 1.5
    assert 0 < first["front_busy"] < 1.5
    assert others, "with three processes allowed, one more is tried"
    assert found["workers"] + found["fronts"] <= 3
    assert all(each["why"] for each in found["tried"])
    assert found["bound"]
    assert not list(tmp_path.iterdir())
