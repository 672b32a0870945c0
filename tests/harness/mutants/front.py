"""`python -m tests.harness.mutants.front MUTATIONS FD`: the real front, with some of its seams patched first."""

from __future__ import annotations

import sys

from holdfast_host.front import main as front_main
from tests.harness.mutants.sockets import FRONT_MUTATIONS


def main() -> None:
    """Patch, then be the front."""
    for mutation in filter(None, sys.argv.pop(1).split(",")):
        FRONT_MUTATIONS[mutation]()
    front_main.main()


if __name__ == "__main__":
    main()
