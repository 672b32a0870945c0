"""How long and how often each section measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of one run."""

    quick: bool
    rounds: int  # repetitions, interleaved over what is compared
    seconds: float  # of load in each
    active: tuple[int, int]  # instances in memory at once
    on_disk: int  # instances in the large data directory
    calls: int  # of a latency that is measured call by call
    deploys: int
    sandbox_calls: int  # in one block inside the sandbox
    profile_s: float
    before: Path | None = None  # the checkout of an earlier commit, installed, to compare the budget of a call with


FULL: Final = Scale(
    quick=False,
    rounds=5,
    seconds=2.0,
    active=(1_000, 5_000),
    on_disk=100_000,
    calls=300,
    deploys=3,
    sandbox_calls=2_000,
    profile_s=8.0,
)
QUICK: Final = Scale(
    quick=True,
    rounds=2,
    seconds=1.0,
    active=(50, 200),
    on_disk=5_000,
    calls=40,
    deploys=1,
    sandbox_calls=400,
    profile_s=3.0,
)
