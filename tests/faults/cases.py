"""What fails, and what must come of it: for the caller, for what was acknowledged, for the next start."""

from __future__ import annotations

from tests.faults import disks, files, machine

CASES = [*disks.CASES, *files.CASES, *machine.CASES]
QUICK = (
    "EIO at the data sync",
    "EIO at the meta page",
    "ENOSPC at a data write",
    "ENOSPC while a delete_all is swept",
    "map full",
    "EIO at the sync of the registry",
    "a partition's folder gone",
    "damaged compiled entry",
    "strangers' files among the logs",
)
