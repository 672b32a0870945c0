"""Whether storage may still grow: the quota of an instance, the map and the disk of a partition.

Deletes need free pages too, so growth is refused before anything is full: a turn that leaves its instance no larger
than it was is always let through. The disk is asked at most once a second, or sooner after much was written; the map's
use is read with each commit, which costs a microsecond. Both are asked again before anything is refused: where nothing
may grow there may be no commit either that would find the room that came back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from holdfast_host.core.errors import StorageFullError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.store import StoredInstance
from holdfast_host.storage.type_quotas import TypeQuotas

_ASK_EVERY_S = 1.0
_ASK_AFTER_BYTES = 16 * MIB


class Room:
    """The room of one partition; any thread, for what one finds is as true as what another does."""

    def __init__(self, path: Path, limits: Limits, stat: Callable[[], dict[str, int]]) -> None:
        """`stat` counts the pages of the main database; any thread may call it."""
        self._path = path
        self._stat = stat
        self._limits = limits
        self._map_reserve_bytes = min(limits.disk_reserve_bytes, limits.map_bytes // 8)
        self._asked_at = float("-inf")
        self._written_bytes = 0
        self._full: str | None = None
        self.disk_free_bytes = 0  # when it was last asked
        self.quotas = TypeQuotas()  # the store's

    def measure(self, written_bytes: int) -> None:
        """Take note of what a commit is about to write, and look at the map; at the disk, where it is time to."""
        self._written_bytes += written_bytes
        self._look()

    def shortage(self) -> str | None:
        """Why nothing may grow; None where it may. As of a second ago at most."""
        self._look()
        return self._full

    def _look(self) -> None:
        if time.monotonic() - self._asked_at >= _ASK_EVERY_S or self._written_bytes >= _ASK_AFTER_BYTES:
            self._ask_disk()
        limits, stat = self._limits, self._stat()
        used_bytes = (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        if self.disk_free_bytes < limits.disk_reserve_bytes:
            self._full = (
                f"{self.disk_free_bytes} bytes of disk are free at {self._path}, "
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
        return self.disk_free_bytes < max(self._limits.disk_reserve_bytes, MIB)

    def refusal(self, instance: StoredInstance, stored_bytes: int) -> StorageFullError | None:
        """Why the instance may not grow to so many bytes; None where it may, or does not grow."""
        before = instance.live_bytes + instance.apart_bytes
        if stored_bytes <= before:
            return None
        refusal = self.quotas.refusal(instance)
        if refusal is not None:
            return refusal
        limit = self._limits.instance_bytes_max
        if stored_bytes > limit:
            kept_bytes = instance.apart_bytes
            kept = (
                f"; {kept_bytes} bytes are jobs, sockets, and answers kept under idempotency keys, which go when they"
                " are done, closed or expired, or with it"
            )
            return StorageFullError(
                f"storage of {stored_bytes} bytes exceeds the limit of {limit} bytes an instance "
                f"(instance {shown(instance)}): delete keys of it{kept if kept_bytes else ''}"
            )
        if self._full is not None:
            self._ask_disk()
            self._look()
        full = self._full
        if full is not None:
            # Also a delete writes pages before it frees any.
            do = "deletes still work" if self.disk_free_bytes >= MIB else "make room on the disk, deletes need some too"
            return StorageFullError(
                f"{full}: instance {shown(instance)} may not grow from {before} to {stored_bytes} bytes; {do}"
            )
        return None

    def _ask_disk(self) -> None:
        self._asked_at = time.monotonic()
        self._written_bytes = 0
        disk = os.statvfs(self._path)
        self.disk_free_bytes = disk.f_bavail * disk.f_frsize


def shown(instance: StoredInstance) -> str:
    """The instance's name as errors quote it."""
    return repr(instance.name.decode("utf-8", "replace"))
