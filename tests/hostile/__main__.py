"""`python -m tests.hostile`: the long form of the hostile corpus, one case after another, as a table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile import corpus
from tests.hostile.stage import show


def main() -> int:
    """Run it on one worker and on two; 1 where anything was not as expected."""
    faults = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory(prefix="holdfast-hostile-") as folder:
            report = corpus.run(Path(folder) / "data", quick=False, at_once=1, workers=workers)
        print(f"{workers} worker(s)\n{show(report.rows)}")
        print(f"neighbour's p99: {report.p99_s * 1000:.1f} ms, idle {report.idle_p99_s * 1000:.1f} ms")
        faults += report.faults
    print("\n".join(faults) or "nothing got through")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
