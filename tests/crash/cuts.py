"""Power cuts at many instants of a recorded run: each disk that may be left is opened and checked against the model."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.data_directory import read_data_directory
from holdfast_host.storage.lmdb_store import LmdbStore
from holdfast_host.supervisor.registry import Registry
from tests.crash.model import State, Workload
from tests.crash.power import Disk, Record, read_records
from tests.faults.shim import Recording
from tests.harness.host import HostProcess

GROWN_S = 0.01  # clocks of client and writer are read at different instants


@dataclass(frozen=True, slots=True)
class Cuts:
    """What a series of cuts found wrong."""

    cuts: int
    records: int
    acknowledged: int
    faults: list[str]


def record_run(data: Path, folder: Path, calls: int, seed: int) -> tuple[Workload, list[Record], Path]:
    """Run a workload on a recorded host; the disk's content before it is copied first."""
    base = folder / "base"
    shutil.copytree(data, base)
    recording = Recording(folder / "records", data)
    with HostProcess(data, "--workers", "1", environment=recording.environment) as host:
        with Workload(host.url, seed, clients=4, names_each=2) as workload:
            workload.wait_for(calls)
        faults = workload.look_at_all()
    assert not faults, faults
    return workload, read_records(recording.folder), base


def cut_often(data: Path, folder: Path, *, calls: int, cuts: int, seed: int) -> Cuts:
    """Cut the power at random instants of a run."""
    workload, records, base = record_run(data, folder, calls, seed)
    chance = random.Random(seed)
    instants = sorted(chance.sample(range(len(records)), min(cuts, len(records))))
    disk, done, faults = Disk(base, data), 0, []
    for instant in instants:
        for record in records[done:instant]:
            disk.do(record)
        done = instant
        during = records[instant]
        left = folder / "left"
        disk.write(disk.cut(during, chance), left)
        before_s = records[instant - 1].time_s if instant else 0.0
        faults += [f"cut at {instant} ({during.kind} {Path(during.path).name}): {each}" for each in _look(
            left, workload, before_s, during.time_s
        )]  # fmt: skip
    return Cuts(len(instants), len(records), workload.acknowledged, faults)


def _look(left: Path, workload: Workload, before_s: float, after_s: float) -> list[str]:
    """Open what was left as a host would, and compare every name with what its client knew at that time."""
    try:
        directory = read_data_directory(left)
        assert directory is not None
        registry = Registry.open(left / "registry" / "registry.sqlite3", left / "compiled")
        type_id = registry.type_named("Probe")
        registry.close()
        assert type_id is not None
        store = LmdbStore.open(left, range(directory.partitions), Limits(map_bytes=1 << 30))
    except (ConfigurationError, AssertionError) as error:
        return [f"does not open: {error!r}"]
    since_s, until_s = before_s - GROWN_S, after_s + GROWN_S
    faults = []
    try:
        for name in (name for names in workload.names for name in names):
            found = _state(store, type_id.type_id, name.name)
            possible = name.possible_between(since_s, until_s)
            if found not in possible:
                faults.append(f"{name.name}: {_short(found)} is none of {[_short(each) for each in possible]}")
        return faults
    finally:
        store.close()


def _state(store: LmdbStore, type_id: int, name: str) -> State:
    instance = store.locate(type_id, name.encode())
    pairs, complete = store.scan(instance, start=b"", end=None, reverse=False, entries_max=1_000, bytes_max=1 << 26)
    assert complete
    return {key.decode(): _value(value) for key, value in pairs}


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return f"torn: {text[:40]!r}"


def _short(value: Any) -> str:
    return str(value)[:200]
