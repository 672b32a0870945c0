"""Copies: what deposits wait while a backup or an export is taken of their host, and how many there are meanwhile.

The host has a hundred megabytes in one type, beside the instances that are called. Whoever takes copies is a process of
its own, which takes one after the other and throws them away.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast
from tests.harness.caller import Caller

_INSTANCES: Final = 10
_KEYS, _QUICK_KEYS = 10_000, 1_000  # of each, of a kilobyte
_TAKE: Final = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
while True:
    connection.request(sys.argv[2], sys.argv[3])
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    while answer.read(1 << 20):
        pass
    print("one", flush=True)
"""
_HOW: Final = {
    "backup": ("a backup", "POST", "/v1/backup"),
    "type": ("an export of a type", "GET", "/v1/export/Account"),
    "instance": ("exports of one instance", "GET", "/v1/instances/Account/stored0/export"),
}


def run(section: Section, scale: Scale) -> None:
    """Without and beside each, in turns."""
    p99s: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    rates: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    with holdfast() as server, Caller(server.url) as caller:
        for number in range(_INSTANCES):
            _store(caller, f"stored{number}", _QUICK_KEYS if scale.quick else _KEYS)
        for _ in range(scale.rounds):
            for how, (_, method, path) in _HOW.items():
                for beside in (0, 1):
                    if beside:
                        with _taking(server.url, method, path):
                            p99_ms, per_s = _deposit(caller, scale.seconds)
                    else:
                        p99_ms, per_s = _deposit(caller, scale.seconds)
                    p99s[how][beside].append(p99_ms)
                    rates[how][beside].append(per_s)
    rows = [
        [
            what,
            section.figure(f"copies/{how}/without_p99_ms", p99s[how][0]),
            section.figure(f"copies/{how}/p99_ms", p99s[how][1]),
            section.figure(f"copies/{how}/p99_ratio", _ratios(p99s[how])),
            section.figure(f"copies/{how}/rate_ratio", _ratios(rates[how])),
        ]
        for how, (what, _, _) in _HOW.items()
    ]
    columns = ["beside", "p99 without it, ms", "p99 beside it, ms", "p99, times", "deposits a second, times"]
    section.table("A client's durable deposits, one after the other, while copies are taken", columns, rows)


def _ratios(found: tuple[list[float], list[float]]) -> list[float]:
    return [beside / without for without, beside in zip(*found, strict=True)]


def _store(caller: Caller, name: str, keys: int) -> None:
    lines = ['{"holdfast_export":1,"type":"Account"}']
    lines += [f'{{"key":"k{number:05}","value":"{"x" * 1_000}"}}' for number in range(keys)]
    lines.append(f'{{"end":{{"keys":{keys}}}}}')
    answer = caller.request("POST", f"/v1/instances/Account/{name}/import", "\n".join(lines).encode())
    assert answer.status == 200, answer


@contextmanager
def _taking(url: str, method: str, path: str) -> Iterator[None]:
    """While the block runs, once the first copy was taken."""
    command = [sys.executable, "-c", _TAKE, url.partition("//")[2], method, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            yield
            assert process.poll() is None, "whoever takes copies has ended by itself"
        finally:
            process.kill()


def _deposit(caller: Caller, seconds: float) -> tuple[float, float]:
    """p99 in ms, and deposits a second."""
    took: list[float] = []
    began = now = time.perf_counter()
    while now - began < seconds:
        answer = caller.call("Account", f"n{len(took) % 200}", "deposit", amount=1)
        assert answer.status == 200, answer
        took.append(time.perf_counter() - now)
        now = time.perf_counter()
    return sorted(took)[int(len(took) * 0.99)] * 1e3, len(took) / (now - began)
