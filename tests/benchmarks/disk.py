"""The floor of the disk: the commits of the same deposits by one process, without HTTP, turns or sandboxes.

Groups are ideal: always full. Beside LMDB alone stands the host's own store, and what a host reaches over HTTP.
"""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lmdb

from holdfast_host.core.limits import Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.keys import META_KEY, Meta, data_prefix, pack_meta
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from tests.benchmarks.load import Load, measure
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast

GROUPS = (1, 16, 32, 100)
NAMES = 200
_KEY = b"balance"
_LIMITS = Limits()

Commit = Callable[[int], None]  # one group of so many deposits, durable on return


def run(section: Section, scale: Scale) -> None:
    """Writes/s by size of group, in turns."""
    with ExitStack() as stack:
        ways = {"lmdb alone": stack.enter_context(_lmdb_alone()), "our store": stack.enter_context(_our_store())}
        server = stack.enter_context(holdfast())
        measure(server, Load.deposit(NAMES, 32), scale.seconds)
        seen: dict[tuple[str, int], list[float]] = {}
        cpu_us: dict[tuple[str, int], list[float]] = {}
        hosts = []
        for _ in range(scale.rounds):
            for size, (name, commit) in itertools.product(GROUPS, ways.items()):
                rate, cpu = _measured(commit, size, scale.seconds / 2)
                seen.setdefault((name, size), []).append(rate)
                cpu_us.setdefault((name, size), []).append(cpu)
            hosts.append(measure(server, Load.deposit(NAMES, 32), scale.seconds).calls_per_s)
    rows = []
    for size in GROUPS:
        floor, store = seen["lmdb alone", size], seen["our store", size]
        rows.append(
            [
                size,
                section.figure(f"disk/{size}/lmdb_writes_per_s", floor),
                section.figure(f"disk/{size}/store_writes_per_s", store),
                f"{section.figure(f'disk/{size}/ratio', [a / b for a, b in zip(store, floor, strict=True)])}x",
                section.figure(f"disk/{size}/commit_us", [size / each * 1e6 for each in floor]),
                section.figure(f"disk/{size}/lmdb_cpu_us", cpu_us["lmdb alone", size]),
                section.figure(f"disk/{size}/store_cpu_us", cpu_us["our store", size]),
            ]
        )
    section.table(
        "the floor of the disk: deposits of one process in ideal groups",
        [
            "deposits in a group",
            "lmdb alone, writes/s",
            "our store, writes/s",
            "store against lmdb",
            "lmdb us/commit",
            "lmdb CPU us/write",
            "our CPU us/write",
        ],
        rows,
    )
    share = section.figure("disk/host_share", [a / b for a, b in zip(hosts, seen["lmdb alone", 32], strict=True)])
    section.table(
        "over HTTP, 200 names, 32 clients, in the same run",
        ["deposits/s", "against lmdb alone in groups of 32"],
        [[section.figure("disk/host_calls_per_s", hosts), f"{share}x"]],
    )


def _measured(commit: Commit, size: int, seconds: float) -> tuple[float, float]:
    """Writes a second, and microseconds of CPU for each."""
    count, began, began_cpu_s = 0, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - began) < seconds:
        commit(size)
        count += size
    return count / took, (time.process_time() - began_cpu_s) / count * 1e6


@contextmanager
def _lmdb_alone() -> Iterator[Commit]:
    """The rows that a deposit leaves, put by nothing but the binding."""
    with tempfile.TemporaryDirectory() as folder:
        env: Any = lmdb.open(os.fspath(folder), map_size=_LIMITS.map_bytes, max_spare_txns=1, lib_version=0)
        keys = [data_prefix(number) + _KEY for number in range(NAMES)]
        groups = itertools.count(2)
        chance = random.Random(1)

        def commit(size: int) -> None:
            group = next(groups)
            with env.begin(write=True) as txn:
                txn.get(META_KEY)
                txn.put(META_KEY, pack_meta(Meta(0, epoch=1, group=group, next_number=NAMES)))
                for key in chance.choices(keys, k=size):
                    txn.put(key, b"%d" % (group * 5))

        yield commit
        env.close()


@contextmanager
def _our_store() -> Iterator[Commit]:
    """The same through the store of a worker."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        ensure_data_directory(data, 1)
        store = LmdbStore.open(data, [0], _LIMITS)
        ((_, reached),) = store.reached().values()
        groups = itertools.count(reached + 1)
        instances = [store.locate(1, b"a%d" % number) for number in range(NAMES)]
        chance = random.Random(1)

        def commit(size: int) -> None:
            group = next(groups)
            value = b"%d" % (group * 5)
            changes = [Changes({_KEY: value}, size_bytes=len(_KEY) + len(value)) for _ in range(size)]
            store.commit(group, [Batch(*each) for each in zip(chance.choices(instances, k=size), changes, strict=True)])

        yield commit
        store.close()
