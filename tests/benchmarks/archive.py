"""What an archive costs: the same deposits on a host that ships into one and on one that does not, in turns.

And what the commit itself pays, without a host: processor time of a group, with a spool and without.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from tests.benchmarks.load import Load, Measured, measure, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast
from tests.harness.archives import LIMITS, until_reached

_COLUMNS: Final = ["host", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "CPU of the plain call", "errors"]
_COMMIT_COLUMNS: Final = ["turns in a group", "without", "with a spool", "more"]
_TURNS: Final = (1, 16)


def run(section: Section, scale: Scale) -> None:
    """Deposits of 32 clients at 200 names; then commits alone."""
    load = Load.deposit(200, 32)
    with tempfile.TemporaryDirectory() as scratch, holdfast() as plain:
        archive = Path(scratch) / "archive"
        with holdfast("--archive", str(archive)) as archived:
            until_reached(archive, 0)
            for server in (plain, archived):
                measure(server, load, scale.seconds)
            contenders = [("plain", plain, load), ("archived", archived, load)]
            seen = measure_in_turns(contenders, scale.rounds, scale.seconds)
    section.table(
        "deposits with an archive, 200 names, 32 clients", _COLUMNS, [_row(section, each, seen) for each in seen]
    )
    rows = [_commit_row(section, turns, scale) for turns in _TURNS]
    section.table("CPU us of a commit", _COMMIT_COLUMNS, rows)


def _row(section: Section, name: str, seen: dict[str, list[Measured]]) -> list[object]:
    runs, place = seen[name], f"archive/{name}"
    ratios = [each.cpu_us_per_call / base.cpu_us_per_call for each, base in zip(runs, seen["plain"], strict=True)]
    return [
        name,
        section.figure(f"{place}/calls_per_s", [each.calls_per_s for each in runs]),
        section.figure(f"{place}/p50_ms", [each.p50_ms for each in runs]),
        section.figure(f"{place}/p99_ms", [each.p99_ms for each in runs]),
        section.figure(f"{place}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
        f"{section.figure(f'{place}/cpu_ratio', ratios)}x",
        sum(each.errors for each in runs),
    ]


def _commit_row(section: Section, turns: int, scale: Scale) -> list[object]:
    spent: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(scale.rounds):
        for archived in (False, True):
            spent[archived].append(_commit_us(turns, scale.calls * 4, archived=archived))
    more = [with_it - without for without, with_it in zip(spent[False], spent[True], strict=True)]
    place = f"archive/commit/{turns}"
    return [
        turns,
        section.figure(f"{place}/without_us", spent[False]),
        section.figure(f"{place}/with_us", spent[True]),
        section.figure(f"{place}/more_us", more),
    ]


def _commit_us(turns: int, groups: int, *, archived: bool) -> float:
    """Processor time of a group of so many turns, each of which puts one small value."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch)
        ensure_data_directory(data, 1)
        store = LmdbStore.open(data, [0], LIMITS, archived=archived)
        instances = [store.locate(1, b"n%d" % number) for number in range(turns)]
        first = store.reached()[0][1] + 1
        began = time.thread_time()
        for number in range(groups):
            writes: dict[bytes, bytes | None] = {b"balance": b"%d" % number}
            store.commit(first + number, [Batch(each, Changes(writes, size_bytes=12)) for each in instances])
        spent_s = time.thread_time() - began
        store.close()
    return spent_s / groups * 1e6
