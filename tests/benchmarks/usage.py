"""What processes use: CPU time and private memory, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and all its descendants."""

    cpu_s: float
    private_bytes: int


def tree_of(root: int) -> list[int]:
    """The pids of a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(int(entry.name))[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += children.get(pid, [])
    return found


def usage_of(root: int) -> Usage:
    """CPU time since its start and anonymous memory, over the whole tree."""
    cpu_s, private_bytes = 0.0, 0
    for pid in tree_of(root):
        try:
            fields = _stat(pid)
            cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS_S
            private_bytes += anonymous_bytes(pid)
        except (OSError, IndexError):
            continue
    return Usage(cpu_s, private_bytes)


def anonymous_bytes(pid: int) -> int:
    """Memory that no file backs."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state first, then the parent."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
