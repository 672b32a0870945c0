"""Reading a partition for people: which instances there are, and how many keys one of them has.

Each function is one short read transaction (`page_read_s`), for one that is held for long makes the file grow for good.
A page that is not the last may therefore be short, but it always goes on.
"""

from __future__ import annotations

import time

import lmdb

from holdfast_host.core.listing_pages import NamePage
from holdfast_host.storage.lmdb.keys import data_prefix, name_key, unpack_name_row
from holdfast_host.storage.lmdb.partition import Partition
from holdfast_host.storage.store import StoreBrokenError

_NAME_AT = len(name_key(0, b""))


def instance_page(
    partition: Partition, type_id: int, prefix: bytes, after: bytes, entries_max: int, page_read_s: float
) -> NamePage:
    """The next instances of a type in this partition, in name order."""
    wanted = name_key(type_id, prefix)
    first = name_key(type_id, max(prefix, after + b"\0")) if after else wanted
    rows: list[tuple[bytes, int]] = []
    try:
        with partition.env.begin() as txn, txn.cursor() as cursor:
            over_at = time.perf_counter() + page_read_s
            if not cursor.set_range(first):
                return NamePage(rows, None)
            for key, value in cursor.iternext():
                if not key.startswith(wanted):
                    return NamePage(rows, None)
                if rows and (len(rows) >= entries_max or time.perf_counter() >= over_at):
                    return NamePage(rows, rows[-1][0])
                rows.append((key[_NAME_AT:], unpack_name_row(value).live_bytes))
    except lmdb.Error as error:
        raise StoreBrokenError(f"partition {partition.number} cannot be read: {error}") from error
    return NamePage(rows, None)


def count_keys(partition: Partition, data_number: int, after: bytes, page_read_s: float) -> tuple[int, bytes | None]:
    """How many keys an instance has after one, and the key to go on after; None where that is all."""
    prefix = data_prefix(data_number)
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
