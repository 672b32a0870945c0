"""`python -m tests.benchmarks.scaling`: 1, 2 and 4 workers, 1 and 2 fronts, as far as the machine has the cores.

A core for each worker and each front, and one for the load generator: with fewer the figures say nothing about workers.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from tests.benchmarks.load import Load, measure, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast

COMBINATIONS = [(workers, fronts) for workers in (1, 2, 4) for fronts in (1, 2)]
LOADS = {"deposit": Load.deposit(200, 256), "empty": Load.empty(200, 256)}


def run(section: Section, scale: Scale) -> None:
    """All combinations that the machine can show, each on a host of its own, in turns."""
    cores = len(os.sched_getaffinity(0))
    chosen = [each for each in COMBINATIONS if sum(each) + 1 <= cores] or COMBINATIONS[:1]
    left_out = [f"{workers}x{fronts}" for workers, fronts in COMBINATIONS if (workers, fronts) not in chosen]
    if left_out:
        section.note(
            f"{cores} cores: workers x fronts {', '.join(left_out)} left out, for each process and the load generator "
            "want a core of their own"
        )
    with ExitStack() as stack:
        servers = {
            (workers, fronts): stack.enter_context(holdfast("--workers", str(workers), "--fronts", str(fronts)))
            for workers, fronts in chosen
        }
        for name, load in LOADS.items():
            for server in servers.values():
                measure(server, load, scale.seconds)
            contenders = [(f"{workers}x{fronts}", server, load) for (workers, fronts), server in servers.items()]
            seen = measure_in_turns(contenders, scale.rounds, scale.seconds)
            rows = []
            for key, runs in seen.items():
                begin = f"scaling/{name}/{key}"
                ratios = [a.calls_per_s / b.calls_per_s for a, b in zip(runs, seen["1x1"], strict=True)]
                rows.append(
                    [
                        *key.split("x"),
                        section.figure(f"{begin}/calls_per_s", [each.calls_per_s for each in runs]),
                        f"{section.figure(f'{begin}/ratio', ratios)}x",
                        section.figure(f"{begin}/p99_ms", [each.p99_ms for each in runs]),
                        section.figure(f"{begin}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
                    ]
                )
            section.table(
                f"workers and fronts, {name}: {load}",
                ["workers", "fronts", "calls/s", "of one and one", "p99 ms", "CPU us/call"],
                rows,
            )


if __name__ == "__main__":
    from tests.benchmarks.__main__ import main

    main(["--only", "scaling"])
