"""A worker's store as its start says: files of the data directory, or PostgreSQL."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.lmdb.snapshots import Snapshot
    from holdfast_host.storage.postgres.postgres_store import PostgresStore
    from holdfast_host.wire.control.starts import CentralStore, WorkerStart

_UNREACHED_S: Final = 50.0  # below the time that a start may take
_AGAIN_S: Final = 0.25


def open_store(start: WorkerStart, limits: Limits) -> LmdbStore | PostgresStore:
    """Open the worker's part of the storage, and make it this process's own.

    Where PostgreSQL does not answer it is asked again: a worker that waits for it is starting, not dead.

    Raises:
        ConfigurationError: the storage is not to be used, or PostgreSQL did not answer for long.
        TakenOverError: the store is another host's now.
        OwnerLostError: nobody knows whose it is; a successor may ask again.
    """
    if start.store is not None:
        return _open_central(start.store, start.worker, limits)
    partitions = start.routing.partitions_of(start.worker)
    return LmdbStore.open(Path(start.data), partitions, limits, make=start.new_data, archived=start.archived)


def _open_central(store: CentralStore, worker: int, limits: Limits) -> PostgresStore:
    from holdfast_host.storage.postgres.postgres_store import PostgresStore
    from holdfast_host.storage.postgres.session import StoreAddress, StoreUnreachableError

    give_up_at = time.monotonic() + _UNREACHED_S
    while True:
        try:
            return PostgresStore.open(StoreAddress(store.dsn, store.durability), store.host, store.life, worker, limits)
        except StoreUnreachableError as error:
            if time.monotonic() > give_up_at:
                raise ConfigurationError(error.message) from error
        time.sleep(_AGAIN_S)


def take_snapshot(store: LmdbStore | PostgresStore) -> Snapshot:
    """What is committed now, for a backup; the caller has made sure that the storage is in files."""
    if not isinstance(store, LmdbStore):
        raise ConfigurationError("the storage is on PostgreSQL: back it up with its own tools, as pg_basebackup")
    return store.snapshot()


def begin_base(store: LmdbStore | PostgresStore) -> None:
    """What follows goes into new files of the archive's; of storage in files alone there is one."""
    if isinstance(store, LmdbStore):
        store.begin_base()
