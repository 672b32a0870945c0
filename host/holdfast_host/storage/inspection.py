"""Reading a partition for people: which instances there are, and how many keys one of them has.

Each function is one short read transaction (`page_read_s`), for one that is held for long makes the file grow for good.
A page that is not the last may therefore be short, but it always goes on.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Sequence

import lmdb

from holdfast_host.storage.keys import data_prefix, name_key, unpack_name_row
from holdfast_host.storage.partition import Partition
from holdfast_host.storage.store import StoreBrokenError

Row = tuple[bytes, int]  # an instance's name and live bytes

_NAME_AT = len(name_key(0, b""))


def instance_page(
    partition: Partition, type_id: int, prefix: bytes, after: bytes, entries_max: int, page_read_s: float
) -> tuple[list[Row], bool]:
    """The next instances of a type in this partition, in name order, and whether these are the last ones."""
    wanted = name_key(type_id, prefix)
    first = name_key(type_id, max(prefix, after + b"\0")) if after else wanted
    rows: list[Row] = []
    try:
        with partition.env.begin() as txn, txn.cursor() as cursor:
            over_at = time.perf_counter() + page_read_s
            if not cursor.set_range(first):
                return rows, True
            for key, value in cursor.iternext():
                if not key.startswith(wanted):
                    return rows, True
                if rows and (len(rows) >= entries_max or time.perf_counter() >= over_at):
                    return rows, False
                rows.append((key[_NAME_AT:], unpack_name_row(value)[1]))
    except lmdb.Error as error:
        raise StoreBrokenError(f"partition {partition.number} cannot be read: {error}") from error
    return rows, True


def merge_pages(pages: Sequence[tuple[list[Row], bool]], entries_max: int) -> tuple[list[Row], bytes | None]:
    """Pages of several partitions as one, and the name to go on after; None where that is all.

    Beyond the last name of a page that goes on nothing is known of its partition, so the merged page ends there.
    """
    known_to = min((rows[-1][0] for rows, complete in pages if not complete), default=None)
    merged = heapq.merge(*(rows for rows, _ in pages))
    if known_to is not None:
        merged = itertools.takewhile(lambda row: row[0] <= known_to, merged)  # type: ignore[assignment]
    page = list(itertools.islice(merged, entries_max + 1))
    if len(page) > entries_max:
        return page[:entries_max], page[entries_max - 1][0]
    return page, known_to


def count_keys(partition: Partition, number: int, after: bytes, page_read_s: float) -> tuple[int, bytes | None]:
    """How many keys an instance has after one, and the key to go on after; None where that is all."""
    prefix = data_prefix(number)
    count = 0
    try:
        with partition.env.begin() as txn, txn.cursor() as cursor:
            over_at = time.perf_counter() + page_read_s
            if not cursor.set_range(prefix + after + b"\0" if after else prefix):
                return 0, None
            for key in cursor.iternext(keys=True, values=False):
                if not key.startswith(prefix):
                    break
                count += 1
                if count % 256 == 0 and time.perf_counter() >= over_at:
                    return count, key[len(prefix) :]
    except lmdb.Error as error:
        raise StoreBrokenError(f"partition {partition.number} cannot be read: {error}") from error
    return count, None
