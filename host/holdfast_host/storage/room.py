"""Whether storage may still grow: the quota of an instance, the map and the disk of a partition.

Deletes need free pages too, so growth is refused before anything is full: a turn that leaves its instance no larger
than it was is always let through. The disk is asked at most once a second, or sooner after much was written; the map's
use is read with each commit, which costs a microsecond.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from holdfast_host.core.errors import StorageFullError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.store import StoredInstance

_ASK_EVERY_S = 1.0
_ASK_AFTER_BYTES = 16 * MIB


class Room:
    """The room of one partition. Measured by the thread that commits, read by any."""

    def __init__(self, path: Path, limits: Limits, page_bytes: int) -> None:
        self._path = path
        self._limits = limits
        self._page_bytes = page_bytes
        self._map_reserve_bytes = min(limits.disk_reserve_bytes, limits.map_bytes // 8)
        self._asked_at = float("-inf")
        self._written_bytes = 0
        self._disk_free_bytes = 0
        self._full: str | None = None

    def measure(self, stat: dict[str, Any], written_bytes: int) -> None:
        """Take note of the main database's pages and of what a commit is about to write or has written."""
        self._written_bytes += written_bytes
        if time.monotonic() - self._asked_at >= _ASK_EVERY_S or self._written_bytes >= _ASK_AFTER_BYTES:
            self._ask_disk()
        limits = self._limits
        used_bytes = (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * self._page_bytes
        if self._disk_free_bytes < limits.disk_reserve_bytes:
            self._full = (
                f"{self._disk_free_bytes} bytes of disk are free at {self._path}, "
                f"fewer than the reserve of {limits.disk_reserve_bytes}"
            )
        elif used_bytes > limits.map_bytes - self._map_reserve_bytes:
            self._full = (
                f"{used_bytes} bytes of the map of {limits.map_bytes} at {self._path} are used, "
                f"and {self._map_reserve_bytes} are kept for deletes"
            )
        else:
            self._full = None

    def disk_is_low(self) -> bool:
        """Whether the disk has less than its reserve now."""
        self._ask_disk()
        return self._disk_free_bytes < max(self._limits.disk_reserve_bytes, MIB)

    def refusal(self, instance: StoredInstance, live_bytes: int) -> StorageFullError | None:
        """Why the instance may not grow to so many bytes; None where it may, or does not grow."""
        if live_bytes <= instance.live_bytes:
            return None
        limit = self._limits.instance_bytes_max
        if live_bytes > limit:
            return StorageFullError(
                f"storage of {live_bytes} bytes exceeds the limit of {limit} bytes an instance "
                f"(instance {shown(instance)}): delete keys of it"
            )
        if self._full is not None:
            return StorageFullError(
                f"{self._full}: instance {shown(instance)} may not grow from {instance.live_bytes} to "
                f"{live_bytes} bytes; deletes still work"
            )
        return None

    def _ask_disk(self) -> None:
        self._asked_at = time.monotonic()
        self._written_bytes = 0
        disk = os.statvfs(self._path)
        self._disk_free_bytes = disk.f_bavail * disk.f_frsize


def shown(instance: StoredInstance) -> str:
    """The instance's name as errors quote it."""
    return repr(instance.name.decode("utf-8", "replace"))
