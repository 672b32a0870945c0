"""Instructions of a call where the processor gives no counters: valgrind runs front and worker, and counts each one.

It is exact, and fifty times slower: the load is one client that calls again and again, and what the clock drives would
be most of what is counted. So a few things are changed for valgrind, in these hosts only and alike for every checkout:
the monitor, the worker's housekeeping and the supervisor's pings rest; guests are compiled for plain x86-64, for
valgrind knows no newer instructions; and the map is small. What is left of the clock only adds: the least of the rounds
is closest to the calls alone.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.benchmarks.load import Load
from tests.benchmarks.results import Section, machine
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import MissingToolError, Server, holdfast_of
from tests.harness.host import PROJECT

LOADS: Final = (Load.deposit(4, 1), Load.empty(4, 1))
_WARM_CALLS: Final = 200
_CALLS: Final = 100  # of a round, in short runs too: what is counted beside them is spread over so many
_START_S: Final = 300.0
_DUMP_S: Final = 60.0  # a process notices the wish for one when it wakes
_LIMITS: Final = ("--limit", "map_bytes=1073741824", "--limit", "compile_timeout_s=600", "--limit", "round_s=600")
_OPTIONS: Final = ("--workers", "1", "--fronts", "1", *_LIMITS)
_COLUMNS: Final = ["process", "call", "thousand instructions, least", "all rounds", "before", "ratio"]

# Every process of the host runs this first; only those that load guests are concerned.
_CUSTOMIZE: Final = """\
import sys
command = " ".join(sys.orig_argv)
if "holdfast_host.worker" in command or "holdfast_host.sandbox" in command:
    import threading, wasmtime
    make, start = wasmtime.Config.__init__, threading.Thread.start
    def make_plain(config):
        make(config)
        config.target = "x86_64-unknown-linux-gnu"
    wasmtime.Config.__init__ = make_plain
    threading.Thread.start = lambda thread: None if thread.name == "holdfast-monitor" else start(thread)
if "holdfast_host.worker" in command:
    try:
        from holdfast_host.worker import housekeeping
    except ImportError:  # an earlier checkout
        from holdfast_host.worker import loop as housekeeping
    housekeeping.HOUSEKEEPING_S = 3600.0
"""
# What the supervisor takes for Python.
_PYTHON: Final = """\
#!/bin/sh
case "$*" in
*holdfast_host.worker.main* | *holdfast_host.front.main*)
    exec valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file={folder}/%p --log-file=/dev/null \\
        {python} "$@" ;;
*) exec {python} "$@" ;;
esac
"""

# The supervisor itself runs as it is, and has more patience: valgrind takes half a minute to start a worker.
_HOST: Final = """\
import functools, sys
sys.executable = "{python}"
from holdfast_host.cli.main import main
from holdfast_host.supervisor import host
times = "ProbeTimes" if hasattr(host, "ProbeTimes") else "Patience"  # of an earlier checkout
setattr(host, times, functools.partial(getattr(host, times), start_s={start_s}, ping_every_s=3600.0))
main()
"""


def run(section: Section, scale: Scale) -> None:
    """Front and worker of this checkout, and beside them those of an earlier one where that is given."""
    for tool in ("valgrind", "callgrind_control"):
        if shutil.which(tool) is None:
            raise MissingToolError(f"neither does perf count instructions here, nor is there {tool}: make apt")
    section.note(
        f"counted by valgrind, for perf has no counters on this {machine()['cpu']}: one client, guests compiled for "
        "plain x86-64, without monitor, housekeeping and pings; the least of the rounds counts"
    )
    counted = {"now": _count(PROJECT, scale)}
    if scale.before is not None:
        counted["before"] = _count(scale.before, scale)
    rows = []
    for (role, load), rounds in counted["now"].items():
        place = f"emulated/{load.key}/{role}"
        least = section.figure(f"{place}/kilo_instructions", [min(rounds)])
        row = [role, load.method, least, section.figure(f"{place}/rounds", rounds)]
        if "before" in counted:
            before = min(counted["before"][role, load])
            row += [section.figure(f"{place}/before", [before]), f"{min(rounds) / before:.3f}x"]
        rows.append([*row, *["-"] * (len(_COLUMNS) - len(row))])
    section.table("instructions of a call, under valgrind", _COLUMNS, rows)


def _count(checkout: Path, scale: Scale) -> dict[tuple[str, Load], list[float]]:
    """By process and load, thousands of instructions of a call, once for each round."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(_emulated(checkout, folder))
        assert server.host is not None
        pids = {role: server.host.pids()[role][0] for role in ("front", "worker")}
        where = urlsplit(server.url)
        connection = stack.enter_context(socket.create_connection((where.hostname or "", where.port or 0)))
        for load in LOADS:
            _call(connection, load, _WARM_CALLS)
        for pid in pids.values():
            _control(pid, "-i", "on")
        found: dict[tuple[str, Load], list[float]] = {}
        for load in LOADS:
            for _ in range(scale.rounds):
                counts = _counted(folder, pids, partial(_call, connection, load, _CALLS))
                for role, count in counts.items():
                    found.setdefault((role, load), []).append(count / _CALLS / 1_000)
    return found


@contextmanager
def _emulated(checkout: Path, folder: Path) -> Iterator[Server]:
    """A host of that checkout, front and worker of which run under valgrind."""
    python = checkout / ".venv" / "bin" / "python"
    (folder / "sitecustomize.py").write_text(_CUSTOMIZE)
    wrapper = folder / "python"
    wrapper.write_text(_PYTHON.format(folder=folder, python=python))
    wrapper.chmod(0o755)
    # Hashes as in every other run: where a dictionary's keys fall is a part of what is counted.
    command = (
        "env",
        f"PYTHONPATH={folder}",
        "PYTHONHASHSEED=1",
        str(python),
        "-c",
        _HOST.format(python=wrapper, start_s=_START_S),
    )
    with holdfast_of(checkout, *_OPTIONS, command=command, ready_timeout_s=_START_S) as server:
        yield server


def _call(connection: socket.socket, load: Load, calls: int) -> None:
    """Each request in one piece: a front that wakes for a head alone does more, and it is luck whether one does."""
    body = load.body.encode()
    for number in range(calls):
        head = (
            f"POST {load.prefix}n{number % load.names}/{load.method} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        with http.client.HTTPResponse(connection, method="POST") as answer:
            answer.begin()
            text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{load.method} is answered {answer.status} {text[:300]!r}")


def _counted(folder: Path, pids: dict[str, int], act: Callable[[], None]) -> dict[str, int]:
    """How many instructions each process has run meanwhile."""
    for pid in pids.values():
        _dump(folder, pid)
    act()
    return {role: _dump(folder, pid) for role, pid in pids.items()}


def _dump(folder: Path, pid: int) -> int:
    """What a process has counted since the last time; valgrind begins anew then."""
    _control(pid, "-d")
    deadline = time.monotonic() + _DUMP_S
    while time.monotonic() < deadline:
        for file in folder.glob(f"{pid}.*"):
            totals = [line for line in file.read_text().splitlines() if line.startswith(("summary:", "totals:"))]
            if totals:  # it is written to its end
                file.unlink()
                return int(totals[0].split()[1])
        time.sleep(0.01)
    raise RuntimeError(f"valgrind writes nothing for process {pid}")


def _control(pid: int, *words: str) -> None:
    done = subprocess.run(
        ["callgrind_control", *words, str(pid)], capture_output=True, text=True, check=False, timeout=_DUMP_S
    )
    if done.returncode or "OK" not in done.stdout:
        raise RuntimeError(f"callgrind_control {' '.join(words)}: {(done.stdout + done.stderr).strip()[-300:]}")


if __name__ == "__main__":
    from tests.benchmarks.__main__ import main

    sys.exit(main(["--only", "counts"]))
