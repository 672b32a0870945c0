"""What the kernel takes from the process that builds: files but its own, the network, other programs and processes.

That process runs code of others, in componentize-py's sandbox; this is the wall behind that one. Landlock and seccomp
are used because they need no rights, no tool and no namespaces, so they work for any user and in most containers; where
the kernel refuses one of them, `confine` says what it would have kept out, and the build goes on within the other.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

NO_LANDLOCK: Final = (
    "this kernel offers no Landlock (Linux 5.13, and a container that lets it through): a flaw in componentize-py's"
    " sandbox would let the code that runs while a project is built reach the files of this user"
)
NO_SECCOMP: Final = (
    "this kernel takes no seccomp filter: a flaw in componentize-py's sandbox would let the code that runs while a"
    " project is built reach the network and other processes"
)

# include/uapi/linux/landlock.h. The three calls have the same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RIGHTS_BY_VERSION: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_BIND_AND_CONNECT: Final = 3  # from version 4 on
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3  # from version 6 on

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of classic BPF
_NUMBER_OFFSET, _ARCH_OFFSET = 0, 4
_X32_CALLS: Final = 0x40000000  # a second table of calls on x86-64, refused as a whole

# Per architecture its audit number and these calls: socket, connect, bind, listen, accept, accept4, sendto, sendmsg;
# execve, execveat; ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_open, pidfd_getfd, pidfd_send_signal, kill;
# io_uring; bpf, perf_event_open, userfaultfd; add_key, request_key, keyctl; mount, umount2, pivot_root, chroot,
# unshare, setns.
_OF_X86_64: Final = (
    41, 42, 49, 50, 43, 288, 44, 46, 59, 322, 101, 310, 311, 312, 434, 438, 424, 62, 425, 426, 427,
    321, 298, 323, 248, 249, 250, 165, 166, 155, 161, 272, 308,
)  # fmt: skip
_OF_AARCH64: Final = (
    198, 203, 200, 201, 202, 242, 206, 211, 221, 281, 117, 270, 271, 272, 434, 438, 424, 129, 425, 426, 427,
    280, 241, 282, 217, 218, 219, 40, 39, 41, 51, 97, 268,
)  # fmt: skip
_TABLES: Final = {"x86_64": (0xC000003E, _OF_X86_64), "aarch64": (0xC00000B7, _OF_AARCH64)}


def confine(writable: Path, readable: Iterable[Path]) -> list[str]:
    """Take from this process, for good, what a build needs not. Call it while there is one thread.

    Args:
        writable: The one directory below which it may read and write.
        readable: Further files and directories that it may read; those that do not exist are passed over.

    Returns:
        What the kernel refused to do, as sentences; empty where all was done.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    refused = []
    if not hasattr(libc, "prctl") or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return [NO_LANDLOCK, NO_SECCOMP]
    try:
        _keep_to_files(libc, writable, readable)
    except OSError:
        refused.append(NO_LANDLOCK)
    try:
        refuse_calls(libc)
    except OSError:
        refused.append(NO_SECCOMP)
    return refused


def _keep_to_files(libc: ctypes.CDLL, writable: Path, readable: Iterable[Path]) -> None:
    """Forbid everything below `/`, then let a few places through. OSError where this kernel cannot."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        raise _failure("Landlock")
    rights = _RIGHTS_BY_VERSION.get(version, max(_RIGHTS_BY_VERSION.values()))
    facts = [rights]
    facts += [_TCP_BIND_AND_CONNECT] if version >= 4 else []
    facts += [_ABSTRACT_SOCKETS_AND_SIGNALS] if version >= 6 else []
    attributes = struct.pack(f"={len(facts)}Q", *facts)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise _failure("Landlock")
    try:
        _allow(libc, ruleset, writable, rights)
        for path in readable:
            if path.exists():
                _allow(libc, ruleset, path, _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE)
        if libc.syscall(_RESTRICT_SELF, ruleset, 0):
            raise _failure("Landlock")
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, opened), 0):
            raise _failure("Landlock")
    finally:
        os.close(opened)


def refuse_calls(libc: ctypes.CDLL, calls: Sequence[int] = ()) -> None:
    """Have the kernel answer these calls with EPERM, by default those that no build needs.

    Raises:
        OSError: The kernel takes no filter, or its architecture is none that we have a table for.
    """
    if platform.machine() not in _TABLES:
        raise OSError(errno.ENOSYS, "no table of calls")
    architecture, usual = _TABLES[platform.machine()]
    refused = calls or usual
    lines = [(_LOAD, 0, 0, _ARCH_OFFSET), (_JUMP_IF_EQUAL, 0, len(refused) + 3, architecture)]
    lines += [(_LOAD, 0, 0, _NUMBER_OFFSET), (_JUMP_IF_AT_LEAST, len(refused) + 1, 0, _X32_CALLS)]
    lines += [(_JUMP_IF_EQUAL, len(refused) - at, 0, call) for at, call in enumerate(refused)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE | errno.EPERM)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = struct.pack("@HP", len(lines), ctypes.addressof(code))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0):
        raise _failure("seccomp")


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
