"""A worker's part in a backup: one moment in which all workers commit nothing, and copies of what was committed by it.

What one worker has committed may rest on what another one has: both are in the backup, or the first is not, because
nothing leaves a worker that is not durable, and for that moment nothing becomes so in any of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.lmdb.snapshots import Snapshot
    from holdfast_host.worker.commits.committer import Committer


@leaders
class BackupCut:
    """The snapshot of the backup that is under way, if one is."""

    def __init__(
        self, committer: Committer, take: Callable[[], Snapshot], begin_base: Callable[[], None] = lambda: None
    ) -> None:
        """`take()` makes a snapshot of what is committed; `begin_base()` has what follows spooled in new files."""
        self._committer = committer
        self._take = take
        self._begin_base = begin_base
        self._snapshot: Snapshot | None = None
        self._copies: set[int] = set()  # the partitions that are copied now

    @property
    def copying(self) -> bool:
        """Whether a partition is copied now."""
        return bool(self._copies)

    def hold(self, then: Callable[[], None], *, archived: bool = False) -> None:
        """Hold commits back, and call `then` when what is committed is kept; `archived`: as a base of the archive."""

        def keep() -> None:
            self._drop()
            self._snapshot = self._take()
            if archived:
                self._begin_base()
            then()

        self._committer.hold(keep)

    def release(self, *, keep: bool) -> None:
        """Go on committing.

        Raises:
            HostUnavailableError: it had gone on already, so that the snapshots of the workers are not of one moment.
        """
        held = self._committer.release()
        if not keep or not held:
            self._drop()
        if not held:
            raise HostUnavailableError("the workers did not stop committing at one moment: the host is busy, try again")

    @any_thread
    def copy(self, partition: int, path: Path) -> None:
        """Copy a partition of the snapshot; on a thread of its own.

        Raises:
            HoldfastError: as `Snapshot.copy`, or there is no snapshot.
        """
        snapshot = self._snapshot
        if snapshot is None:
            raise HostUnavailableError("there is no snapshot to copy: the backup was ended")
        self._copies.add(partition)
        try:
            snapshot.copy(partition, path)
        finally:
            self._copies.discard(partition)

    def _drop(self) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            snapshot.close()
