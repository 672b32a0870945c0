"""Load by wrk: the same generator, the same script, for every server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.servers import MissingToolError, Server
from tests.benchmarks.usage import usage_of

SCRIPT = Path(__file__).resolve().parent / "peers" / "load.lua"
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a server."""

    method: str
    names: int
    clients: int
    body: str = ""

    @classmethod
    def deposit(cls, names: int, clients: int) -> Load:
        """Read, add, write, durable."""
        return cls("deposit", names, clients, '{"amount":5}')

    @classmethod
    def empty(cls, names: int, clients: int) -> Load:
        """A method that does nothing."""
        return cls("empty", names, clients)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a server did under a load."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_call: float
    errors: int


def measure(server: Server, load: Load, seconds: float) -> Measured:
    """Run wrk for so many seconds; CPU time is that of the server's whole process tree."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise MissingToolError("no wrk: make apt")
    environment = {**os.environ, "NAMES": str(load.names), "METHOD": load.method, "BODY": load.body}
    before = usage_of(server.pid).cpu_s
    done = subprocess.run(
        [wrk, "-t1", f"-c{load.clients}", f"-d{seconds:g}s", "--latency", "-s", str(SCRIPT), server.url],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    cpu_s = usage_of(server.pid).cpu_s - before
    calls = int(_found(r"(\d+) requests in", done.stdout))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    return Measured(
        calls_per_s=float(_found(r"Requests/sec:\s+([\d.]+)", done.stdout)),
        p50_ms=_milliseconds(_found(r"\s50%\s+(\S+)", done.stdout)),
        p99_ms=_milliseconds(_found(r"\s99%\s+(\S+)", done.stdout)),
        cpu_us_per_call=cpu_s / max(1, calls) * 1e6,
        errors=int(refused[1]) if refused else 0,
    )


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk did not say {pattern!r}: {text}")
    return found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS_MS[unit]
