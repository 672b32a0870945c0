"""Every instance of a partition, whole, for whoever moves them to another store. Nothing has the partition open.

What is not an instance's is not read: garbage, and imports that were not adopted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lmdb

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.lmdb import keys
from holdfast_host.storage.lmdb.keys import PREFIX_BYTES
from holdfast_host.storage.lmdb.partition import open_to_verify
from holdfast_host.storage.moving import WholeInstance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES = b"\1"


def too_large(path: Path, bytes_max: int) -> Iterator[tuple[int, bytes, int]]:
    """Type id, name and bytes of the instances that have more than so many.

    Raises:
        ConfigurationError: the partition cannot be read.
    """
    for _, key, row in _name_rows(path):
        found = keys.unpack_name_row(row)
        size_bytes = found.live_bytes + found.apart_bytes
        if size_bytes > bytes_max:
            yield *keys.unpack_name_key(key), size_bytes


def read_instances(path: Path) -> Iterator[WholeInstance]:
    """All of them, in the order of their types and names.

    Raises:
        ConfigurationError: the partition cannot be read.
    """
    for txn, key, row in _name_rows(path):
        type_id, name = keys.unpack_name_key(key)
        found = keys.unpack_name_row(row)
        alarm = txn.get(keys.alarm_key(found.number))
        yield WholeInstance(
            type_id,
            name,
            found.live_bytes,
            found.apart_bytes,
            None if alarm is None else keys.unpack_alarm(alarm),
            _under(txn, keys.data_prefix(found.data_number)),
            _under(txn, keys.job_prefix(found.number)),
            _under(txn, keys.receipt_prefix(found.number)),
            _under(txn, keys.socket_prefix(found.number)),
        )


def _name_rows(path: Path) -> Iterator[tuple[Any, bytes, bytes]]:
    env = open_to_verify(path)
    try:
        with env.begin() as txn, txn.cursor() as cursor:
            keys.unpack_meta(txn.get(keys.META_KEY) or b"", f"partition {path}")
            there = cursor.set_range(_NAMES)
            while there and cursor.key().startswith(_NAMES):
                yield txn, cursor.key(), cursor.value()
                there = cursor.next()
    except lmdb.Error as error:
        raise ConfigurationError(f"partition {path} cannot be read: {error}") from error
    finally:
        env.close()


def _under(txn: Any, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """What stands behind the prefix in each key, with the value."""
    found: list[tuple[bytes, bytes]] = []
    with txn.cursor() as cursor:
        there = cursor.set_range(prefix)
        while there and cursor.key().startswith(prefix):
            found.append((cursor.key()[PREFIX_BYTES:], cursor.value()))
            there = cursor.next()
    return found
