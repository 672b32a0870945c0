"""Pages of what a listing by state has, of the types that were asked for. Any thread, as of the last commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from holdfast_host.core.json_text import JsonObject

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOKED_AT: Final = 256  # rows of one read transaction
_STEPS: Final = 40  # of one question: who has no rows among so many asks again
_Row = TypeVar("_Row", bound="tuple[Any, ...]")
_Read = "Callable[[bytes, int], tuple[list[_Row], bytes | None]]"


def page_of_types(
    facts: JsonObject, read: Callable[[bytes, int], tuple[list[_Row], bytes | None]]
) -> tuple[list[_Row], str | None]:
    """Rows, and the position to go on from; None where that is all.

    A page that is full ends with a row that was asked for: what a caller is shown of its position names no other's.

    Args:
        facts: `after`, a position or empty; `limit`; where not all types are wanted, their numbers, as `only`, or those
            of the others, as `without`.
        read: from a position, so many rows, which begin with the number of the type, and where the next ones are.
    """
    after, limit = bytes.fromhex(facts["after"]), int(facts["limit"])
    only, without = facts.get("only"), facts.get("without")
    if only is None and without is None:
        rows, position = read(after, limit)
        return rows, None if position is None else position.hex()
    listed = frozenset(only or without or ())
    found: list[_Row] = []
    looked_at = _LOOKED_AT
    for _ in range(_STEPS):
        rows, position = read(after, looked_at)
        looked_at = _LOOKED_AT
        places = [place for place, row in enumerate(rows) if (row[0] in listed) is (only is not None)]
        left = limit - len(found)
        if len(places) > left or (len(places) == left and places[-1] + 1 < len(rows)):
            looked_at = places[left - 1] + 1  # again, up to the last one that there is room for
            continue
        found += [rows[place] for place in places]
        if position is None:
            return found, None
        after = position
        if len(found) == limit:
            break
    return found, after.hex()
