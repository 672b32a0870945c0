"""Listing a great many instances takes memory for a page, in the front and in each worker."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from holdfast_host.supervisor.registry.registry import Registry
from tests.harness import processes
from tests.harness.host import HostProcess

INSTANCES, PER_COMMIT, PAGE = 200_000, 10_000, 1_000
GROWTH_BYTES_MAX = 16 * MIB  # half of what the names alone take as Python text

pytestmark = pytest.mark.slow


def name_of(number: int) -> str:
    return f"customer-{number:09d}-{'x' * 100}"


def fill(data: Path) -> None:
    """Instances of the type Probe, in all partitions, each with one key."""
    registry = Registry.open(data / "registry" / "registry.sqlite3", data / "compiled")
    probe = registry.type_named("default", "Probe")
    registry.close()
    assert probe is not None
    store = LmdbStore.open(data, [0, 1], Limits())
    group = max(group for _, group in store.reached().values())
    for start in range(0, INSTANCES, PER_COMMIT):
        group += 1
        batches = [
            Batch(store.locate(probe.type_id, name_of(number).encode()), Changes(writes={b"n": b"1"}, size_bytes=2))
            for number in range(start, start + PER_COMMIT)
        ]
        assert not store.commit(group, batches).lost
    store.close()


def test_a_listing_of_200_000_instances_is_whole_in_order_and_takes_the_memory_of_a_page(
    probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(probe_data(2), data)
    fill(data)
    with HostProcess(data, "--workers", "2") as host, host.caller() as caller:

        def page(cursor: str | None) -> tuple[list[str], str | None]:
            after = "" if cursor is None else f"&cursor={cursor}"
            answer = caller.request("GET", f"/v1/instances/Probe?limit={PAGE}{after}")
            assert answer.status == 200, answer
            return [each["name"] for each in answer.value["instances"]], answer.value["cursor"]

        page(page(None)[1])  # what the first requests leave is no growth
        watched = [pid for role in ("front", "worker") for pid in host.pids()[role]]
        before = [processes.anonymous_bytes(pid) for pid in watched]
        seen, cursor = 0, None
        most = before
        while True:
            names, cursor = page(cursor)

            assert names == [name_of(number) for number in range(seen, seen + len(names))]
            seen += len(names)
            most = [max(each, processes.anonymous_bytes(pid)) for each, pid in zip(most, watched, strict=True)]
            if cursor is None:
                break
        growth = [after - each for after, each in zip(most, before, strict=True)]
        print("grew by", *(f"{each / MIB:.1f} MiB" for each in growth))

        assert seen == INSTANCES
        assert max(growth) < GROWTH_BYTES_MAX, growth
