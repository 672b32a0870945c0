"""Fixing what a build reads besides its sources: the system's randomness, its clock, and what the disk says of files.

componentize-py runs the guest's Python with the real ones and has no switch for it. What they gave ends in the
component's memory: the hash seed, and with it the order of every set; seeds, times, also in memory that was freed. So
that unchanged sources give the same bytes, they are replaced in the one process that runs it, for good: the C library's
`getrandom` and `clock_gettime`, and the system calls `statx` and `getdents64`, whose answers lose times and numbers and
get an order. All that asks is native code on many threads, which Python functions cannot stand in for (they would wait
for an interpreter lock that is held): hence a page of machine code, whose source is in `tools/fixed_inputs`.

A sandbox has real randomness and a real clock again; the SDK seeds anew what a build has seeded.
"""

from __future__ import annotations

import base64
import ctypes
import mmap
import platform
import signal
import struct
import sys
from typing import Final

SEED_BYTES: Final = 32

# Compiled from tools/fixed_inputs for x86-64, as a test says. It begins with the seed and the seconds.
_CODE: Final = base64.b64decode(
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAAAAAA8fhAAAAAAAMcBIjRXH////SDnwdBFIicGD4R+KDAqIDAdI/8Dr6sNIiwXJ"
    "////SIkGMcBIiUYIMcDDZi4PH4QAAAAAAA8fAFNIi4KQAAAASInTSItzcEiLkogAAABIi3toSD3ZAAAAdQ7ofwAAAEiJg5AAAADrdEyLUzhMi0Mo"
    "DwVIiYOQAAAASIXAdV5Ii0MoMfYxyYtQHIlIEEiJcHBIi0hwSIlweEiLWHhmgeIA8EiJcDBIiXAgSImwiAAAAEiJsJAAAABIiUhgSIlYaEiJSFBI"
    "iVhYSIlIQEiJWEhmgfoAQHUGMdJIiVAoW8NBV0Ux0kUxwEFWQVVBVFVIidVTSInzSIHsiH8EAEiB//8HAAB2D7jZAAAADwVIicLpMgEAALgIAAAA"
    "Mfa6AQAAAA8FSIXAdQ1IjQWbDgAAZscEeAAAMdJFMdJFMcC4CAAAAEiJ1g8FRTHJQb4AAAQATI2kJIh/AABBvdkAAABMifJLjTQMRTHSRTHATCnK"
    "TInoDwVIicJIhcB+BUkBweveeQlNhckPhLwAAAAx0jHATI1cJIhJOdF+WEg9/w8AAH9QSY00FEyNeAFIhcB0MkyNUP+5EwAAAE+LNNNFigQORYTA"
    "dBxI/8FEimwO/0U46HTqRTjFcwpPiXTTCEyJ0OvJSIl0xIgPt0YQSAHCTIn466Mx0kyNDdANAABBD7c0eUiJ8Ug5xn1AD7fxTItE9IhFD7dYEE2N"
    "FBNJOep/KknHAAEAAAAx9kgB2kk5834NRYokMESIJDJI/8br7v/BTInSZkGJDHnrs0iBxIh/BABIidBbXUFcQV1BXkFfww=="
)
_RANDOM_AT, _CLOCK_AT, _TRAPPED_AT = 0x30, 0x50, 0x70
_JUMP: Final = bytes.fromhex("ff2500000000")  # to the address that follows

_GETDENTS64, _STATX, _AUDIT_ARCH = 217, 332, 0xC000003E  # of x86-64: asm/unistd_64.h, linux/audit.h
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2  # linux/prctl.h, linux/seccomp.h
_ALLOW, _TRAP = 0x7FFF0000, 0x00030000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h: BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_AND = 0x54  # BPF_ALU|AND|K
_AT_NUMBER, _AT_ARCH, _AT_PLACE = 0, 4, 8  # in struct seccomp_data
_SA_SIGINFO, _SA_NODEFER = 4, 0x40000000


def fix_inputs(seed: bytes, now_s: int) -> bool:
    """From now on this process has this randomness and this time, and sees files without theirs; before any thread.

    Args:
        seed: 32 bytes, which all randomness repeats.
        now_s: what every clock shows, in seconds.

    Returns:
        False where that cannot be done: another processor, or a kernel that forbids it.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or len(seed) != SEED_BYTES:
        return False
    try:
        library = ctypes.CDLL(None, use_errno=True)
        page = _place(library, seed + now_s.to_bytes(8, "little") + _CODE[SEED_BYTES + 8 :])
        _replace(library, "getrandom", page + _RANDOM_AT)
        _replace(library, "clock_gettime", page + _CLOCK_AT)
        _trap_files(library, page, page + _TRAPPED_AT)
    except (OSError, AttributeError):
        return False
    return True


def _place(library: ctypes.CDLL, code: bytes) -> int:
    """Where this may be run from now on, also while the process ends: a page of its own, and one for its state."""
    library.mmap.restype = ctypes.c_void_p
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    size = ctypes.c_size_t(2 * mmap.PAGESIZE)
    page = library.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, kind, -1, ctypes.c_long(0))
    if page in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memmove(page, code, len(code))
    _protect(library, page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    return int(page)


def _replace(library: ctypes.CDLL, name: str, address: int) -> None:
    """Have a function of the library begin with a jump to this address."""
    jump = _JUMP + address.to_bytes(8, "little")
    place = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    first = place // mmap.PAGESIZE * mmap.PAGESIZE
    size = place + len(jump) - first
    # What changes the protection may lie on the same page: it stays one that is run.
    _protect(library, first, size, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    ctypes.memmove(place, jump, len(jump))
    _protect(library, first, size, mmap.PROT_READ | mmap.PROT_EXEC)


def _protect(library: ctypes.CDLL, place: int, size: int, protection: int) -> None:
    if library.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(size), protection):
        raise OSError(ctypes.get_errno(), "mprotect")


def _trap_files(library: ctypes.CDLL, page: int, handler: int) -> None:
    """Have every `statx` and `getdents64` that is not made from this page end in the handler: SECCOMP_RET_TRAP."""
    action = struct.pack("<Q128si4xQ", handler, b"", _SA_SIGINFO | _SA_NODEFER, 0)  # the C library's struct sigaction
    if library.sigaction(signal.SIGSYS, action, None):
        raise OSError(ctypes.get_errno(), "sigaction")
    low, high = page & 0xFFFFFFFF, page >> 32
    program = b"".join(
        struct.pack("<HBBI", *each)
        for each in (
            (_LOAD, 0, 0, _AT_ARCH),
            (_EQUAL, 0, 8, _AUDIT_ARCH),
            (_LOAD, 0, 0, _AT_NUMBER),
            (_EQUAL, 1, 0, _STATX),
            (_EQUAL, 0, 5, _GETDENTS64),
            (_LOAD, 0, 0, _AT_PLACE + 4),
            (_EQUAL, 0, 4, high),
            (_LOAD, 0, 0, _AT_PLACE),
            (_AND, 0, 0, 0xFFFFFFFF & -mmap.PAGESIZE),
            (_EQUAL, 0, 1, low),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _TRAP),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(code))
    zero, one = ctypes.c_ulong(0), ctypes.c_ulong(1)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) or library.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.c_char_p(described), zero, zero
    ):
        raise OSError(ctypes.get_errno(), "prctl")
