"""Storage on PostgreSQL beside storage in files, and beside what people write by hand on the same PostgreSQL.

Everything lies on the same disk: files, one server, a primary with two standbys. What is acknowledged is on one of the
standbys, for the host and for the service by hand alike; reads of that one are not confirmed by anybody.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg

from tests.benchmarks.load import Load, Measured, measure, measure_in_turns
from tests.benchmarks.peers import by_hand_on_postgres
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import MissingToolError, Server, by_hand, holdfast
from tests.benchmarks.usage import cpu_s_of
from tests.harness import postgres
from tests.harness.replicas import Replicas

FILES, ONE, THREE, HAND = "files", "one server", "three nodes", "FastAPI by hand"
LOADS = {
    "durable deposit": Load.deposit(200, 32),
    "durable deposit, one client": Load.deposit(200, 1),
    "one hot name": Load.deposit(1, 32),
    "read": Load("balance", 200, 32),
    "empty method": Load.empty(200, 32),
}
_COLUMNS = ["storage", "calls/s", "of files", "p50 ms", "p99 ms", "p99 of files", "CPU us/call", "errors"]


def run(section: Section, scale: Scale) -> None:
    """Each load on each of them, in turns."""
    if postgres.programs() is None:
        raise MissingToolError("no PostgreSQL: make apt")
    with _servers(section) as (servers, replicas):
        for server in servers:
            measure(server, LOADS["durable deposit"], scale.seconds)
        for title, load in LOADS.items():
            seen = measure_in_turns([(each.name, each, load) for each in servers], scale.rounds, scale.seconds)
            rows = [_row(section, load, name, seen) for name in seen]
            section.table(f"{title}: {load}", _COLUMNS, rows)
        _say_what_the_primary_pays(section, servers, replicas, scale)


@contextmanager
def _servers(section: Section) -> Iterator[tuple[list[Server], Replicas]]:
    with ExitStack() as stack:
        server = postgres.new_server(on_disk=True)
        stack.callback(server.remove)
        replicas = Replicas(on_disk=True)
        stack.callback(replicas.remove)
        servers = [stack.enter_context(holdfast())]
        servers[0] = Server(FILES, servers[0].url, servers[0].pid, servers[0].host)
        for name, options in (
            (ONE, postgres.store_options(server)),
            (THREE, ("--store", replicas.new_store(), "--durability", "replicated")),
        ):
            started = stack.enter_context(holdfast(*options))
            servers.append(Server(name, started.url, started.pid, started.host))
        dsn = replicas.new_database()
        with psycopg.connect(dsn, autocommit=True, target_session_attrs="read-write") as connection:
            connection.execute(by_hand_on_postgres.SCHEMA)
        if importlib.util.find_spec("httptools") is None:
            section.note("uvicorn runs without httptools, which makes it slower: pip install -e '.[bench]'")
        servers.append(stack.enter_context(by_hand(HAND, "by_hand_on_postgres", {"DSN": dsn}, os.cpu_count() or 1)))
        yield servers, replicas


def _row(section: Section, load: Load, name: str, seen: dict[str, list[Measured]]) -> list[object]:
    runs, files = seen[name], seen[FILES]
    place = f"cluster/{load.key}/{name}"
    pairs: Sequence[tuple[Measured, Measured]] = [*zip(runs, files, strict=True)]
    ratio = section.figure(f"{place}/ratio", [each.calls_per_s / base.calls_per_s for each, base in pairs])
    p99_ratio = section.figure(f"{place}/p99_ratio", [each.p99_ms / base.p99_ms for each, base in pairs])
    return [
        name,
        section.figure(f"{place}/calls_per_s", [each.calls_per_s for each in runs]),
        f"{ratio}x",
        section.figure(f"{place}/p50_ms", [each.p50_ms for each in runs]),
        section.figure(f"{place}/p99_ms", [each.p99_ms for each in runs]),
        f"{p99_ratio}x",
        section.figure(f"{place}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
        sum(each.errors for each in runs),
    ]


def _say_what_the_primary_pays(section: Section, servers: Sequence[Server], replicas: Replicas, scale: Scale) -> None:
    """Processor time of PostgreSQL itself for a deposit, which no figure of a host shows."""
    load, rows = LOADS["durable deposit"], list[list[object]]()
    for server in servers:
        if server.name not in (THREE, HAND):
            continue
        before_s = [cpu_s_of(node.pid) for node in replicas.nodes]
        calls = measure(server, load, scale.seconds).calls_per_s * scale.seconds
        primary, *standbys = [
            1e6 * (cpu_s_of(node.pid) - before) / calls for node, before in zip(replicas.nodes, before_s, strict=True)
        ]
        place = f"cluster/{load.key}/{server.name}"
        rows.append(
            [
                server.name,
                section.figure(f"{place}/primary_us", [primary]),
                section.figure(f"{place}/standby_us", standbys),
            ]
        )
    section.table("PostgreSQL's own CPU us for a deposit", ["storage", "primary", "each standby"], rows)
