"""What the tests run in a process of its own, so that it can be killed, fenced or deprived of its disk.

`python -m tests.unit.storage.children ROLE DATA`: says what it did on stdout, line by line, as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, StoreBrokenError
from tests.unit.storage.conftest import LIMITS, batch, open_lmdb

NAMES = [b"n%d" % n for n in range(5)]


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def commit_for_ever(data: Path) -> None:
    """Groups that each write their number under every name; a line after each."""
    store = open_lmdb(data)
    instances = [store.locate(1, name) for name in NAMES]
    group = store.reached()[0][1]
    while True:
        group += 1
        value = str(group).encode()
        store.commit(group, [batch(each, {b"last": value, b"g%d" % (group % 50): value * 100}) for each in instances])
        say(group=group)


def commit_when_told(data: Path) -> None:
    """A commit for each line of stdin."""
    store = open_lmdb(data)
    alice = store.locate(1, b"alice")
    say(epoch=store.reached()[0][0])
    for line in sys.stdin:
        commit(store, int(line), batch(alice, {b"k": line.strip().encode()}))


def commit(store: LmdbStore, group: int, change: Batch) -> None:
    try:
        report = store.commit(group, [change])
    except StoreBrokenError as error:
        say(broken=str(error), reached=store.reached()[0][1])
    else:
        say(lost=len(report.lost), reached=store.reached()[0][1])


def lose_the_data_sync(data: Path) -> None:
    """The pages can be written, but syncing them fails."""
    break_descriptor(data, meta=False, to=os.open(os.devnull, os.O_RDWR))


def lose_the_meta_page(data: Path) -> None:
    """Pages and sync succeed, writing the page that makes them count fails."""
    break_descriptor(data, meta=True, to=os.open(os.devnull, os.O_RDONLY))


def break_descriptor(data: Path, *, meta: bool, to: int) -> None:
    store = open_lmdb(data)
    alice = store.locate(1, b"alice")
    commit(store, 2, batch(alice, {b"k": b"durable"}))
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if os.path.realpath(f"/proc/self/fd/{fd}").endswith("data.mdb"):
            synchronous = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DSYNC)
            if synchronous == meta:
                os.dup2(to, fd)
    for group in (3, 4):
        commit(store, group, batch(alice, {b"k": b"lost", b"group": b"%d" % group}))


def fill_the_disk(data: Path) -> None:
    """Six names grow until a whole group is lost; then one deletes a key."""
    limits = LIMITS.replace(disk_reserve_bytes=0)
    store = open_lmdb(data, limits)
    instances = [store.locate(1, b"n%d" % n) for n in range(6)]
    sizes = (300, 9000, 50, 50, 50, 50_000)
    kept: dict[int, set[bytes]] = {each.number: set() for each in instances}
    group, lost = 1, 0
    while lost < len(instances):
        group += 1
        key = b"k%d" % group
        batches = [batch(each, {key: bytes(size)}) for each, size in zip(instances, sizes, strict=True)]
        report = store.commit(group, batches)
        lost = len(report.lost)
        for each in instances:
            if id(each) not in report.lost:
                kept[each.number].add(key)
    whole = all(
        {key for key, _ in store.scan(each, start=b"", end=None, reverse=False, entries_max=9999, bytes_max=1 << 30)[0]}
        == kept[each.number]
        for each in instances
    )
    error = next(iter(report.lost.values()))
    deleted = store.commit(group + 1, [batch(instances[5], {b"k2": None})])
    say(whole=whole, name=error.name, message=error.message, delete_lost=len(deleted.lost))


def probe_lock(data: Path) -> None:
    """Whether anybody holds the lock that LMDB's users hold."""
    with (data / "parts" / "00" / "lock.mdb").open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except OSError:
            say(held=True)
        else:
            say(held=False)


ROLES: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (
        commit_for_ever,
        commit_when_told,
        lose_the_data_sync,
        lose_the_meta_page,
        fill_the_disk,
        probe_lock,
    )
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](Path(sys.argv[2]))
