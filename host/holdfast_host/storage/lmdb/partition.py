"""One partition: the life of its LMDB environment, and its reads.

The only module that opens an environment. Nothing here or anywhere else opens `data.mdb` or `lock.mdb` by path: POSIX
drops a process's locks on a file when *any* of its descriptors is closed, a second writer would get in, and
acknowledged commits would be lost. (The binding itself refuses to open an environment twice in one process.)

Writing is in lmdb.commits.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from holdfast_host.core.clock import Clock
from holdfast_host.core.durable_files import sync_directory
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.archive.spool import Spool
from holdfast_host.storage.lmdb import garbage, receipts, sockets
from holdfast_host.storage.lmdb.free_space import Room
from holdfast_host.storage.lmdb.imports import Imports
from holdfast_host.storage.lmdb.keys import (
    DUE_FIRST,
    META_KEY,
    PREFIX_BYTES,
    Meta,
    NameRow,
    alarm_key,
    data_prefix,
    due_key,
    index_prefix,
    name_key,
    number_of_index_key,
    pack_meta,
    receipt_prefix,
    rest_prefix,
    unpack_alarm,
    unpack_due_key,
    unpack_index_row,
    unpack_meta,
    unpack_name_row,
    unpack_receipt,
)
from holdfast_host.storage.store import Alarm, Receipt, SocketRow, StoreBrokenError, StoredInstance
from holdfast_host.wire.pages.state_page import FIRST_GROUP

_READERS_MAX = 1024  # threads that may read at once: far above the detached turns of a worker
_FILE = "data.mdb"
_ENGINE = 0  # LMDB 0.9, whose file format is a part of ours; the binding brings 1.0 too


class Expired(NamedTuple):
    """What a commit has swept of an instance's receipts, and whether the instance still exists."""

    owner: receipts.Owner
    apart_bytes: int
    exists: bool


class Partition:
    """An open environment, from `open` to `close`. Any thread may read; see lmdb.commits for who writes.

    A read that fails means that the environment is unusable: StoreBrokenError.
    """

    def __init__(
        self,
        number: int,
        env: Any,
        meta: Meta,
        path: Path,
        limits: Limits,
        *,
        has_garbage: bool,
        expiry: receipts.Expiry,
    ) -> None:
        self.number = number
        self.env = env
        self.meta = meta
        self.next_number = meta.next_number  # the next to be given; ahead of the stored one by those not committed yet
        self.room = Room(path, limits, env.stat)
        self.garbage = garbage.Garbage(limits, there=has_garbage)
        self.imports = Imports(self.garbage)
        self.expiry = expiry
        self.expired: list[Expired] = []  # what commits have swept, to be taken from those in memory
        self.spool: Spool | None = None  # what commits are written down in too, where there is an archive
        self._numbering = threading.Lock()
        self._page_read_s = limits.page_read_s

    @classmethod
    def open(cls, path: Path, number: int, limits: Limits, clock: Clock, *, make: bool = True) -> Partition:
        """Open for the only process that will write, and make the epoch its own with one synced commit.

        The commit fences a predecessor, whose next one finds another epoch; and it makes durable what a predecessor
        that was killed between writing and syncing has left visible.

        Where its directory is missing, it is made, unless `make` says that it must be there.

        Raises:
            ConfigurationError: missing, not readable, of another format, another partition, no space, or open in this
                process.
        """
        try:
            if not path.exists():
                if not make:
                    raise ConfigurationError(f"partition {path} is gone, and what it held: restore it from a backup")
                _make(path, number, limits)
            env = _open_environment(path, limits, create=False)
        except (lmdb.Error, OSError) as error:
            raise ConfigurationError(f"partition {path} cannot be opened: {error}") from error
        try:
            env.reader_check()
            with env.begin(write=True) as txn:
                meta = _claim(txn, path, number)
                has_garbage = garbage.is_there(txn)
                expiry = receipts.Expiry(clock, receipts.first_expiry(txn))
            return cls(number, env, meta, path, limits, has_garbage=has_garbage, expiry=expiry)
        except lmdb.Error as error:
            env.close()
            raise ConfigurationError(f"partition {path} cannot be opened: {error}") from error
        except BaseException:
            env.close()
            raise

    def close(self) -> None:
        """Close the environment; waits for nothing, so nothing may be running."""
        self.env.close()
        if self.spool is not None:
            self.spool.close()

    def open_spool(self, folder: Path, bytes_max: int) -> None:
        """Write down what is committed from now on.

        Raises:
            ConfigurationError: that cannot be done here.
        """
        try:
            self.spool = Spool.open(folder, self.number, self.meta.epoch, self.meta.group, bytes_max)
        except OSError as error:
            raise ConfigurationError(f"the archive's spool {folder} cannot be written: {error.strerror}") from error

    def take_number(self) -> int:
        """A number that was never used; any thread."""
        with self._numbering:
            number = self.next_number
            self.next_number += 1
            return number

    def begin_import(self, instance: StoredInstance, import_id: str) -> None:
        """Have rows lie beside the instance under a number of their own; nothing where the import has begun."""
        if not self.imports.is_begun(import_id):
            self.imports.begin(instance, import_id, self.take_number())

    def find(self, type_id: int, name: bytes) -> NameRow | None:
        """What is stored of an instance that exists."""
        row = self._get(name_key(type_id, name))
        return None if row is None else unpack_name_row(row)

    def get(self, data_number: int, key: bytes) -> bytes | None:
        """One value of an instance."""
        return self._get(data_prefix(data_number) + key)

    def alarm(self, number: int) -> Alarm | None:
        """The alarm of an instance."""
        row = self._get(alarm_key(number))
        return None if row is None else unpack_alarm(row)

    def receipt(self, number: int, key_hash: bytes) -> Receipt | None:
        """One receipt of an instance."""
        row = self._get(receipt_prefix(number) + key_hash)
        return None if row is None else unpack_receipt(row)

    def socket(self, number: int, socket: int) -> SocketRow | None:
        """One socket of an instance."""
        row = self._get(sockets.socket_key(number, socket))
        return None if row is None else sockets.unpack_socket(row)

    def scan(
        self, data_number: int, start: bytes, end: bytes | None, *, reverse: bool, entries_max: int, bytes_max: int
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """A page of an instance's pairs, and whether it is all there is; see Store.scan."""
        prefix = data_prefix(data_number)
        first = prefix + start
        stop = data_prefix(data_number + 1) if end is None else prefix + end
        pairs: list[tuple[bytes, bytes]] = []
        page_bytes = 0
        try:
            # buffers=False: keys and values are copies, which outlive the transaction and its mapped pages
            with self.env.begin() as txn, txn.cursor() as cursor:
                over_at = time.perf_counter() + self._page_read_s
                if reverse:
                    there = cursor.prev() if cursor.set_range(stop) else cursor.last()
                else:
                    there = cursor.set_range(first)
                if not there:
                    return pairs, True
                for key, value in cursor.iterprev() if reverse else cursor.iternext():
                    if key < first or key >= stop:
                        break
                    if pairs and (
                        len(pairs) >= entries_max or page_bytes >= bytes_max or time.perf_counter() >= over_at
                    ):
                        return pairs, False
                    pairs.append((key[PREFIX_BYTES:], value))
                    page_bytes += len(key) - PREFIX_BYTES + len(value)
                return pairs, True
        except lmdb.Error as error:
            raise self._broken(error) from error

    def due(self, before_us: int, entries_max: int) -> list[tuple[int, int, bytes]]:
        """Due time, type and name of the earliest alarms due before a time."""
        stop = due_key(before_us, 0)
        rows: list[tuple[int, int, bytes]] = []
        try:
            with self.env.begin() as txn, txn.cursor() as cursor:
                if cursor.set_range(DUE_FIRST):
                    for key, value in cursor:
                        if key >= stop or len(rows) >= entries_max:
                            break
                        rows.append((unpack_due_key(key)[0], *unpack_index_row(value)))
        except lmdb.Error as error:
            raise self._broken(error) from error
        return rows

    def parked(self, type_id: int, entries_max: int, but: Container[bytes]) -> list[bytes]:
        """Names of some instances of a type whose alarms are parked, without these."""
        prefix = rest_prefix("parked", type_id)
        names: list[bytes] = []
        try:
            with self.env.begin() as txn, txn.cursor() as cursor:
                if cursor.set_range(prefix):
                    for key, value in cursor:
                        if not key.startswith(prefix) or len(names) >= entries_max:
                            break
                        name = unpack_index_row(value)[1]
                        if name not in but:
                            names.append(name)
        except lmdb.Error as error:
            raise self._broken(error) from error
        return names

    def alarm_page(
        self, state: str, after: bytes, entries_max: int
    ) -> tuple[list[tuple[int, bytes, Alarm]], bytes | None]:
        """Alarms in a state after a key, and the key to go on from; see Store.alarm_page."""
        prefix = index_prefix(state)
        found: list[tuple[int, bytes, Alarm]] = []
        try:
            with self.env.begin() as txn, txn.cursor() as cursor:
                over_at = time.perf_counter() + self._page_read_s
                if cursor.set_range(after + b"\0" if after else prefix):
                    for key, value in cursor:
                        if not key.startswith(prefix):
                            break
                        alarm = unpack_alarm(txn.get(alarm_key(number_of_index_key(key))))
                        if alarm.state == state:
                            found.append((*unpack_index_row(value), alarm))
                        if len(found) >= entries_max or time.perf_counter() >= over_at:
                            return found, key
        except lmdb.Error as error:
            raise self._broken(error) from error
        return found, None

    def _get(self, key: bytes) -> bytes | None:
        try:
            txn = self.env.begin()
            try:
                value: bytes | None = txn.get(key)
                return value
            finally:
                txn.abort()
        except lmdb.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: lmdb.Error) -> StoreBrokenError:
        return StoreBrokenError(f"partition {self.number} cannot be read: {error}")


def _make(path: Path, number: int, limits: Limits) -> None:
    """Make an empty partition under another name and put it in place whole. Durable on return."""
    fresh = path.with_name(path.name + ".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh.mkdir(mode=0o700)
    env = _open_environment(fresh, limits, create=True)
    try:
        with env.begin(write=True) as txn:
            txn.put(META_KEY, pack_meta(Meta(number, epoch=0, group=FIRST_GROUP - 1, next_number=1)))
    finally:
        env.close()
    sync_directory(fresh)
    fresh.rename(path)
    sync_directory(path.parent)
    sync_directory(path.parent.parent)


def _claim(txn: Any, path: Path, number: int) -> Meta:
    """Check that this is the partition we know, and write the next epoch into it."""
    row = txn.get(META_KEY)
    if row is None:
        raise ConfigurationError(f"partition {path} was never made complete: its meta row is missing")
    meta = unpack_meta(row, f"partition {path}")
    if meta.partition != number:
        raise ConfigurationError(f"{path} holds partition {meta.partition}, not {number}: was it moved?")
    claimed = meta._replace(epoch=meta.epoch + 1)
    txn.put(META_KEY, pack_meta(claimed))
    return claimed


def open_to_verify(path: Path) -> Any:
    """An environment into which nobody writes, to read all of it; for a process of its own, see lmdb.verification.

    Raises:
        ConfigurationError: it is missing, cannot be opened, or its file was cut short, which would end who reads it.
    """
    try:
        env = lmdb.open(os.fspath(path), readonly=True, lock=False, create=False, lib_version=_ENGINE)
        expected_bytes = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        found_bytes = (path / _FILE).stat().st_size
    except (lmdb.Error, OSError) as error:
        raise ConfigurationError(f"partition {path} cannot be opened: {error}") from error
    if found_bytes < expected_bytes:
        raise ConfigurationError(f"partition {path} was cut short: {found_bytes} bytes of {expected_bytes} are there")
    return env


def _open_environment(path: Path, limits: Limits, *, create: bool) -> Any:
    if not create and not (path / _FILE).exists():  # a stat, it opens nothing
        raise ConfigurationError(f"partition {path} has lost its data.mdb: restore it from a backup")
    return lmdb.open(
        os.fspath(path),
        map_size=limits.map_bytes,
        create=create,
        mode=0o600,
        max_readers=_READERS_MAX,
        max_spare_txns=1,
        lib_version=_ENGINE,
    )
