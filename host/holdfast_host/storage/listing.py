"""Listings over layers: what turns have changed, merged with what is stored, in the order of the keys' bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from holdfast_host.storage.store import Changes, Store, StoredInstance

Pair = tuple[bytes, bytes]


def key_range(
    prefix: bytes, start: bytes | None, start_after: bytes | None, end: bytes | None, key_bytes_max: int
) -> tuple[bytes, bytes | None] | None:
    """First key (inclusive) and end (exclusive, None for no end) of what all filters allow; None if that is nothing."""
    first = prefix
    if start is not None:
        first = max(first, start)
    if start_after is not None:
        first = max(first, start_after + b"\0")
    stop = _after_prefix(prefix)
    if end is not None:
        stop = end if stop is None else min(stop, end)
    first = _clamp(first, key_bytes_max)
    if stop is None:
        return first, None
    stop = _clamp(stop, key_bytes_max)
    return (first, stop) if first < stop else None


def read_page(
    store: Store,
    instance: StoredInstance,
    layers: Sequence[Changes],
    first: bytes,
    stop: bytes | None,
    *,
    reverse: bool,
    entries_max: int,
    bytes_max: int,
) -> tuple[list[Pair], bytes | None]:
    """The pairs of one page as the layers (oldest first) make them.

    Returns the pairs, and the first key left out where the bytes ended the page. A page has at least one pair, if there
    is any.
    """
    changed: dict[bytes, bytes | None] = {}
    cleared = False
    for layer in layers:
        if layer.cleared:
            cleared = True
            changed.clear()
        changed.update(item for item in layer.writes.items() if first <= item[0] and (stop is None or item[0] < stop))
    stored: Iterable[Pair] = ()
    if not cleared:
        stored = _stored(store, instance, first, stop, reverse=reverse, entries_max=entries_max, bytes_max=bytes_max)
    page: list[Pair] = []
    page_bytes = 0
    for key, value in _merged(stored, changed, reverse=reverse) if changed else stored:
        page_bytes += len(key) + len(value)
        if page_bytes > bytes_max and page:
            return page, key
        page.append((key, value))
        if len(page) == entries_max:
            break
    return page, None


def _stored(
    store: Store,
    instance: StoredInstance,
    first: bytes,
    stop: bytes | None,
    *,
    reverse: bool,
    entries_max: int,
    bytes_max: int,
) -> Iterator[Pair]:
    """What is stored in a range, in as many short scans as it takes."""
    while True:
        pairs, complete = store.scan(
            instance, start=first, end=stop, reverse=reverse, entries_max=entries_max, bytes_max=bytes_max
        )
        yield from pairs
        if complete:
            return
        if reverse:
            stop = pairs[-1][0]
        else:
            first = pairs[-1][0] + b"\0"


def _merged(stored: Iterable[Pair], changed: dict[bytes, bytes | None], *, reverse: bool) -> Iterator[Pair]:
    """Stored pairs with the changed ones in their places."""
    names = sorted(changed, reverse=not reverse)  # consumed from the end
    for key, value in stored:
        while names and names[-1] != key and (names[-1] < key) != reverse:
            name = names.pop()
            new = changed[name]
            if new is not None:
                yield name, new
        if names and names[-1] == key:
            names.pop()
            new = changed[key]
            if new is not None:
                yield key, new
        else:
            yield key, value
    while names:
        name = names.pop()
        new = changed[name]
        if new is not None:
            yield name, new


def _after_prefix(prefix: bytes) -> bytes | None:
    """The least text that is above everything with this prefix; None where there is none."""
    bare = prefix.rstrip(b"\xff")
    return bare[:-1] + bytes((bare[-1] + 1,)) if bare else None


def _clamp(bound: bytes, key_bytes_max: int) -> bytes:
    """A bound no longer than a key and one byte, before and after the same keys."""
    return bound if len(bound) <= key_bytes_max else bound[:key_bytes_max] + b"\0"
