"""What a request to the outside costs an actor over a bare client: both ask one server, one request after the other."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import aiohttp

from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS, aiohttp_empty, holdfast
from tests.harness.host import HostProcess
from tests.harness.load import percentile

_GRANTS: Final = ("--outbound", "http://*", "--outbound-private", "127.0.0.1")
_COLUMNS: Final = ["client", "p50 ms", "p50 ms more"]


def run(section: Section, scale: Scale) -> None:
    """Requests on a connection that is kept, in turns."""
    bare_ms, ours_ms, more_ms = [], [], []
    with aiohttp_empty("uvloop") as outside, holdfast(*_GRANTS, project=PEERS / "outbound") as server:
        url = f"{outside.url}/v1/actors/any/name/empty"
        assert server.host is not None
        _of_actor(server.host, url, scale.calls)
        for _ in range(scale.rounds):
            bare_ms.append(1000 * percentile(asyncio.run(_of_bare_client(url, scale.calls)), 0.5))
            ours_ms.append(1000 * percentile(_of_actor(server.host, url, scale.calls), 0.5))
            more_ms.append(ours_ms[-1] - bare_ms[-1])
    section.table(
        "a request to a server on this machine, one at a time",
        _COLUMNS,
        [
            ["aiohttp, bare", section.figure("outbound/bare/p50_ms", bare_ms), ""],
            [
                "an actor's holdfast.http",
                section.figure("outbound/actor/p50_ms", ours_ms),
                section.figure("outbound/actor/more_ms", more_ms),
            ],
        ],
    )


def _of_actor(host: HostProcess, url: str, count: int) -> list[float]:
    with host.caller() as caller:
        took: list[float] = caller.value("Asker", "one", "times", url, count)
    return took


async def _of_bare_client(url: str, count: int) -> list[float]:
    took = []
    async with aiohttp.ClientSession() as session:
        for _ in range(count + 1):
            began = time.perf_counter()
            async with session.post(url, data=b"{}") as response:
                await response.read()
            took.append(time.perf_counter() - began)
    return took[1:]  # without the one that connects
