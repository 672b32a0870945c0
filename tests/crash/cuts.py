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
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.supervisor.registry.registry import Registry
from tests.crash.model import ARMED, FEW_ROWS, ROWS_MAX, State, Workload
from tests.crash.power import Disk, Record, read_records
from tests.faults.shim import Recording
from tests.harness.host import HostProcess
from tests.harness.partitions import faults_of, sweep_all

_LEFT_ALONE = ("components", "compiled", "uploads")  # a workload changes nothing there; see setting_up
GROWN_S = 0.01  # clocks of client and writer are read at different instants


@dataclass(frozen=True, slots=True)
class Cuts:
    """What a series of cuts found wrong."""

    cuts: int
    records: int
    acknowledged: int
    littered: int  # disks that held what a large delete_all leaves
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded workload: what its clients know, what was written, and a copy of the disk before."""

    data: Path
    base: Path
    workload: Workload
    records: list[Record]


def record_run(data: Path, folder: Path, calls: int, seed: int) -> Run:
    """Run a workload on a recorded host."""
    base = folder / "base"
    shutil.copytree(data, base)
    recording = Recording(folder / "records", data)
    with HostProcess(data, "--workers", "1", *FEW_ROWS, environment=recording.environment) as host:
        with Workload(host.url, seed, clients=4, names_each=2) as workload:
            workload.wait_for(calls)
        faults = workload.look_at_all()
    assert not faults, faults
    return Run(data, base, workload, read_records(recording.folder))


def cut_often(data: Path, folder: Path, *, calls: int, cuts: int, seed: int) -> Cuts:
    """Run a workload and cut the power at random instants of it."""
    run = record_run(data, folder, calls, seed)
    faults, littered = cut_run(run, folder, cuts=cuts, seed=seed)
    return Cuts(min(cuts, len(run.records)), len(run.records), run.workload.acknowledged, littered, faults)


def cut_run(run: Run, folder: Path, *, cuts: int, seed: int) -> tuple[list[str], int]:
    """Cut the power at random instants of a run; what is wrong afterwards, and how many disks held garbage."""
    chance = random.Random(seed)
    instants = sorted(chance.sample(range(len(run.records)), min(cuts, len(run.records))))
    disk, done, faults, littered = Disk(run.base, run.data, _LEFT_ALONE), 0, [], 0
    for instant in instants:
        for record in run.records[done:instant]:
            disk.do(record)
        done = instant
        during = run.records[instant]
        left = folder / "left"
        disk.write(left, during, chance)
        before_s = run.records[instant - 1].time_s if instant else 0.0
        where = f"cut at {instant} ({during.kind} {Path(during.path).name})"
        found, has_garbage = _look(left, run.workload, before_s, during.time_s)
        faults += [f"{where}: {each}" for each in found]
        littered += has_garbage
    return faults, littered


def _look(left: Path, workload: Workload, before_s: float, after_s: float) -> tuple[list[str], bool]:
    """Open what was left as a host would, and compare every name with what its client knew at that time.

    Then the same again after all garbage was swept. The second: whether there was any.
    """
    try:
        directory = read_data_directory(left)
        assert directory is not None
        registry = Registry.open(left / "registry" / "registry.sqlite3", left / "compiled")
        type_id = registry.type_named("default", "Probe")
        registry.close()
        assert type_id is not None
        store = LmdbStore.open(left, range(directory.partitions), Limits(map_bytes=1 << 30, delete_rows_max=ROWS_MAX))
    except (ConfigurationError, AssertionError) as error:
        return [f"does not open: {error!r}"], False
    since_s, until_s = before_s - GROWN_S, after_s + GROWN_S
    try:
        faults = _faults_of(store, type_id.type_id, workload, since_s, until_s)
        if not sweep_all(store):
            return faults, False
        return faults + _faults_of(store, type_id.type_id, workload, since_s, until_s), True
    finally:
        store.close()


def _faults_of(store: LmdbStore, type_id: int, workload: Workload, since_s: float, until_s: float) -> list[str]:
    faults = faults_of(store)
    for name in (name for names in workload.names for name in names):
        found = _state(store, type_id, name.name)
        possible = name.possible_between(since_s, until_s)
        if found not in possible:
            faults.append(f"{name.name}: {_short(found)} is none of {[_short(each) for each in possible]}")
        if ARMED in found and store.alarm(store.locate(type_id, name.name.encode())) is None:
            faults.append(f"{name.name}: half a turn: it says that it is armed, and there is no alarm")
    return faults


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
