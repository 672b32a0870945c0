"""What the supervisor has workers do for a backup, see supervisor.backups."""

from __future__ import annotations

from holdfast_host.wire.control.messages import Question


class HoldCommits(Question, tag="hold"):
    """Commit nothing from the next moment on, and keep what is committed by then as a snapshot.

    Answered when that is so. Who hears nothing more for some seconds goes on. `archived`: what follows is written down
    in new files of the archive's spools.
    """

    archived: bool = False


class ReleaseCommits(Question, tag="release"):
    """Go on. Refused where it had gone on by itself; then the snapshot is let go of, and is where `keep` is false."""

    keep: bool


class CopyPartition(Question, tag="copy"):
    """Copy a partition of the snapshot into a new file. Answered when it is there."""

    partition: int
    path: str
