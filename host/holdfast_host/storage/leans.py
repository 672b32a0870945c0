"""Which instances of a group lean on which, and what is lost with one that cannot be written.

It knows no store: each kind of store writes in this order and says why an instance is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Final

from holdfast_host.core.errors import HoldfastError

# Which instances lean on which, by id() of their StoredInstance: what one that leans wrote is worth nothing without
# what the others wrote in the same group. Never in a circle. Those named need not have batches of their own.
Leans = Mapping[int, Collection[int]]
NO_LEANS: Final[Leans] = {}


def lose_what_leans(
    instances: Iterable[int], leans: Leans, write: Callable[[int], HoldfastError | None]
) -> dict[int, HoldfastError]:
    """Write instance by instance, each after those it leans on; what was lost, by id() of the StoredInstance.

    `write` says why an instance is lost; it is not asked about one that leans on a lost one.
    """
    graph = {**dict.fromkeys(instances, ()), **leans} if leans else dict.fromkeys(instances, ())
    order = TopologicalSorter(graph).static_order() if leans else graph
    written, lost = set(instances), dict[int, HoldfastError]()
    for number in order:
        base = next((base for base in leans.get(number, ()) if base in lost), None)
        error = lost[base] if base is not None else write(number) if number in written else None
        if error is not None:
            lost[number] = error
    return lost
