"""Pages of a listing that lies in several places, put together in order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import NamedTuple


class NamePage(NamedTuple):
    """Instances by name: name and live bytes, in the order of the names' bytes."""

    rows: list[tuple[bytes, int]]
    next: bytes | None  # what to go on after: the last row's name, or a later one; None where this is all


def merge_pages(pages: Sequence[NamePage], entries_max: int) -> NamePage:
    """The pages of several places as one of at most so many rows.

    Beyond the name after which a page goes on nothing is known of its place, so the merged page ends there.
    """
    known_to = min((page.next for page in pages if page.next is not None), default=None)
    merged = heapq.merge(*(page.rows for page in pages))
    rows = list(itertools.islice(merged, entries_max + 1))
    if known_to is not None:
        while rows and rows[-1][0] > known_to:
            rows.pop()
    if len(rows) > entries_max:
        return NamePage(rows[:entries_max], rows[entries_max - 1][0])
    return NamePage(rows, known_to)
