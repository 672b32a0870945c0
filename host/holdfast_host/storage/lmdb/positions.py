"""Listings over the partitions of a worker, one partition after another: a position says in which one to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PARTITION_BYTES: Final = 4  # with which a position begins; the rest is a key of that partition's
_Partition = TypeVar("_Partition")
_Row = TypeVar("_Row")


def read_in_turn(
    partitions: Mapping[int, _Partition],
    after: bytes,
    entries_max: int,
    read: Callable[[_Partition, bytes, int], tuple[list[_Row], bytes | None]],
) -> tuple[list[_Row], bytes | None]:
    """What a listing has after a position, and the position to go on after; None where that is all.

    Args:
        partitions: those of the worker, by number.
        after: where an earlier page ended; empty for the first one.
        entries_max: how many rows there may be.
        read: what a partition has after a key, so many rows at most, and the key to go on after. A page that is not
            the last may be short: it had no more time.
    """
    first, key = int.from_bytes(after[:_PARTITION_BYTES], "big"), after[_PARTITION_BYTES:]
    found: list[_Row] = []
    for number in sorted(number for number in partitions if number >= first):
        next_key: bytes | None = b""
        if len(found) < entries_max:
            page, next_key = read(partitions[number], key if number == first else b"", entries_max - len(found))
            found += page
        if next_key is not None:
            return found, number.to_bytes(_PARTITION_BYTES, "big") + next_key
    return found, None
