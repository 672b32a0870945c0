"""`python -m tests.faults`: every fault, as a table."""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from tests.faults.case import Case, SkippedError
from tests.faults.cases import CASES
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess


def main() -> int:
    """Run the cases whose names contain the arguments, all without any; 1 where one failed."""
    failures = 0
    chosen = [case for case in CASES if not sys.argv[1:] or any(each in case.name for each in sys.argv[1:])]
    with tempfile.TemporaryDirectory(prefix="holdfast-faults-") as name:
        original = Path(name) / "original" / "data"
        with HostProcess(original, "--workers", "1") as host:
            deploy(host, components.built(components.PROBE))
        print(f"{'case':34} {'expected':46} seen")
        for number, case in enumerate(chosen):
            folder = Path(name) / str(number)
            seen, fits = run(case, original, folder)
            failures += not fits
            print(f"{' ' if fits else '!'}{case.name:33} {case.expected:46} {seen}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


def run(case: Case, original: Path, folder: Path) -> tuple[str, bool]:
    """One case on a copy of the data; what was seen, and whether it was right."""
    shutil.copytree(original, folder / "data")
    try:
        return case.run(folder / "data", folder), True
    except SkippedError as skipped:
        return f"skipped: {skipped}", True
    except Exception as error:
        return "".join(traceback.format_exception_only(error)).strip()[-1500:], False


if __name__ == "__main__":
    sys.exit(main())
