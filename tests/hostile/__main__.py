"""`python -m tests.hostile [SEED]`: the long form of the hostile corpus and of its fuzzers, as tables."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.hostile import corpus, round_trips, streams
from tests.hostile.stage import Row, show

_EXAMPLES = 5_000
_EXAMPLES_THROUGH_A_HOST = 500
_STREAMS_S = 60.0


def main() -> int:
    """Run it on one worker and on two, and what is made from a seed; 1 where anything was not as expected."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(1 << 32)
    faults = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory(prefix="holdfast-hostile-") as folder:
            report = corpus.run(Path(folder) / "data", quick=False, at_once=1, workers=workers)
        print(f"{workers} worker(s)\n{show(report.rows)}")
        print(f"neighbour's p99: {report.p99_s * 1000:.1f} ms, idle {report.idle_p99_s * 1000:.1f} ms")
        faults += report.faults
    made = _fuzz(seed)
    print(f"made from a seed\n{show(made)}")
    faults += [f"{row.case}: {row.seen} instead of {row.expected}" for row in made if not row.fits]
    print("\n".join(faults) or "nothing got through")
    return 1 if faults else 0


def _fuzz(seed: int) -> list[Row]:
    rows = [streams.run(_STREAMS_S, seed), *round_trips.run_here(_EXAMPLES, seed)]
    with tempfile.TemporaryDirectory(prefix="holdfast-hostile-") as folder, HostProcess(Path(folder) / "data") as host:
        deploy(host, components.built(components.PROBE))
        with host.caller() as caller:
            return [*rows, round_trips.run_through(caller, _EXAMPLES_THROUGH_A_HOST, seed)]


if __name__ == "__main__":
    sys.exit(main())
