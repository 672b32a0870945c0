"""Runs componentize-py under resource limits: `python -I -m holdfast_host.build.launch CPU_S DATA_BYTES ARGUMENTS...`.

A process of its own, so that limits need no code between fork and exec.
"""

from __future__ import annotations

import resource
import sys

FILE_BYTES_MAX = 1 << 30


def main() -> int:
    """Set the limits, then become componentize-py."""
    cpu_s, data_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    # Not the address space: componentize-py's own sandbox reserves far more of that than it ever touches.
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = ["componentize-py", *sys.argv[3:]]
    import componentize_py  # type: ignore[import-untyped]  # one compiled module

    return int(componentize_py.script() or 0)


if __name__ == "__main__":
    sys.exit(main())
