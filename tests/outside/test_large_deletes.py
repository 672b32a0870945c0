"""An instance that deletes a great many keys costs its neighbours nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast_host.core.limits import GIB, Limits
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from tests.harness.background import Clients
from tests.harness.host import HostProcess
from tests.harness.partitions import faults_of, rows_in, rows_of, sweep_all

KEYS, PER_COMMIT = 1_000_000, 20_000
ALL_AT_ONCE = f"delete_rows_max={1 << 40}"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large_data(probe_data: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which one instance of Probe has a million keys, and an alarm in a long time."""
    data = tmp_path_factory.mktemp("large") / "data"
    shutil.copytree(probe_data(1), data)
    with HostProcess(data, "--workers", "1") as host, host.caller() as caller:
        caller.value("Probe", "large", "arm", 1, 3600.0)
    store = LmdbStore.open(data, [0], Limits(map_bytes=GIB))
    large = next(each for type_id in range(100) if (each := store.locate(type_id, b"large")).exists)
    group = store.reached()[0][1]
    for first in range(0, KEYS, PER_COMMIT):
        group += 1
        writes: dict[bytes, bytes | None] = {b"key/%08d" % n: b'"0123456789"' for n in range(first, first + PER_COMMIT)}
        assert not store.commit(group, [Batch(large, Changes(writes, size_bytes=24 * PER_COMMIT))]).lost
    store.close()
    return data


class Neighbours(Clients):
    """Clients that write to instances of their own, one call after the other."""

    def __init__(self, host: HostProcess, clients: int = 3) -> None:
        super().__init__(clients)
        self._host = host
        self.calls: list[tuple[float, float]] = []  # began at, took s

    @property
    def answered(self) -> int:
        return len(self.calls)

    def slowest_s(self, since: float) -> float:
        return max(took_s for began_at, took_s in self.calls if began_at >= since)

    def be_client(self, number: int) -> None:
        with self._host.caller() as caller:
            while not self.stopping.is_set():
                began_at = time.monotonic()
                caller.value("Probe", f"neighbour-{number}", "increment")
                self.calls.append((began_at, time.monotonic() - began_at))


@contextmanager
def host_with(data: Path, folder: Path, *options: str) -> Iterator[HostProcess]:
    """A host on a copy of the data."""
    shutil.copytree(data, folder / "data")
    with HostProcess(folder / "data", "--workers", "1", *options) as host:
        yield host


@pytest.mark.alone
def test_while_a_million_keys_are_deleted_the_neighbours_slowest_write_is_as_before(
    large_data: Path, tmp_path: Path
) -> None:
    slowest_s = {}
    for way, options in {"at once": ["--limit", ALL_AT_ONCE], "swept": []}.items():
        with host_with(large_data, tmp_path / way, *options) as host, Neighbours(host) as neighbours:
            neighbours.wait_for(100)
            with host.caller() as caller:
                began_at = time.monotonic()
                caller.value("Probe", "large", "delete_all")
            neighbours.wait_for(1_000)
            slowest_s[way] = neighbours.slowest_s(began_at - 0.02)
    print("slowest write of a neighbour:", {way: f"{slowest * 1000:.0f} ms" for way, slowest in slowest_s.items()})

    assert slowest_s["swept"] < slowest_s["at once"] / 3


@pytest.mark.parametrize("how", ["delete_all", "delete_all but for the alarm", "DELETE"])
def test_what_a_killed_host_had_not_swept_is_swept_by_the_next_one_and_a_kept_alarm_stays(
    large_data: Path, tmp_path: Path, how: str
) -> None:
    keeps = how == "delete_all but for the alarm"
    with host_with(large_data, tmp_path, "--limit", "delete_rows_max=100") as host:
        with host.caller() as caller:
            if how == "DELETE":
                answer = caller.request("DELETE", "/v1/instances/Probe/large")
                assert answer.value == {"deleted": True}
            else:
                caller.value("Probe", "large", "delete_all", keeps)
            assert caller.value("Probe", "large", "everything") == {}
            described = caller.request("GET", "/v1/instances/Probe/large?count=true").value
            assert (described["keys"], described["bytes"]) == (0, 0)
            assert (described["alarm"] is not None) == keeps
        host.kill_all()
        assert rows_in(host.data) > KEYS // 2, "killed too late to tell"

        host.options = ("--workers", "1")
        host.start()
        deadline = time.monotonic() + 60
        while rows_in(host.data) > 3:
            assert time.monotonic() < deadline, "it does not go on"
            time.sleep(0.2)

    store = LmdbStore.open(host.data, [0], Limits(map_bytes=GIB))
    assert faults_of(store) == []
    assert sweep_all(store) == 0
    assert rows_of(store) == (3 if keeps else 0)
    store.close()
