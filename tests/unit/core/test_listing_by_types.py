"""Pages of some types among many: whole, in order, and with positions that name no row of others."""

from __future__ import annotations

import pytest

from holdfast_host.core.listing_by_types import page_of_types

ROWS = [(number % 7 + 1, f"name {number}".encode()) for number in range(2_000)]


def read(after: bytes, limit: int) -> tuple[list[tuple[int, bytes]], bytes | None]:
    """As a store does: a position is the name of the last row."""
    begin = 0 if not after else next(place for place, row in enumerate(ROWS) if row[1] == after) + 1
    page = ROWS[begin : begin + limit]
    return page, page[-1][1] if begin + limit < len(ROWS) else None


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, set(range(1, 8))),
        ({"only": [3]}, {3}),
        ({"only": [3, 5, 99]}, {3, 5}),
        ({"only": []}, set()),
        ({"without": [1, 2, 4, 6, 7]}, {3, 5}),
        ({"without": list(range(1, 8))}, set()),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100, 256, 1_000, 5_000])
def test_every_row_of_the_types_comes_once_and_a_full_page_ends_with_one(
    asked: dict[str, list[int]], wanted: set[int], limit: int
) -> None:
    found: list[tuple[int, bytes]] = []
    after: str | None = ""
    while after is not None:
        page, after = page_of_types({"after": after, "limit": limit, **asked}, read)
        assert len(page) <= limit
        assert {type_id for type_id, _ in page} <= wanted
        if after is not None and len(page) == limit:
            assert bytes.fromhex(after) == page[-1][1], "the position that a caller sees"
        found += page

    assert found == [row for row in ROWS if row[0] in wanted]
