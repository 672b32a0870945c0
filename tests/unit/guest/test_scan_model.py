"""A scan against what it promises: after each key it shows the next one of what is stored then."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from holdfast import Storage
from tests.unit.guest.memory_host import MemoryAlarms, MemoryStorage

KEYS = [f"{letter}{number}" for letter in "abc" for number in range(4)]
EDITS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("put_many"), st.dictionaries(st.sampled_from(KEYS), st.integers(0, 9), max_size=4)),
    st.tuples(st.just("delete_all")),
)
STEPS = st.lists(st.tuples(st.booleans(), st.lists(EDITS, max_size=4)), max_size=12)
FILTERS = st.fixed_dictionaries(
    {"reverse": st.booleans()},
    optional={
        "prefix": st.sampled_from(["", "a", "b"]),
        "start_after": st.sampled_from(KEYS),
        "end": st.sampled_from(KEYS),
    },
)


def expected(values: dict[str, Any], last: str | None, filters: dict[str, Any]) -> str | None:
    """The key that comes next."""
    reverse = filters["reverse"]
    left = [
        key
        for key in sorted(values, reverse=reverse)
        if key.startswith(filters.get("prefix", ""))
        and key > filters.get("start_after", "")
        and key < filters.get("end", "z")
        and (last is None or (key < last if reverse else key > last))
    ]
    return left[0] if left else None


def edit(storage: Storage, edits: list[Any], *, undone: bool) -> None:
    """Make the edits, in a block that is undone or as they are."""
    try:
        with storage.transaction():
            for name, *arguments in edits:
                getattr(storage, name)(*arguments)
            if undone:
                raise LookupError  # noqa: TRY301
    except LookupError:
        return


@given(st.dictionaries(st.sampled_from(KEYS), st.integers(0, 9)), STEPS, FILTERS, st.integers(1, 5))
def test_a_scan_shows_after_each_key_the_next_one_that_is_stored_then(
    values: dict[str, int], steps: list[Any], filters: dict[str, Any], page_entries: int
) -> None:
    host = MemoryStorage(page_entries_max=page_entries)
    storage = Storage(host, MemoryAlarms())
    storage.put_many(values)
    scan, last = storage.scan(**filters), None

    for undone, edits in [*steps, *((False, []) for _ in KEYS)]:
        stored = {key: json.loads(text) for key, text in host.values.items()}
        key = expected(stored, last, filters)
        shown = next(scan, None)
        assert shown == (None if key is None else (key, stored[key]))
        if key is None:
            break
        last = key
        edit(storage, edits, undone=undone)
