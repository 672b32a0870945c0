"""`python -m tests.crash [SEED]`: the long crash sweep and power cuts, as a table. Every run with one seed is alike."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from tests.crash.cuts import cut_often
from tests.crash.setting_up import cut_setup, record_setup
from tests.crash.sweep import Kill, at_random, at_step, stopped_at_step, stopped_for, sweep
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

EXPECTED = "all acknowledged, nothing half, in order"


def main() -> int:
    """Run all; 1 where anything was found."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1_000_000)
    chance = random.Random(seed)
    print(f"seed {seed}: `make crash SEED={seed}` repeats this\n{'case':42} {'expected':42} seen")
    sweeps: dict[str, list[Kill]] = {
        "worker killed before each commit step": [at_step(step, whole_host=False) for step in range(60)],
        "host killed before each 2nd commit step": [at_step(step, whole_host=True) for step in range(0, 60, 2)],
        "worker killed at 40 random instants": [at_random(chance, "worker") for _ in range(40)],
        "host killed at 20 random instants": [at_random(chance, "all") for _ in range(20)],
        "supervisor killed at 20 random instants": [at_random(chance, "supervisor") for _ in range(20)],
        "front killed at 20 random instants": [at_random(chance, "front") for _ in range(20)],
        "worker stopped, replaced, continued": [stopped_at_step(step) for step in range(6)],
        "worker stopped for a while, continued": [stopped_for(chance.uniform(0.0, 2.0)) for _ in range(10)],
    }
    found = 0
    for name, kills in sweeps.items():
        with tempfile.TemporaryDirectory(prefix="holdfast-crash-") as folder:
            done = sweep(_deployed(Path(folder), workers=2), Path(folder), kills, seed)
        found += len(done.faults)
        of = done.connected
        seen = (
            f"{done.acknowledged} acknowledged, {done.unknown} unknown, {done.rung} alarms; "
            f"{of['opened']} sockets, {of['heard']} messages, {of['kept']} keys, {of['left']} jobs"
        )
        _show(name, seen, done.faults)
    for turn in range(3):
        with tempfile.TemporaryDirectory(prefix="holdfast-cuts-") as folder:
            data = _deployed(Path(folder), workers=1)
            cuts = cut_often(data, Path(folder), calls=500, cuts=400, seed=seed + turn)
        found += len(cuts.faults)
        seen = f"{cuts.acknowledged} acknowledged, {cuts.littered} in a sweep"
        _show(f"power cut at {cuts.cuts} of {cuts.records} calls", seen, cuts.faults)
    with tempfile.TemporaryDirectory(prefix="holdfast-setup-") as folder:
        setup = record_setup(Path(folder), components.built(components.PROBE))
        faults = cut_setup(setup, Path(folder) / "left", cuts=600, seed=seed)
    found += len(faults)
    _show("power cut at 600 calls of setting up", f"{len(setup.steps)} steps acknowledged", faults)
    return 1 if found else 0


def _deployed(folder: Path, workers: int) -> Path:
    data = folder / "data"
    with HostProcess(data, "--workers", str(workers)) as host:
        deploy(host, components.built(components.PROBE))
    return data


def _show(case: str, seen: str, faults: list[str]) -> None:
    mark = "!" if faults else " "
    print(f"{mark}{case:41} {EXPECTED:42} {seen}", *faults[:20], sep="\n    ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
