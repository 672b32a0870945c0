"""Which numbers of workers and fronts to try: one more of what is busiest, as long as that brings something.

Nothing here measures; `measure` is given. A process that is busy holds up all others, so the busier role is tried
first, then the other one, then one more of both where both are busy; where none brings GAIN_LEAST, the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

GAIN_LEAST: Final = 1.05  # less is within what a repetition moves by
BUSY: Final = 0.85  # of a processor: such a process holds up the others
BOTH_BUSY: Final = 0.6  # each: one more of one role alone may bring nothing


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many processes of each role a host has."""

    workers: int
    fronts: int

    @property
    def processes(self) -> int:
        """All of them."""
        return self.workers + self.fronts

    def __str__(self) -> str:
        return f"--workers {self.workers} --fronts {self.fronts}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a host with these numbers did; how busy each of its processes was on average, as a share of a processor."""

    numbers: Numbers
    calls_per_s: float
    p99_ms: float
    worker_busy: float
    front_busy: float


@dataclass(frozen=True, slots=True)
class Step:
    """One that was tried, whether it is better than the best before it, and why it was tried or what it brought."""

    measured: Measured
    is_better: bool
    why: str


def search(measure: Callable[[Numbers], Measured], processes_max: int) -> Iterator[Step]:
    """Try hosts from the smallest on, each step told as it is made; the last that is better is the best.

    Args:
        measure: starts such a host, loads it, and says what it did.
        processes_max: workers and fronts together.
    """
    best = measure(Numbers(1, 1))
    yield Step(best, True, "the smallest host")
    while best.numbers.processes < processes_max:
        for numbers, why in _next(best, processes_max):
            found = measure(numbers)
            gain = found.calls_per_s / best.calls_per_s
            is_better = gain >= GAIN_LEAST
            yield Step(found, is_better, f"{why}: {gain:.2f}x")
            if is_better:
                best = found
                break
        else:
            return


def bound_of(best: Measured, processes_max: int) -> str:
    """What holds up the best one: why it is not faster."""
    busy = {"workers": best.worker_busy, "fronts": best.front_busy}
    role = max(busy, key=lambda each: busy[each])
    if busy[role] < BUSY:
        return (
            "no process is busy all the time: it is syncs of the disk, or processors that are shared with others, that"
            " calls wait for"
        )
    if best.numbers.processes >= processes_max:
        return f"the {role} are busy {busy[role]:.0%} of the time: more of them need more processors"
    return f"the {role} are busy {busy[role]:.0%} of the time, and more processes bring nothing: they share the rest"


def _next(best: Measured, processes_max: int) -> list[tuple[Numbers, str]]:
    """What to try beside the best, the more promising first."""
    more_workers = replace(best.numbers, workers=best.numbers.workers + 1)
    more_fronts = replace(best.numbers, fronts=best.numbers.fronts + 1)
    tried = [
        (best.worker_busy, more_workers, f"the workers were busy {best.worker_busy:.0%} of the time"),
        (best.front_busy, more_fronts, f"the fronts were busy {best.front_busy:.0%} of the time"),
    ]
    tried.sort(key=lambda each: each[0], reverse=True)
    found = [(numbers, why) for _, numbers, why in tried]
    if min(best.worker_busy, best.front_busy) >= BOTH_BUSY:
        found.append((replace(more_workers, fronts=more_fronts.fronts), "both were busy"))
    return [(numbers, why) for numbers, why in found if numbers.processes <= processes_max]
