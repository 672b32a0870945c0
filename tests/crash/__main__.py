"""`python -m tests.crash [SEED]`: the long crash sweep and power cuts, as a table. Every run with one seed is alike."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.crash.cuts import cut_often
from tests.crash.sweep import at_random, at_step, stop_and_continue, sweep
from tests.faults.shim import Faults
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

Kill = Callable[[HostProcess, Faults], bool]


def main() -> int:
    """Run all; 1 where anything was found."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1_000_000)
    chance = random.Random(seed)
    print(f"seed {seed}\n{'case':44} {'acknowledged':>12} {'unknown':>8}  found")
    sweeps: dict[str, list[Kill]] = {
        "worker killed before each commit step": [at_step(step, whole_host=False) for step in range(60)],
        "host killed before each 2nd commit step": [at_step(step, whole_host=True) for step in range(0, 60, 2)],
        "worker killed at 40 random instants": [at_random(chance, "worker") for _ in range(40)],
        "host killed at 20 random instants": [at_random(chance, "all") for _ in range(20)],
        "supervisor killed at 20 random instants": [at_random(chance, "supervisor") for _ in range(20)],
        "front killed at 20 random instants": [at_random(chance, "front") for _ in range(20)],
        "worker stopped, replaced, continued, twice": [stop_and_continue] * 2,
    }
    found = 0
    for name, kills in sweeps.items():
        with tempfile.TemporaryDirectory(prefix="holdfast-crash-") as folder:
            done = sweep(_deployed(Path(folder), workers=2), Path(folder), kills, seed)
        found += len(done.faults)
        print(f"{name:44} {done.acknowledged:12} {done.unknown:8}  {_shown(done.faults)}", flush=True)
    for turn in range(3):
        with tempfile.TemporaryDirectory(prefix="holdfast-cuts-") as folder:
            data = _deployed(Path(folder), workers=1)
            cuts = cut_often(data, Path(folder), calls=500, cuts=400, seed=seed + turn)
        found += len(cuts.faults)
        name = f"power cut at {cuts.cuts} of {cuts.records} calls"
        print(f"{name:44} {cuts.acknowledged:12} {'-':>8}  {_shown(cuts.faults)}", flush=True)
    return 1 if found else 0


def _deployed(folder: Path, workers: int) -> Path:
    data = folder / "data"
    with HostProcess(data, "--workers", str(workers)) as host:
        deploy(host, components.built(components.PROBE))
    return data


def _shown(faults: list[str]) -> str:
    return "nothing" if not faults else "\n    ".join([f"{len(faults)} faults", *faults[:20]])


if __name__ == "__main__":
    sys.exit(main())
