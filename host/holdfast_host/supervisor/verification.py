"""What is wrong with a data directory in which no host runs: registry, components, secrets, and every partition.

Each partition is looked at by a process of its own, for a damaged file can end the one that reads it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.data_directory import partition_path, read_data_directory
from holdfast_host.supervisor.audit.audit_log import AuditLog
from holdfast_host.supervisor.central_store import is_bound
from holdfast_host.supervisor.crashes.quarantine import Quarantine
from holdfast_host.supervisor.directory.component_files import (
    ComponentFiles,
    DamagedComponentError,
    component_of,
    digest_of,
)
from holdfast_host.supervisor.directory.layout import DirectoryLayout
from holdfast_host.supervisor.directory.lock import DirectoryLock
from holdfast_host.supervisor.processes.front_numbers import FrontNumbers
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.secrets.secret_store import SecretStore
from holdfast_host.supervisor.tokens.token_store import TokenStore


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at: how many there are of what, and what is wrong with them.

    Attributes:
        what: `registry`, `components`, `secrets`, `tokens`, or `partition 03`.
        counts: how many, by what they are called.
        faults: sentences; the first hundred.
        faults_count: how many there are in all.
    """

    what: str
    counts: dict[str, int]
    faults: list[str] = field(default_factory=list)
    faults_count: int = 0

    @classmethod
    def of(cls, what: str, counts: dict[str, int], faults: list[str]) -> Finding:
        """With as many faults as sentences."""
        return cls(what, counts, faults, len(faults))


def verify_directory(root: Path) -> Iterator[Finding]:
    """Look at everything, one finding at a time. Nothing is written but what a host's start writes.

    Of a host on PostgreSQL all that matters is in the store, which `holdfast store check` looks at.

    Raises:
        ConfigurationError: it is no data directory, of another format, or a host runs in it.
    """
    if not root.is_dir() or (marker := read_data_directory(root)) is None:
        raise ConfigurationError(f"{root} is no data directory: it has no format.json")
    with DirectoryLock.acquire(root, wait_s=0.0) as lock:
        lock.keep_predecessor()
        directory = DirectoryLayout(root, marker.partitions)
        if is_bound(directory):
            yield _cached_components(directory)
            return
        types: dict[int, str] = {}
        next_type_id = 1 << 32
        if not directory.registry.exists():
            gone = f"{directory.registry} is gone: restore it from a backup"
            yield Finding.of("registry", {}, [gone, *_beside(directory)])
        else:
            try:
                registry = Registry.open(directory.registry, directory.compiled)
            except ConfigurationError as error:
                yield Finding.of("registry", {}, [error.message, *_beside(directory)])
            else:
                next_type_id = registry.next_type_id()
                types = registry.type_keys()
                yield _registry(registry, directory)
                yield _components(registry, directory)
                registry.close()
        yield _secrets(directory)
        yield _tokens(directory)
        for partition in range(directory.partitions):
            yield _partition(root, partition, directory.partitions, next_type_id, types)


def _beside(directory: DirectoryLayout) -> list[str]:
    """What is wrong with the files beside the database, which a start needs as well."""
    faults = []
    for name, read in (("quarantine.json", Quarantine.open), ("fronts.json", FrontNumbers.open)):
        try:
            read(directory.registry.with_name(name))
        except ConfigurationError as error:
            faults.append(error.message)
    try:
        AuditLog.open(directory.audit, Limits().audit_bytes_max)
    except ConfigurationError as error:
        faults.append(error.message)
    return faults


def _registry(registry: Registry, directory: DirectoryLayout) -> Finding:
    functions = registry.deployed()
    faults = registry.damage() + _beside(directory)
    for each in functions:
        if each.current is not None and registry.version(each.func_id, each.current) is None:
            faults.append(f"version {each.current} of {each.name!r} is deployed and not recorded")
    return Finding.of("registry", {"functions": len(functions)}, faults)


def _components(registry: Registry, directory: DirectoryLayout) -> Finding:
    wanted = {each.sha256: each for each in registry.kept()}
    faults = []
    files = ComponentFiles(directory.components)
    for sha256, deployment in wanted.items():
        whose = f"version {deployment.version} of {deployment.function!r}"
        path = files.find(sha256)
        try:
            found = None if path is None else digest_of(path)
        except DamagedComponentError:
            found = ""
        except OSError as error:
            faults.append(f"the component of {whose} cannot be read: {error.strerror}; deploy it again")
            continue
        if found is None:
            faults.append(f"the component of {whose} cannot be read: {os.strerror(errno.ENOENT)}; deploy it again")
        elif found != sha256:
            faults.append(f"the component of {whose} is not what was deployed; deploy it again")
    return Finding.of("components", {"components": len(wanted)}, faults)


def _cached_components(directory: DirectoryLayout) -> Finding:
    """Of a host whose registry is in a store: its copies of components, which are under their hashes."""
    found = sorted(directory.components.iterdir())
    faults = [f"{path} is not what was deployed: remove it" for path in found if not _is_as_deployed(path)]
    return Finding.of("components", {"components": len(found)}, faults)


def _is_as_deployed(path: Path) -> bool:
    try:
        return digest_of(path) == component_of(path)
    except DamagedComponentError:
        return False


def _secrets(directory: DirectoryLayout) -> Finding:
    try:
        return Finding.of("secrets", {"secrets": len(SecretStore.open(directory.secrets).all())}, [])
    except ConfigurationError as error:
        return Finding.of("secrets", {}, [error.message])


def _tokens(directory: DirectoryLayout) -> Finding:
    try:
        return Finding.of("tokens", {"tokens": len(TokenStore.open(directory.tokens).all())}, [])
    except ConfigurationError as error:
        return Finding.of("tokens", {}, [error.message])


def _partition(root: Path, partition: int, partitions: int, next_type_id: int, types: dict[int, str]) -> Finding:
    what = f"partition {partition:02d}"
    if not partition_path(root, partition).exists():
        new = next_type_id == 1  # nothing was ever deployed: its worker makes it
        return Finding.of(what, {}, [] if new else ["it is gone, and what it held: restore it from a backup"])
    module = "holdfast_host.storage.lmdb.verification"
    command = [sys.executable, "-P", "-m", module, str(root), str(partition), str(partitions), str(next_type_id)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = signal.Signals(-done.returncode).name if done.returncode < 0 else (done.stderr.splitlines() or [""])[-1]
        return Finding.of(what, {}, [f"it cannot be read to its end ({why}): restore it from a backup"])
    report: dict[str, Any] = json.loads(done.stdout)
    faults = [_with_type_names(fault, types) for fault in report.pop("faults")]
    report.pop("partition")
    faults_count = report.pop("faults_count")
    return Finding(what, {name.replace("_", " "): count for name, count in report.items()}, faults, faults_count)


def _with_type_names(fault: str, types: dict[int, str]) -> str:
    return re.sub(r"\btype (\d+)/", lambda found: f"{types.get(int(found[1]), found[0][:-1])}/", fault, count=1)
