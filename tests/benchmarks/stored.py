"""Data directories with many instances, written while the host is stopped: over HTTP it would take minutes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast_host.core.limits import Limits
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes
from tests.benchmarks.servers import PEERS, Server
from tests.harness.components import built
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

_LIMITS = Limits()
_GROUP_ROWS = 2_000
_TYPES_MAX = 100


class Stored:
    """Copies of one data directory in which the measured actor is deployed."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the caller's to remove."""
        self._folder = folder
        self._first = folder / "first" / "data"
        with HostProcess(self._first, "--workers", "1") as host, host.caller() as caller:
            deploy(host, built(PEERS / "account"))
            caller.value("Account", "a1", "deposit", 0)
        store = LmdbStore.open(self._first, [0], _LIMITS)
        self.type_id = next(each for each in range(_TYPES_MAX) if store.locate(each, b"a1").exists)
        store.close()

    @contextmanager
    def host(self, name: str, *, instances: int, keys: int) -> Iterator[Server]:
        """A host with the instances `a1` to `aN`, each with a balance and so many keys in all."""
        data = self.copy(name)
        self._write(data, instances, keys)
        with HostProcess(data, "--workers", "1") as host:
            yield Server(name, host.url, host.pids()["supervisor"][0], host)

    def copy(self, name: str) -> Path:
        """A data directory of its own; of its instances there is `a1`, whose balance is 0."""
        data = self._folder / name / "data"
        shutil.copytree(self._first, data)
        return data

    def _write(self, data: Path, instances: int, keys: int) -> None:
        writes: dict[bytes, bytes | None] = {b"key/%06d" % number: b'"x"' for number in range(keys - 1)}
        writes[b"balance"] = b"5"
        size_bytes = sum(len(key) + len(value or b"") for key, value in writes.items())
        store = LmdbStore.open(data, [0], _LIMITS)
        ((_, group),) = store.reached().values()
        per_group = max(1, _GROUP_ROWS // keys)
        for first in range(1, instances + 1, per_group):
            group += 1
            names = range(first, min(first + per_group, instances + 1))
            changes = Changes(writes, size_bytes=size_bytes)
            report = store.commit(group, [Batch(store.locate(self.type_id, b"a%d" % each), changes) for each in names])
            assert not report.lost
        store.close()
