"""Moving a data directory into a store on PostgreSQL, whole: instances, functions, secrets, tokens, the audit log.

No host runs on the directory meanwhile, and none starts on the store. When all that was copied has been read back and
compared, the directory's marker says where it has moved to, on disk; then the store is free to be served. A move that
is killed before that leaves the directory as it was; one that is killed after it leaves the store filled. The same
command goes on in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import mark_moved, partition_path, read_data_directory, read_moved
from holdfast_host.storage.moving import DIGEST_BYTES
from holdfast_host.supervisor.central_store import is_bound
from holdfast_host.supervisor.directory.layout import DirectoryLayout
from holdfast_host.supervisor.directory.lock import DirectoryLock
from holdfast_host.supervisor.homes import bring
from holdfast_host.supervisor.registry.file_document import FileDocument
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.secrets.store_key import agree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast_host.storage.postgres.copying import Connection, Filling
    from holdfast_host.storage.postgres.records.homes import StoreHomes
    from holdfast_host.storage.postgres.session import StoreAddress

_HOST = "copy"  # in place of a host's id
_NAMED_MAX = 5


class Moved(NamedTuple):
    """What has moved."""

    instances: int
    functions: int
    key: Path


def move_directory(root: Path, address: StoreAddress, instance_bytes_max: int, say: Callable[[str], None]) -> Moved:
    """Move it; all of it is in the store on return, and nothing starts on the directory any more.

    Args:
        root: the data directory.
        address: of a store whose tables are there, and empty.
        instance_bytes_max: what an instance may have there.
        say: told of each step.

    Raises:
        ConfigurationError: one of both is not fit for it, or what was read back is not what was there.
        StorageFullError, HostUnavailableError: the store cannot be written.
    """
    from holdfast_host.storage.postgres import copying
    from holdfast_host.storage.postgres.session import connect

    if not root.is_dir():
        raise ConfigurationError(f"{root} is no data directory: it is not there")
    with DirectoryLock.acquire(root, wait_s=0.0) as lock, connect(address, "holdfast-store") as connection:
        lock.keep_predecessor()
        (store,) = connection.execute("SELECT id::text FROM cluster").fetchone() or ("",)
        moved_to = read_moved(root)
        if moved_to == store and copying.is_being_filled(connection):
            say("all had been compared")
            copying.finish(connection)
            return Moved(*_counts(connection), root / "secrets" / "key")
        directory = _fit(root, moved_to)
        _refuse_large(directory, instance_bytes_max)
        copying.begin(connection)
        say("copying")
        digests = _copy_instances(directory, copying.Filling(connection))
        _copy_rest(directory, address)
        say("comparing")
        _compare(digests, (each.digest() for each in copying.read_back(connection)))
        mark_moved(root, store)
        copying.finish(connection)
        return Moved(*_counts(connection), directory.secrets / "key")


def _fit(root: Path, moved_to: str | None) -> DirectoryLayout:
    if moved_to is not None:
        raise ConfigurationError(f"{root} has been moved to the store {moved_to} already")
    marker = read_data_directory(root)
    if marker is None:
        raise ConfigurationError(f"{root} is no data directory: it has no format.json")
    directory = DirectoryLayout(root, marker.partitions)
    if is_bound(directory):
        raise ConfigurationError(f"{root} is of a host on PostgreSQL: its instances are in a store")
    if not directory.registry.exists():
        raise ConfigurationError(f"{directory.registry} is gone: restore it from a backup")
    return directory


def _partitions(directory: DirectoryLayout) -> list[Path]:
    places = (partition_path(directory.root, number) for number in range(directory.partitions))
    return [each for each in places if each.exists()]  # nothing was ever deployed


def _refuse_large(directory: DirectoryLayout, bytes_max: int) -> None:
    from holdfast_host.storage.lmdb.whole_instances import too_large

    registry = Registry.open(directory.registry, directory.compiled)
    found = [each for path in _partitions(directory) for each in too_large(path, bytes_max)]
    names = []
    for type_id, name, size_bytes in found[:_NAMED_MAX]:
        known = registry.type_numbered(type_id)
        names.append(f"{known.type if known else type_id}/{name.decode(errors='replace')} ({size_bytes} bytes)")
    registry.close()
    if found:
        raise ConfigurationError(
            f"{len(found)} instances have more than {bytes_max} bytes, which over PostgreSQL are held in memory: "
            f"{', '.join(names)}; give --limit instance_memory_bytes=..., and to serve as well, or make them smaller"
        )


def _copy_instances(directory: DirectoryLayout, filling: Filling) -> bytes:
    """Their digests, one behind the other."""
    from holdfast_host.storage.lmdb.whole_instances import read_instances

    digests = bytearray()
    for path in _partitions(directory):
        for instance in read_instances(path):
            filling.add(instance)
            digests += instance.digest()
    filling.flush()
    return bytes(digests)


def _copy_rest(directory: DirectoryLayout, address: StoreAddress) -> None:
    """What is not an instance's, and comparing it."""
    from holdfast_host.storage.postgres.owning import COPYING
    from holdfast_host.storage.postgres.records.homes import StoreHomes, StoreKey

    known = StoreKey(address, _HOST)
    homes = StoreHomes(address, _HOST, 1 << 62)
    try:
        agree(directory.secrets / "key", known)
        bring(directory, homes, COPYING)
        _compare_rest(directory, homes)
    finally:
        known.close()
        homes.close()


def _compare_rest(directory: DirectoryLayout, homes: StoreHomes) -> None:
    registry = Registry.open(directory.registry, directory.compiled)
    next_type, rows = registry.rows()
    registry.close()
    there_next, there = homes.registry.read()
    same = next_type == there_next and all(
        sorted(rows[table]) == sorted(there[table]) for table in ("versions", "types", "tenants")
    )
    same = same and sorted(map(str, rows["functions"])) == sorted(map(str, there["functions"]))
    for name, path in directory.documents.items():
        same = same and homes.documents[name].read() == FileDocument(path).read()
    if not same:
        raise ConfigurationError(
            "what was read back of the registry is not what is in the directory: nothing has moved"
        )


def _compare(digests: bytes, found: Iterator[bytes]) -> None:
    count = 0
    for digest in found:
        if digests[count * DIGEST_BYTES : (count + 1) * DIGEST_BYTES] != digest:
            raise ConfigurationError(f"instance {count + 1} was not read back as it was: nothing has moved")
        count += 1
    if count * DIGEST_BYTES != len(digests):
        raise ConfigurationError(
            f"{count} instances were read back of {len(digests) // DIGEST_BYTES}: nothing has moved"
        )


def _counts(connection: Connection) -> tuple[int, int]:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM instance), (SELECT count(*) FROM functions WHERE current IS NOT NULL)"
    ).fetchone()
    return row or (0, 0)
