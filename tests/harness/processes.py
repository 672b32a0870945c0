"""What the kernel says about a host's processes."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_PARTITION = re.compile(r"/parts/(\d+)/data\.mdb")


def children_of(parent: int) -> dict[int, str]:
    """The pid and command line of each child; none when the parent is gone."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent:
            found[int(entry.name)] = command.strip()
    return found


def is_running(pid: int) -> bool:
    """False for a process that is gone or a zombie: neither holds a file."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def partitions_of(pid: int) -> set[int]:
    """The partitions whose environment a process has mapped."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()
    return {int(number) for number in _PARTITION.findall(maps)}


def anonymous_bytes(pid: int) -> int:
    """Memory that belongs to this process alone; RSS would count the shared pages of compiled code again and again."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.MULTILINE)
    assert kib is not None
    return int(kib.group(1)) << 10


def cpu_s(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_gone(pids: list[int], timeout_s: float) -> list[int]:
    """Those that still run when the time is over."""
    deadline = time.monotonic() + timeout_s
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left
