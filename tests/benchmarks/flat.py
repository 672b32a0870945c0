"""The cost of a call beside what lies on disk: it must not grow with instances, nor with an instance's keys."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.benchmarks.load import Load, measure, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import Server
from tests.benchmarks.stored import Stored

_NAMES = 100
_KEYS = 1_000


def run(section: Section, scale: Scale) -> None:
    """Deposits to 100 names on three hosts in turns; then how long two of them take to start."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stored = Stored(Path(folder))
        kinds = {
            "few": (f"{_NAMES} instances, 1 key each", _NAMES, 1),
            f"{scale.on_disk}_instances": (f"{scale.on_disk:,} instances, 1 key each", scale.on_disk, 1),
            f"{_KEYS}_keys": (f"{_NAMES} instances, {_KEYS:,} keys each", _NAMES, _KEYS),
        }
        servers = {
            kind: stack.enter_context(stored.host(kind, instances=instances, keys=keys))
            for kind, (_, instances, keys) in kinds.items()
        }
        load = Load.deposit(_NAMES, 32)
        for server in servers.values():
            measure(server, load, scale.seconds)
        seen = measure_in_turns([(kind, server, load) for kind, server in servers.items()], scale.rounds, scale.seconds)
        rows = []
        for kind, runs in seen.items():
            pairs = list(zip(runs, seen["few"], strict=True))
            rate = section.figure(f"flat/{kind}/rate_ratio", [a.calls_per_s / b.calls_per_s for a, b in pairs])
            cpu = section.figure(f"flat/{kind}/cpu_ratio", [a.cpu_us_per_call / b.cpu_us_per_call for a, b in pairs])
            rows.append(
                [
                    kinds[kind][0],
                    section.figure(f"flat/{kind}/calls_per_s", [each.calls_per_s for each in runs]),
                    f"{rate}x",
                    section.figure(f"flat/{kind}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
                    f"{cpu}x",
                ]
            )
        section.table(
            f"deposits beside what lies on disk: {load}",
            ["on disk", "deposits/s", "of the first", "CPU us/call", "of the first"],
            rows,
        )
        pages = {kind: _pages_ms(server, scale.calls) for kind, server in servers.items() if kind != f"{_KEYS}_keys"}
        starts: dict[str, list[float]] = {"few": [], f"{scale.on_disk}_instances": []}
        for _ in range(scale.rounds):
            for kind, times in starts.items():
                host = servers[kind].host
                assert host is not None
                host.stop()
                times.append(host.restart())
    section.table(
        "start of a host, until it answers",
        ["on disk", "seconds"],
        [[kinds[kind][0], section.figure(f"start/{kind}_s", times)] for kind, times in starts.items()],
    )
    section.table(
        "a page of 100 instances, as `GET /v1/instances/Account` has it",
        ["on disk", "p50 ms"],
        [[kinds[kind][0], section.figure(f"pages/{kind}_ms", times)] for kind, times in pages.items()],
    )


def _pages_ms(server: Server, count: int) -> list[float]:
    """How long each page took, from the first on, and from the first again behind the last."""
    times, cursor = list[float](), ""
    with httpx.Client(base_url=server.url) as client:
        for _ in range(count):
            began = time.perf_counter()
            answer = client.get(
                "/v1/instances/Account", params={"limit": 100, **({"cursor": cursor} if cursor else {})}
            )
            times.append((time.perf_counter() - began) * 1000)
            cursor = answer.raise_for_status().json().get("cursor") or ""
    return times
