"""`python -m tests.harness.mutants.host MUTATIONS serve ...`: `holdfast serve` with mutated workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from holdfast_host.cli.main import main as holdfast
from holdfast_host.supervisor.processes.child import Programs

PROJECT = Path(__file__).resolve().parents[3]


def command(*mutations: str) -> tuple[str, ...]:
    """What runs such a host, for `HostProcess(command=...)`; without a mutation, the product under the leader guard."""
    return (sys.executable, "-m", "tests.harness.mutants.host", ",".join(mutations))


def main() -> None:
    """Replace the default program of the workers, then be `holdfast`."""
    mutations = sys.argv.pop(1)
    defaults = Programs()
    worker = (sys.executable, "-P", "-m", "tests.harness.mutants.worker", mutations)
    Programs.__init__.__defaults__ = (worker, defaults.front, defaults.courier)
    os.environ["PYTHONPATH"] = str(PROJECT)
    holdfast()


if __name__ == "__main__":
    main()
