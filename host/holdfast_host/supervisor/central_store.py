"""Starting a host whose storage is on PostgreSQL: the store is this host's, and the directory has its id.

Functions, secrets, tokens and the rest that lies in the data directory of other hosts is in the store, see homes.py. A
directory may be empty; one that has been a host's of a store does not start without one.
"""

from __future__ import annotations

import json
import socket
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from holdfast_host import __version__
from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.wire.control.starts import CentralStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from holdfast_host.core.config import HostConfig
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.cluster.heart import Heart
    from holdfast_host.supervisor.cluster.standby import Standby
    from holdfast_host.supervisor.directory.layout import DirectoryLayout
    from holdfast_host.supervisor.processes.supervision import SupervisedProcess
    from holdfast_host.supervisor.startup import HostResources
    from holdfast_host.wire.control.protocol import NewRouting

_FILE: Final = "store.json"  # in registry/; {"host": "..."}


def is_bound(directory: DirectoryLayout) -> bool:
    """Whether what instances store is on PostgreSQL."""
    return directory.registry.with_name(_FILE).exists()


def refuse_bound(directory: DirectoryLayout) -> None:
    """Raise ConfigurationError where the directory has been a host's of a store: what it had is there."""
    if is_bound(directory):
        raise ConfigurationError(f"{directory.root} is of a host on PostgreSQL: give --store, as before")


def bind_store(
    config: HostConfig, directory: DirectoryLayout, workers: int, url: str, standby: Standby, log: EventLog
) -> CentralStore | None:
    """Take the store for this host, so many workers of it; None where the directory itself holds the storage.

    Where another host lives, this stands by until that has ended.

    Raises:
        StandbyEndedError: the host was told to stop meanwhile.
        ConfigurationError: directory and store do not belong together, or the server is not to be used.
    """
    path = directory.registry.with_name(_FILE)
    if not config.store:
        return None
    try:
        from holdfast_host.storage.postgres import session, start_guard
        from holdfast_host.supervisor.cluster.joining import Candidate, Joining
        from holdfast_host.supervisor.cluster.warming import Warming
    except ImportError as error:
        raise ConfigurationError(f"--store needs psycopg ({error}): pip install 'holdfast[cluster]'") from error
    host = _host_of(path, directory)
    address = session.StoreAddress(config.store, config.durability)
    candidate = Candidate(host, workers, socket.gethostname(), url, __version__)
    nothing_yet = CentralStore(config.store, config.durability, host, 0)
    standby.prepare_by(Warming(nothing_yet, config, directory, standby.compile_component, log))
    try:
        with session.connect(address, "holdfast-start") as connection:
            warnings = start_guard.look_at_server(connection, address, workers)
        with standby.heeding_signals():
            life = Joining(address, candidate, config.host_ttl_s, standby, log).join()
    except session.StoreUnreachableError as error:
        raise ConfigurationError(f"--store: {error.message}") from error
    log.info("the store is PostgreSQL", address=session.shown(config.store), durability=config.durability)
    for warning in warnings:
        log.warning(f"--store: {warning}")
    if config.durability == "single":
        log.warning("--durability single: what is acknowledged is lost with the one machine of the store")
    return CentralStore(config.store, config.durability, host, life)


@contextmanager
def beating(config: HostConfig, store: CentralStore | None, log: EventLog) -> Iterator[Heart | None]:
    """Show the store that the host lives, for as long as the block lasts; in it, a host on files has no heart."""
    if store is None:
        yield None
        return
    from holdfast_host.storage.postgres.session import StoreAddress
    from holdfast_host.supervisor.cluster.heart import Heart

    heart = Heart(StoreAddress(store.dsn, store.durability), store.host, store.life, config.host_ttl_s, log)
    heart.start()
    try:
        yield heart
    finally:
        heart.close()


async def watch_seats(
    resources: HostResources,
    workers: Sequence[SupervisedProcess],
    tell: Callable[[NewRouting], None],
    changes: asyncio.Lock,
    log: EventLog,
) -> None:
    """Have the shards of a worker that does not come up served by the others, for as long as this runs; see `Seats`."""
    if resources.central_store is not None:
        from holdfast_host.supervisor.cluster.seats import Seats

        await Seats(resources.central_store, workers, resources.routes, tell, changes, log).watch()


def _host_of(path: Path, directory: DirectoryLayout) -> str:
    """The id of the host whose directory it is; a new one for an empty directory."""
    try:
        return str(json.loads(path.read_bytes())["host"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error!r}): restore it from a backup") from error
    if (directory.root / "parts").exists():
        raise ConfigurationError(
            f"{directory.root} holds storage of its own, which --store would leave behind: name an empty directory"
        )
    host = uuid.uuid4().hex
    write_durably(path, json.dumps({"host": host}).encode())
    return host
