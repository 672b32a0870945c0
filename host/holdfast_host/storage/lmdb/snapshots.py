"""What one worker has committed as of one moment, to be copied while it goes on writing.

A read transaction holds its pages: until it is closed, the file grows by what is written meanwhile. So it is closed as
soon as its partition is copied.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.failures import disk_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.storage.lmdb.partition import Partition


class Snapshot:
    """One read transaction for each partition, all begun now. Its partitions may be copied by any threads, each by one.

    Whoever has one closes it.
    """

    def __init__(self, partitions: Mapping[int, Partition]) -> None:
        self._environments = {number: each.env for number, each in partitions.items()}
        self._transactions: dict[int, Any] = {number: env.begin() for number, env in self._environments.items()}

    def copy(self, partition: int, path: Path) -> None:
        """Write a partition into a new file, without the pages that are free; once.

        Raises:
            StorageFullError, HostUnavailableError: the disk is full or fails, or there is no such partition.
        """
        txn = self._transactions.pop(partition, None)
        if txn is None:
            raise HostUnavailableError(f"partition {partition} is not part of this backup, or was copied")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                self._environments[partition].copyfd(descriptor, compact=True, txn=txn)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise disk_error(error, f"{path} cannot be written", "there is no backup") from error
        except lmdb.Error as error:
            raise HostUnavailableError(f"partition {partition} cannot be copied: {error}") from error
        finally:
            txn.abort()

    def close(self) -> None:
        """Let go of what was not copied."""
        while self._transactions:
            _, txn = self._transactions.popitem()
            txn.abort()
