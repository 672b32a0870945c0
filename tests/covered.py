"""`python -m tests.covered FILE`: the table of `make coverage`, by folder, from what coverage.py wrote as JSON.

Lines and branches together: of a line that is never left by its second way, half is missing.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GUARANTEES = {
    "storage": ("holdfast_host/storage",),
    "turns and commits": ("holdfast_host/worker/turns", "holdfast_host/worker/commits"),
    "alarms, jobs and their deliveries": (
        "holdfast_host/worker/alarms",
        "holdfast_host/worker/jobs",
        "holdfast_host/worker/deliveries",
    ),
    "sockets and events of a worker": ("holdfast_host/worker/sockets",),
    "the rest of the worker": ("holdfast_host/worker",),
    "the sandbox": ("holdfast_host/sandbox",),
    "between processes": ("holdfast_host/wire",),
    "calls in a front": ("holdfast_host/front/calls", "holdfast_host/front/known"),
    "sockets in a front": ("holdfast_host/front/sockets",),
    "outbound requests": ("holdfast_host/courier",),
    "the rest of the front": ("holdfast_host/front",),
    "the supervisor": ("holdfast_host/supervisor",),
    "names, errors, limits": ("holdfast_host/core",),
    "the SDK": ("guest_sdk/holdfast",),
}


def table(files: Mapping[str, Any]) -> str:
    """Rows of what is covered; a file counts in the first row that names its folder."""
    covered: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for path, facts in files.items():
        row = next((row for row, folders in GUARANTEES.items() if any(f"{each}/" in path for each in folders)), "other")
        found = facts["summary"]
        covered[row] += found["covered_lines"] + found["covered_branches"]
        whole[row] += found["num_statements"] + found["num_branches"]
    lines = ["| what | lines and branches | covered |", "| --- | ---: | ---: |"]
    lines += [f"| {row} | {whole[row]} | {covered[row] / whole[row]:.1%} |" for row in GUARANTEES if whole[row]]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())["files"]))
