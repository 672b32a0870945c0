"""The same load on every server, in turns, in one run: what counts is the ratio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.benchmarks.load import Load, Measured, measure
from tests.benchmarks.report import Report, middle, spread
from tests.benchmarks.servers import MissingToolError, Server, aiohttp_empty, hand_rolled, holdfast, workerd

LOADS = {
    "durable deposit": [Load.deposit(names, clients) for names in (200, 1) for clients in (1, 32, 256)],
    "empty method": [Load.empty(200, clients) for clients in (1, 32, 256)],
}


def run(report: Report, *, rounds: int, seconds: float) -> None:
    """Measure every load on every server, `rounds` times, one after another within a round."""
    with _servers(report) as servers:
        for title, loads in LOADS.items():
            for load in loads:
                _compare(report, title, load, servers, rounds, seconds)


@contextmanager
def _servers(report: Report) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        servers = []
        for start in (
            holdfast,
            workerd,
            hand_rolled,
            lambda: aiohttp_empty("asyncio"),
            lambda: aiohttp_empty("uvloop"),
        ):
            try:
                servers.append(stack.enter_context(start()))
            except MissingToolError as error:
                report.note(f"left out: {error}")
        yield servers


def _compare(report: Report, title: str, load: Load, servers: Sequence[Server], rounds: int, seconds: float) -> None:
    seen: dict[str, list[Measured]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            seen[server.name].append(measure(server, load, seconds))
    base = {server.name: middle([each.calls_per_s for each in seen[server.name]]) for server in servers}
    ours = base["holdfast"]
    rows = [
        (
            name,
            spread([each.calls_per_s for each in runs]),
            f"{ours / base[name]:.2f}x" if base[name] else "-",
            spread([each.p50_ms for each in runs]),
            spread([each.p99_ms for each in runs]),
            spread([each.cpu_us_per_call for each in runs]),
            str(sum(each.errors for each in runs)),
        )
        for name, runs in seen.items()
    ]
    report.table(
        f"{title}: {load.names} name{'s' if load.names > 1 else ''}, {load.clients} client"
        f"{'s' if load.clients > 1 else ''}",
        ("server", "calls/s", "holdfast against it", "p50 ms", "p99 ms", "CPU us/call", "errors"),
        rows,
    )
