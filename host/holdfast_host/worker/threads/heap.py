"""The C library's heap, of which each thread has a part of its own: what was freed goes back to the system.

By itself glibc keeps at the end of each part twice the largest block that was ever freed, up to 64 MiB, and
`malloc_trim` takes that from the first thread alone. After a few large values each thread that ran a turn would hold
tens of megabytes for good; they count against a worker's memory, and idle activations would be evicted for them.
"""

from __future__ import annotations

import ctypes
from typing import Final

from holdfast_host.core.limits import MIB

KEPT_BYTES: Final = 4 * MIB  # free at the end of a thread's part; a block of that size goes back as it is freed

_M_TRIM_THRESHOLD: Final = -1  # as <malloc.h> has them
_M_MMAP_THRESHOLD: Final = -3

_libc: Final = ctypes.CDLL(None)


def bound_free_memory() -> None:
    """From now on no thread of this process keeps more than `KEPT_BYTES` in one piece; before threads are started."""
    _libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    _libc.mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Give whole pages that are free between blocks in use back to the system."""
    _libc.malloc_trim(0)
