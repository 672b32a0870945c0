"""`python -m tests.harness.mutants.host MUTATIONS serve ...`: `holdfast serve` with mutated workers and fronts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from holdfast_host.cli.main import main as holdfast
from holdfast_host.supervisor.processes.child import Programs
from tests.harness.mutants.sockets import FRONT_MUTATIONS

PROJECT = Path(__file__).resolve().parents[3]


def command(*mutations: str) -> tuple[str, ...]:
    """What runs such a host, for `HostProcess(command=...)`; without a mutation, the product under the leader guard."""
    return (sys.executable, "-m", "tests.harness.mutants.host", ",".join(mutations))


def main() -> None:
    """Replace the default programs of workers, and of fronts that are mutated, then be `holdfast`."""
    mutations = sys.argv.pop(1).split(",")
    of_front = [each for each in mutations if each in FRONT_MUTATIONS]
    of_worker = [each for each in mutations if each not in FRONT_MUTATIONS]
    defaults = Programs()
    worker = _mutated("worker", of_worker)
    front = _mutated("front", of_front) if of_front else defaults.front
    Programs.__init__.__defaults__ = (worker, front, defaults.courier)
    os.environ["PYTHONPATH"] = str(PROJECT)
    holdfast()


def _mutated(role: str, mutations: list[str]) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", f"tests.harness.mutants.{role}", ",".join(mutations))


if __name__ == "__main__":
    main()
