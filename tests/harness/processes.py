"""What the kernel says about a host's processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_PARTITION = re.compile(r"/parts/(\d+)/data\.mdb")
_ENDED = frozenset("ZX")
_STOPPED = frozenset("Tt")
_EFFECT_TIMEOUT_S = 10.0


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


def memory_holds(pid: int, text: str) -> bool:
    """Whether a text stands anywhere in the memory that a process may write to."""
    wanted, overlap = text.encode(), len(text.encode()) - 1
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, permissions, *_ = line.split()
            if not permissions.startswith("rw"):
                continue
            at, end = (int(each, 16) for each in span.split("-"))
            before = b""
            while at < end:
                try:
                    memory.seek(at)
                    piece = memory.read(min(end - at, 8 << 20))
                except OSError:  # not there any more, or not to be read
                    break
                if wanted in before + piece:
                    return True
                before, at = piece[-overlap:], at + len(piece)
                if not piece:
                    break
    return False


def is_running(pid: int) -> bool:
    """False for a process of which no thread is left but a zombie: then it holds no file any more."""
    return not states(pid) <= _ENDED


def start_of(pid: int) -> str:
    """When a process began, in the kernel's ticks: a number that is given to another process then tells of that one.

    Empty for a process that is gone.
    """
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def states(pid: int) -> set[str]:
    """The letters by which the kernel names the states of a process's threads; none when it is gone."""
    found = set()
    with contextlib.suppress(OSError):  # the process has ended, perhaps while we listed its threads
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):  # that thread has ended since we listed them
                stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
                found.add(stat.rpartition(")")[2].split()[0])
    return found


def is_stopped(pid: int) -> bool:
    """True between SIGSTOP and SIGCONT, once no thread runs any more."""
    return bool(found := states(pid)) and found <= _STOPPED


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal and return when it has had its effect.

    `kill(2)` returns before that: a process on another core runs on for a while, and its threads stop one by one.
    After SIGKILL no thread is left, after SIGSTOP all are stopped, after SIGCONT none is; what another signal does is
    the process's own affair, and is not waited for.

    Raises:
        ProcessLookupError: there is no such process.
    """
    os.kill(pid, number)
    deadline = time.monotonic() + _EFFECT_TIMEOUT_S
    while not _has_acted(pid, number):
        assert time.monotonic() < deadline, f"{number.name} has had no effect on {pid}: its threads are {states(pid)}"
        time.sleep(0.001)


def _has_acted(pid: int, number: signal.Signals) -> bool:
    match number:
        case signal.SIGKILL:
            return not is_running(pid)
        case signal.SIGSTOP:  # one that ends meanwhile, killed by somebody else, does nothing more either
            return states(pid) <= _STOPPED | _ENDED
        case signal.SIGCONT:
            return not states(pid) & _STOPPED
        case _:
            return True


def partitions_of(pid: int) -> set[int]:
    """The partitions whose environment a process has mapped."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()
    return {int(number) for number in _PARTITION.findall(maps)}


def descriptors_of(pid: int) -> dict[int, str]:
    """The open descriptors of a process, and what each one is."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except OSError:
            continue
    return found


def anonymous_bytes(pid: int) -> int:
    """Memory that belongs to this process alone; RSS would count the shared pages of compiled code again and again."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.MULTILINE)
    assert kib is not None
    return int(kib.group(1)) << 10


def resident_bytes(pid: int) -> int:
    """What `ps` shows as RSS: shared pages of files count in full."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stopwatch:
    """Seconds since it was made, less those for which programs of others kept this process and `own` from computing.

    Where nobody else computes these are seconds on the wall, and what sleeps or waits for a disk is never taken off:
    only time in which one of ours was ready to run, and no more of it than others computed.
    """

    def __init__(self, own: Callable[[], Iterable[int]]) -> None:
        self._own = own
        self._computed: dict[int, float] = {}
        self._delayed: dict[int, float] = {}
        for pid in self._pids():
            with contextlib.suppress(OSError):  # it has just ended
                self._computed[pid], self._delayed[pid] = cpu_s(pid), _delayed_s(pid)
        self._busy, self._began = _busy_s(), time.monotonic()

    def seconds(self) -> float:
        """So far."""
        took, busy = time.monotonic() - self._began, _busy_s() - self._busy
        ours = delayed = 0.0
        for pid in self._pids():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                ours += cpu_s(pid) - self._computed.get(pid, 0.0)
                delayed += max(0.0, _delayed_s(pid) - self._delayed.get(pid, 0.0))
        others = max(0.0, busy - ours) / (os.cpu_count() or 1)
        return took - min(others, delayed)

    def _pids(self) -> set[int]:
        return {os.getpid(), *self._own()}


def _delayed_s(pid: int) -> float:
    """How long the threads that a process has were ready to run and did not."""
    delayed = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended
            delayed += int((task / "schedstat").read_text().split()[1])
    return delayed / 1e9


def _busy_s() -> float:
    """What all processors have computed since the machine began, and what another machine took of them."""
    [line] = re.findall(r"^cpu .*", Path("/proc/stat").read_text(), re.MULTILINE)
    user, nice, system, _idle, _waiting, irq, soft, stolen = (int(each) for each in line.split()[1:9])
    return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")


def wait_until_gone(pids: list[int], timeout_s: float) -> list[int]:
    """Those that still run when the time is over."""
    deadline = time.monotonic() + timeout_s
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def threads_of(pid: int) -> int:
    """How many threads a process has right now; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^Threads:\s+(\d+)", status, re.MULTILINE)
    return int(found.group(1)) if found else 0
