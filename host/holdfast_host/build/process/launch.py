"""Runs componentize-py with next to nothing around it: `python -I -m holdfast_host.build.process.launch FACTS ARGS...`.

FACTS is JSON: `cpu_s`, `data_bytes`, `seed` (32 bytes in hex), `now_s`, `writable`, `readable` (paths), `refused` (the
file for what the kernel refused to take from this process or to fix, one sentence a line). A process of its own, so
that limits need no code between fork and exec.
"""

from __future__ import annotations

import json
import resource
import sys
import sysconfig
from pathlib import Path
from typing import Any

from holdfast_host.build.process.confinement import confine
from holdfast_host.build.process.fixed_inputs import fix_inputs

FILE_BYTES_MAX = 1 << 30


def main() -> int:
    """Set the limits, fix the inputs, then become componentize-py."""
    facts = json.loads(sys.argv[1])
    limit_process(facts)
    sys.argv = ["componentize-py", *sys.argv[2:]]
    import componentize_py  # type: ignore[import-untyped]  # one compiled module, which brings all that it needs

    readable = [*facts["readable"], sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    readable += ["/dev/null", "/dev/urandom", "/sys/devices/system/cpu"]
    wall_in(facts, readable)
    return int(componentize_py.script() or 0)


def limit_process(facts: dict[str, Any]) -> None:
    """What this process may take, as FACTS say."""
    resource.setrlimit(resource.RLIMIT_CPU, (facts["cpu_s"], facts["cpu_s"] + 1))
    # Not the address space: componentize-py's own sandbox reserves far more of that than it ever touches.
    resource.setrlimit(resource.RLIMIT_DATA, (facts["data_bytes"], facts["data_bytes"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def wall_in(facts: dict[str, Any], readable: list[str]) -> None:
    """Fix the inputs of this process and take from it what it needs not; what that cannot be is written down."""
    fixed = fix_inputs(bytes.fromhex(facts["seed"]), facts["now_s"])
    refused = confine(Path(facts["writable"]), map(Path, readable))
    if not fixed:
        refused.append(
            "unchanged sources may give other bytes: this machine does not let a build fix clock and randomness"
        )
    Path(facts["refused"]).write_text("\n".join(refused))


if __name__ == "__main__":
    sys.exit(main())
