"""The same load on every server, in turns, in one run: what counts is the ratio."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

import psycopg

from tests.benchmarks.load import Load, Measured, measure, measure_in_turns
from tests.benchmarks.peers import by_hand_on_postgres
from tests.benchmarks.results import Section, Spread
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import (
    MissingToolError,
    Server,
    aiohttp_empty,
    by_hand,
    hand_rolled,
    holdfast,
    restate,
    workerd,
)
from tests.harness import postgres

OURS = "holdfast"
CLIENTS = (1, 32, 256)
# The 200 names first: their instances are not evicted while the one name is measured for minutes.
LOADS = [make(names, clients) for names in (200, 1) for make in (Load.deposit, Load.empty) for clients in CLIENTS]
_LEAST = 0.001  # what a clock with coarse ticks may have missed
_TITLES = {"deposit": "durable deposit", "empty": "empty method"}


def run(section: Section, scale: Scale) -> None:
    """Measure every load on every server, one after another within a round."""
    with _servers(section) as servers:
        for server in servers:
            measure(server, Load.deposit(200, 32), scale.seconds)  # activates, opens files, warms up
        errors = sum(_compare(section, load, _asked(servers, load), scale) for load in LOADS)
    section.figure("errors", [errors])


@contextmanager
def _servers(section: Section) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        servers = []
        others = (_fastapi(section), restate(), hand_rolled(), aiohttp_empty("asyncio"), aiohttp_empty("uvloop"))
        for start in (holdfast(), workerd(), *others):
            try:
                servers.append(stack.enter_context(start))
            except MissingToolError as error:
                section.note(f"left out: {error}")
        yield servers


@contextmanager
def _fastapi(section: Section) -> Iterator[Server]:
    """What people write today, on a PostgreSQL of its own on the same disk."""
    if postgres.programs() is None:
        raise MissingToolError("no PostgreSQL: make apt")
    if find_spec("httptools") is None:
        section.note("uvicorn runs without httptools, which makes it slower: pip install -e '.[bench]'")
    section.note("the CPU of FastAPI + PostgreSQL is that of FastAPI alone")
    server = postgres.new_server(on_disk=True)
    try:
        dsn = server.new_database()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(by_hand_on_postgres.SCHEMA)
        with by_hand("FastAPI + PostgreSQL", "by_hand_on_postgres", {"DSN": dsn}, os.cpu_count() or 1) as started:
            yield started
    finally:
        server.remove()


def _asked(servers: Sequence[Server], load: Load) -> list[Server]:
    """An empty handler knows no names: once is enough for it."""
    return [server for server in servers if load.names > 1 or not server.name.startswith("aiohttp")]


def _compare(section: Section, load: Load, servers: Sequence[Server], scale: Scale) -> int:
    """One table; the errors of our own host."""
    seen = measure_in_turns([(server.name, server, load) for server in servers], scale.rounds, scale.seconds)
    rows = []
    for name, runs in seen.items():
        ratio = section.figure(f"{load.key}/{name}/ratio", _ratios(seen[OURS], runs, "calls_per_s"))
        cpu_ratio = section.figure(f"{load.key}/{name}/cpu_ratio", _ratios(seen[OURS], runs, "cpu_us_per_call"))
        section.figure(f"{load.key}/{name}/p99_ratio", _ratios(seen[OURS], runs, "p99_ms"))
        rows.append(
            [
                name,
                _kept(section, load, name, "calls_per_s", runs),
                "" if name == OURS else f"{ratio}x",
                _kept(section, load, name, "p50_ms", runs),
                _kept(section, load, name, "p99_ms", runs),
                _kept(section, load, name, "cpu_us_per_call", runs),
                "" if name == OURS else f"{cpu_ratio}x",
                sum(each.errors for each in runs),
            ]
        )
    section.table(
        f"{_TITLES[load.method]}: {load}",
        ["server", "calls/s", "holdfast does", "p50 ms", "p99 ms", "CPU us/call", "holdfast uses", "errors"],
        rows,
    )
    return sum(each.errors for each in seen[OURS])


def _ratios(ours: Sequence[Measured], theirs: Sequence[Measured], what: str) -> list[float]:
    """Ours as a multiple of theirs, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return [getattr(mine, what) / max(getattr(other, what), _LEAST) for mine, other in pairs]


def _kept(section: Section, load: Load, name: str, what: str, runs: Sequence[Measured]) -> Spread:
    return section.figure(f"{load.key}/{name}/{what}", [getattr(each, what) for each in runs])
