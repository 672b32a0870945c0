"""The machine, as far as this process may use it: versions, open files, mappings, memory, processors, the clock."""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from holdfast_host import __version__
from holdfast_host.cli.doctor.checks import Check, size
from holdfast_host.core.limits import GIB, MIB, Limits
from holdfast_host.sandbox.signatures import CONTRACT_VERSION

_PYTHON: Final = (3, 11)
_FILES_LEAST: Final = 1024
_CONNECTIONS: Final = 10_000  # of a front, without sockets
_SPARE_FILES: Final = 256
_MAPS_LEAST: Final = 65_530  # what Linux has by itself; a sandbox takes four
_MEMORY_LEAST: Final = 512 * MIB  # a compile takes about 360
_MEMORY_USUAL: Final = 1 * GIB
_OLD_S: Final = 1_764_547_200  # 2025-12-01: a clock before that was never set
_JUMP_S: Final = 0.05
_LOOKS: Final = 5


def machine_checks(root: Path = Path("/"), *, look_s: float = 0.2) -> Iterator[Check]:
    """All of them; `root` is where /proc and /sys lie, `look_s` how long the clock is watched."""
    wasmtime = metadata.version("wasmtime")  # without it there is no host to look at
    yield python_check(sys.version_info[:3])
    yield wasmtime_check(wasmtime, _pinned("wasmtime"))
    yield files_check(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield maps_check(_number(root / "proc/sys/vm/max_map_count"))
    yield memory_check(root)
    yield processors_check(root, len(os.sched_getaffinity(0)))
    before = wall_apart()
    time.sleep(look_s)
    yield clock_check(time.time(), wall_apart() - before)


def python_check(version: tuple[int, ...]) -> Check:
    """The Python that runs the host."""
    said = f"Python {'.'.join(map(str, version))}, holdfast {__version__}"
    if version[:2] < _PYTHON:
        return Check.fault("python", said, "install Python 3.11 or newer, and holdfast into it")
    return Check.ok("python", said)


def wasmtime_check(found: str, pinned: str | None) -> Check:
    """What runs the sandboxes: tested with one version alone."""
    if pinned is not None and found != pinned:
        todo = f"pip install wasmtime=={pinned}: another one is not tested, and its sandbox may not hold"
        return Check.fault("wasmtime", f"wasmtime {found} is installed, this release needs {pinned}", todo)
    return Check.ok("wasmtime", f"wasmtime {found}, for components of the contract {CONTRACT_VERSION} and before")


def files_check(hard: int) -> Check:
    """How many files and connections a process may have open."""
    wanted = _CONNECTIONS + Limits().front_sockets_max + _SPARE_FILES
    if hard in (resource.RLIM_INFINITY, -1) or hard >= wanted:
        return Check.ok("open files", "no limit" if hard < 0 else f"{hard} at most")
    said = f"{hard} at most, {wanted} for all connections and sockets of a front"
    todo = f"raise the hard limit (ulimit -Hn {wanted}, LimitNOFILE={wanted} in a unit)"
    if hard < _FILES_LEAST:
        return Check.fault("open files", said, todo)
    return Check.warning("open files", said, f"{todo}, or expect fewer connections")


def maps_check(most: int | None) -> Check:
    """How many mappings a process may have: each activation takes four."""
    if most is None or most >= _MAPS_LEAST:
        return Check.ok("mappings", "not told" if most is None else f"{most} at most, {most // 4} activations a worker")
    todo = f"sysctl -w vm.max_map_count={_MAPS_LEAST}"
    return Check.warning("mappings", f"{most} at most, {most // 4} activations a worker", todo)


def memory_check(root: Path) -> Check:
    """What there is of memory, for the machine and in this container."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    total = int(found[1]) * 1024 if found else None
    limits = [each for each in (_number(path) for path in _cgroup_files(root, "memory.max")) if each is not None]
    most = min([*limits, *([] if total is None else [total])], default=None)
    if most is None:
        return Check.ok("memory", "not told")
    said = f"{size(most)}, by the limit of its control group" if limits and most < (total or most + 1) else size(most)
    if most < _MEMORY_LEAST:
        return Check.fault(
            "memory", said, f"give it {size(_MEMORY_USUAL)}: a compile alone takes {size(_MEMORY_LEAST)}"
        )
    if most < _MEMORY_USUAL:
        return Check.warning("memory", said, f"give it {size(_MEMORY_USUAL)}, or lower worker_memory_bytes")
    return Check.ok("memory", said)


def processors_check(root: Path, cores: int) -> Check:
    """How many processors it may use, and how much of them."""
    share = _share(root, cores)
    if share < 1:
        said = f"{share:g} of a processor"
        return Check.warning("processors", said, "give it one: a host that is throttled answers in jumps of 100 ms")
    return Check.ok("processors", f"{share:g} of {cores}" if share < cores else f"{cores}")


def processors() -> float:
    """How many processors this process may use, as its affinity and its control group have it."""
    return _share(Path("/"), len(os.sched_getaffinity(0)))


def _share(root: Path, cores: int) -> float:
    share = float(cores)
    for path in _cgroup_files(root, "cpu.max"):
        quota, _, period = _text(path).strip().partition(" ")
        if quota.isdigit() and period.isdigit():
            share = min(share, int(quota) / int(period))
    return share


def wall_apart() -> float:
    """The wall clock less the one that is never set; of some looks the shortest, as others may run in between."""
    looks = []
    for _ in range(_LOOKS):
        began, wall, ended = time.monotonic(), time.time(), time.monotonic()
        looks.append((ended - began, wall - began))
    return min(looks)[1]


def clock_check(now: float, jumped_s: float) -> Check:
    """The wall clock, by which alarms, jobs and keys go."""
    said = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < _OLD_S:
        return Check.fault("clock", f"{said}: it was never set", "set it, and have it kept (chrony, systemd-timesyncd)")
    if abs(jumped_s) > _JUMP_S:
        todo = "let it be slewed, not set: chrony does so; two services that set it jump for ever"
        return Check.warning("clock", f"{said}, and jumped by {jumped_s:.3f} s while it was looked at", todo)
    return Check.ok("clock", said)


def _pinned(package: str) -> str | None:
    """The one version of a package that this release was made for."""
    try:
        needed = metadata.requires("holdfast") or []
    except metadata.PackageNotFoundError:
        return None
    return next((found[1] for each in needed if (found := re.match(rf"{package}==([\w.]+)", each))), None)


def _cgroup_files(root: Path, name: str) -> Iterator[Path]:
    """Of this process's control group and those around it, inmost first."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            inner = Path(line[3:].lstrip("/"))
            for each in (inner, *inner.parents):
                yield root / "sys/fs/cgroup" / each / name


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    """Empty where there is no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
