"""How often a test does what proves more the oftener it is done: kills, examples, rounds.

`make test` and `make test-long` do the short number; `make crash` and `make hostile` set REPEATS=all, run the tests
that are marked `repeats`, and so do the long one.
"""

from __future__ import annotations

import os

ALL = os.environ.get("REPEATS") == "all"


def repeats(short: int, long: int) -> int:
    """The number for this run."""
    assert short < long
    return long if ALL else short
