"""The disk of a data directory: what kind it is, whether its sync means anything, how much room there is."""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from holdfast_host.cli.doctor.checks import Check, size
from holdfast_host.core.durable_files import sync_data
from holdfast_host.core.limits import Limits

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_OF_OTHERS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs", "virtiofs"})
_OF_CONTAINERS: Final = frozenset({"overlay", "aufs"})
_NO_BARRIERS: Final = frozenset({"nobarrier", "barrier=0", "barrier=off"})
# The fastest that keeps its word has a capacitor and takes some 20 us; what takes less has written into memory.
_SYNC_LIES_S: Final = 8e-6
_SYNC_SLOW_S: Final = 0.05
_SYNCS: Final = 200
_SYNC_FOR_S: Final = 1.0
_BLOCK: Final = b"\xa5" * 4096
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """Where a path lies."""

    point: str
    kind: str
    options: frozenset[str]


def disk_checks(folder: Path) -> Iterator[Check]:
    """All of them, for a folder that exists."""
    mount = mount_of(folder.resolve(), Path("/proc/self/mountinfo").read_text())
    yield kind_check(mount)
    yield sync_check(folder)
    yield room_check(folder)


def mount_of(path: Path, mountinfo: str) -> Mount:
    """The mount that a path is in, from the kernel's list; the last of several at one point counts."""
    best = Mount("", "unknown", frozenset())
    for line in mountinfo.splitlines():
        own, _, source = line.partition(" - ")
        fields, (kind, *rest) = own.split(" "), source.split(" ")
        point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[4])
        if path.is_relative_to(point) and len(point) >= len(best.point):
            options = frozenset((fields[5] + "," + (rest[1] if len(rest) > 1 else "")).split(","))
            best = Mount(point, kind, options)
    return best


def kind_check(mount: Mount) -> Check:
    """What kind of file system it is."""
    said = f"{mount.kind} at {mount.point or 'an unknown place'}"
    if mount.kind in _IN_MEMORY:
        return Check.fault("file system", f"{said}: memory", "choose a --data on a disk: this is gone with the machine")
    if mount.kind in _OF_OTHERS or mount.kind.startswith("fuse"):
        todo = "choose a --data on a disk of this machine: locks and mapped files do not hold over a network"
        return Check.fault("file system", f"{said}: of another machine, or of a program", todo)
    if "ro" in mount.options:
        return Check.fault("file system", f"{said}, read only", "mount it for writing, or choose another --data")
    if off := mount.options & _NO_BARRIERS:
        todo = "mount it without that option: a power cut loses what was acknowledged"
        return Check.fault("file system", f"{said}, mounted {', '.join(sorted(off))}", todo)
    if mount.kind in _OF_CONTAINERS:
        todo = "mount a volume at --data: this is gone with the container"
        return Check.warning("file system", f"{said}: a layer of a container", todo)
    return Check.ok("file system", said)


def sync_check(folder: Path) -> Check:
    """How long a sync takes. What answers sooner than any device can has not written."""
    if "eatmydata" in os.environ.get("LD_PRELOAD", ""):
        return Check.fault("sync", "libeatmydata is loaded, which leaves it out", "start without LD_PRELOAD")
    try:
        return judge_sync(_time_syncs(folder))
    except OSError as error:
        return Check.fault("sync", f"nothing can be written in {folder}: {error.strerror}", "mend that first")


def judge_sync(median_s: float) -> Check:
    """What the usual time of a sync says."""
    said = f"{median_s * 1e6:.0f} us, {1 / median_s:.0f} a second"
    if median_s < _SYNC_LIES_S:
        todo = "look for a write cache without a battery, cache=unsafe of a virtual machine, or a file system in memory"
        return Check.fault("sync", f"{said}: no disk is that fast, so it keeps nothing over a power cut", todo)
    if median_s > _SYNC_SLOW_S:
        return Check.warning("sync", said, "every reply waits for one: choose a faster disk")
    return Check.ok("sync", said)


def room_check(folder: Path) -> Check:
    """How much is free for this user."""
    facts = os.statvfs(folder)
    return judge_room(facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else None)


def judge_room(free: int, files: int | None) -> Check:
    """Whether so many bytes and files are enough; some file systems count no files."""
    reserve = Limits().disk_reserve_bytes
    said = f"{size(free)} free"
    if free < reserve:
        todo = f"make room: nothing may grow while less than {size(reserve)} is free (disk_reserve_bytes)"
        return Check.fault("room", said, todo)
    if files is not None and files < 1000:
        return Check.fault("room", f"{said}, and {files} files", "remove files: the file system has no more inodes")
    if free < 5 * reserve:
        return Check.warning("room", said, f"make room: at {size(reserve)} nothing may grow any more")
    return Check.ok("room", said)


def _time_syncs(folder: Path) -> float:
    """The median of some, in seconds, each of a block that has been written anew."""
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=folder, prefix=".doctor-", buffering=0) as file:
        ends_at = time.perf_counter() + _SYNC_FOR_S
        while len(taken) < _SYNCS and time.perf_counter() < ends_at:
            os.pwrite(file.fileno(), _BLOCK, 0)
            began = time.perf_counter()
            sync_data(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)
