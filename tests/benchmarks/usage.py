"""CPU time of a process and all its descendants, read from /proc; see `tests.harness.processes` for one process."""

from __future__ import annotations

from tests.harness.processes import children_of, cpu_s


def cpu_s_of(root: int) -> float:
    """User and system time of the whole tree since each process started, in seconds."""
    total_s, ahead = 0.0, [root]
    while ahead:
        pid = ahead.pop()
        ahead += children_of(pid)
        try:
            total_s += cpu_s(pid)
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return total_s
