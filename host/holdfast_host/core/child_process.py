"""What every child of the supervisor does first, so that no process outlives the host.

Three independent strings tie a child to its supervisor: the kernel's death signal, a look at who the parent is (it may
have died before the first was asked for), and the end of the control channel, which the child's own loop watches.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import struct
import threading
from typing import Final

from holdfast_host.core.limits import MIB

# Above the 2 MiB that wasmtime may use for a guest, with the host functions' frames on top; see limits of the sandbox.
THREAD_STACK_BYTES: Final = 16 * MIB

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PR_SET_PDEATHSIG: Final = 1
_COLLECTOR_THRESHOLDS: Final = (50_000, 10, 10)
_PEER_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid


def enter_child(control_fd: int) -> socket.socket:
    """Turn this process into a child of the supervisor; the first thing that a child's main does, before any thread.

    Ignores SIGINT, SIGTERM and SIGHUP (an orderly stop comes over the control channel), asks for SIGKILL when the
    supervisor dies, sets the stack of the threads to come. Exits at once when the supervisor is gone already.

    Returns:
        The control channel's socket, which now belongs to the caller.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.stack_size(THREAD_STACK_BYTES)
    control = socket.socket(fileno=control_fd)
    die_with_parent(_creator_of(control))
    return control


def calm_collector() -> None:
    """Have Python look for cycles seldom; call it once everything that stays is loaded.

    A collection holds up every thread, and the usual thresholds are passed by one parsed body: a megabyte of empty
    arrays took 90 ms, and takes 20 this way. So cycles that hold much must not be made.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


def private_bytes() -> int:
    """Memory that this process alone holds, which no file backs; its resident size counts shared compiled code too."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        _, resident, shared, *_ = statm.read().split()
    return (int(resident) - int(shared)) * _PAGE_BYTES


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent's spawning thread dies; exit at once if `parent` is not our parent.

    Args:
        parent: the pid that the parent had when it started this process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def _creator_of(pair: socket.socket) -> int:
    """The pid of the process that made this socket pair: the kernel remembers it, also when that process is gone."""
    credentials = pair.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    pid: int = _PEER_CREDENTIALS.unpack(credentials)[0]
    return pid
