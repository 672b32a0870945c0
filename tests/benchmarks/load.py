"""Load by wrk: the same generator, the same script, for every server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.servers import MissingToolError, Server
from tests.benchmarks.usage import cpu_s_of

SCRIPT = Path(__file__).resolve().parent / "peers" / "load.lua"
ACTORS = "/v1/actors/Account/"
FUNCTION = "/fn/account/accounts/"
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a server; `prefix` is the path before the name."""

    method: str
    names: int
    clients: int
    body: str = ""
    prefix: str = ACTORS
    keyed: bool = False  # each call has an idempotency key of its own

    @classmethod
    def deposit(cls, names: int, clients: int, prefix: str = ACTORS) -> Load:
        """Read, add, write, durable."""
        return cls("deposit", names, clients, '{"amount":5}', prefix)

    @classmethod
    def empty(cls, names: int, clients: int, prefix: str = ACTORS) -> Load:
        """A method that does nothing."""
        return cls("empty", names, clients, "", prefix)

    @property
    def key(self) -> str:
        """The beginning of its figures' names."""
        return f"{self.method}/{self.names}/{self.clients}"

    def __str__(self) -> str:
        """For a title."""
        return f"{_counted(self.names, 'name')}, {_counted(self.clients, 'client')}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a server did under a load; CPU time is of its whole process tree."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_call: float
    errors: int


def measure(server: Server, load: Load, seconds: float) -> Measured:
    """Run wrk for so many seconds; longer where a stalled disk has kept the server from answering even one call.

    Raises:
        MissingToolError: there is no wrk.
        RuntimeError: the server does not answer.
    """
    asked = load if server.prefix is None else replace(load, prefix=server.prefix)
    for patience in (1, 2, 5):
        before_s = cpu_s_of(server.pid)
        text = run_wrk(server.url, asked, seconds * patience, server.content_type)
        cpu_s = cpu_s_of(server.pid) - before_s
        if (calls := int(_found(r"(\d+) requests in", text))) > 0:
            return _read(text, cpu_s / calls)
    raise RuntimeError(f"{server.name} answers no {load.method} of {load}: {text}")


def _read(text: str, cpu_s_per_call: float) -> Measured:
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Measured(
        calls_per_s=float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        p50_ms=_milliseconds(_found(r"\s50%\s+(\S+)", text)),
        p99_ms=_milliseconds(_found(r"\s99%\s+(\S+)", text)),
        cpu_us_per_call=cpu_s_per_call * 1e6,
        errors=(int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0),
    )


def measure_in_turns(
    contenders: Sequence[tuple[str, Server, Load]], rounds: int, seconds: float
) -> dict[str, list[Measured]]:
    """Each contender once a round, one after another, so that a clock that drifts drifts for all."""
    seen: dict[str, list[Measured]] = {name: [] for name, _, _ in contenders}
    for _ in range(rounds):
        for name, server, load in contenders:
            seen[name].append(measure(server, load, seconds))
    return seen


def run_wrk(url: str, load: Load, seconds: float, content_type: str = "") -> str:
    """What wrk prints after so many seconds of load."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise MissingToolError("no wrk: make apt")
    own = {"NAMES": str(load.names), "METHOD": load.method, "BODY": load.body, "PREFIX": load.prefix}
    if load.keyed:
        own["KEYED"] = "1"
    if content_type and load.body:
        own["TYPE"] = content_type
    return subprocess.run(
        [wrk, "-t1", f"-c{load.clients}", f"-d{seconds:g}s", "--timeout", "20s", "--latency", "-s", str(SCRIPT), url],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    ).stdout


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk did not say {pattern!r}: {text}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(\w+)", text)
    assert found is not None, text
    return float(found[1]) * _UNITS_MS[found[2]]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
