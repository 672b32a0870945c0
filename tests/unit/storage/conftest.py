"""A store of one partition on a small map, and what a test of one instance needs around it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, Changes, StoredInstance

# The time of a page is for one test to set: a busy machine must not cut the others short.
LIMITS = Limits(map_bytes=256 * MIB, disk_reserve_bytes=MIB, page_read_s=60.0)


def open_lmdb(data: Path, limits: Limits = LIMITS) -> LmdbStore:
    """Make or open a directory of one partition."""
    ensure_data_directory(data, 1)
    return LmdbStore.open(data, [0], limits)


def batch(instance: StoredInstance, writes: dict[bytes, bytes | None], *, cleared: bool = False) -> Batch:
    """The changes of one turn."""
    size = sum(len(key) + len(value or b"") for key, value in writes.items())
    return Batch(instance, Changes(dict(writes), cleared=cleared, size_bytes=size))


@pytest.fixture
def lmdb_store(tmp_path: Path) -> Iterator[LmdbStore]:
    """Open in `tmp_path`; closed after the test."""
    store = open_lmdb(tmp_path)
    yield store
    store.close()


Role = Callable[[Path], None]


def start_child(role: Role, data: Path, *, wrapper: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A process that runs one function of `children`; its lines come from stdout."""
    command = [*wrapper, sys.executable, "-m", "tests.unit.storage.children", role.__name__, str(data)]
    return subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def run_child(role: Role, data: Path, *, wrapper: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Everything it says until it ends."""
    child = start_child(role, data, wrapper=wrapper)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return [json.loads(line) for line in output.splitlines()]
