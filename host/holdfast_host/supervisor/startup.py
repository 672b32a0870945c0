"""What a host stands on before it starts a process: the locked directory, the registry, the sockets, the routing.

Taken in this order and given back in the reverse one. Everything here may block; no child runs yet, or any more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast_host.core.config import HostConfig
from holdfast_host.core.limits import SHARDS
from holdfast_host.core.logs import EventLog
from holdfast_host.storage.records import AuditLines, SharedComponents
from holdfast_host.supervisor.central_store import beating, bind_store, refuse_bound
from holdfast_host.supervisor.crashes.quarantine import Quarantine
from holdfast_host.supervisor.directory.layout import DirectoryLayout, make_directory, open_directory
from holdfast_host.supervisor.directory.lock import DirectoryLock, Holder
from holdfast_host.supervisor.homes import open_directory_homes, open_store_homes
from holdfast_host.supervisor.processes.front_numbers import FrontNumbers
from holdfast_host.supervisor.processes.listeners import (
    RuntimeDirectory,
    begin_listening,
    bind_http,
    remove_leftover,
    url_of,
)
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.supervisor.secrets.secret_store import SecretStore
from holdfast_host.supervisor.tokens.token_store import TokenStore
from holdfast_host.wire.control.routing import RouteBook, Routing
from holdfast_host.wire.control.starts import CentralStore

if TYPE_CHECKING:
    from holdfast_host.supervisor.cluster.heart import Heart
    from holdfast_host.supervisor.cluster.standby import Standby


@dataclass(frozen=True, slots=True)
class HostResources:
    """Made by `open_resources`, valid inside its block."""

    directory: DirectoryLayout
    registry: Registry
    quarantine: Quarantine
    front_numbers: FrontNumbers
    vault: SecretStore
    tokens: TokenStore
    audit: AuditLines
    shared_components: SharedComponents | None
    moved: Callable[[], Collection[str]] | None  # see following.py; None: no other host shares what this one keeps
    lock_fd: int
    listener: socket.socket  # HTTP
    root_listener: socket.socket | None  # HTTP for one function alone, see HostConfig.root_listen
    worker_listeners: tuple[socket.socket, ...]
    courier_listener: socket.socket
    routes: RouteBook
    url: str
    central_store: CentralStore | None  # None: what instances store is in the directory
    heart: Heart | None  # of a host with a central store


@contextmanager
def open_resources(config: HostConfig, log: EventLog, standby: Standby) -> Iterator[HostResources]:
    """Take what the host needs; waits up to 5 s for the processes of a dead host on the same directory to go.

    Where another host of its store serves, this stands by until that one has ended, bound to its addresses, at which it
    refuses connections.

    Raises:
        ConfigurationError: the directory or the address cannot be had.
        StandbyEndedError: the host was told to stop meanwhile.
    """
    make_directory(config.data)
    with ExitStack() as cleanup:
        lock = cleanup.enter_context(DirectoryLock.acquire(config.data))
        directory = open_directory(config.data, SHARDS if config.store else config.workers)
        if lock.predecessor is not None:
            removed = remove_leftover(lock.predecessor.runtime)
            log.warning("the last host did not stop in order", pid=lock.predecessor.pid, sockets_removed=removed)
        workers, audit_max = _workers(config, directory, log), config.limits.audit_bytes_max
        if not config.store:
            refuse_bound(directory)
            homes = open_directory_homes(directory, audit_max, cleanup)
        listener = cleanup.enter_context(bind_http(config.listen))
        url = url_of(config.listen, listener, encrypted=config.tls_cert is not None)
        root_listener = cleanup.enter_context(bind_http(config.root_listen)) if config.root_listen else None
        runtime = RuntimeDirectory()
        cleanup.callback(runtime.remove)
        lock.describe(Holder(os.getpid(), url, str(runtime.path)))
        central_store = bind_store(config, directory, workers, url, standby, log)
        heart = cleanup.enter_context(beating(config, central_store, log))
        standby.finish()
        if central_store is not None:
            homes = open_store_homes(central_store, config.cluster_key, directory, audit_max, cleanup)
        listeners = [cleanup.enter_context(runtime.listen(f"w{n}")) for n in range(workers)]
        routing = Routing.over(directory.partitions, [str(each.getsockname()) for each in listeners])
        courier = cleanup.enter_context(runtime.listen("courier"))
        begin_listening(listener, config.listen)
        if root_listener is not None and config.root_listen is not None:
            begin_listening(root_listener, config.root_listen)
        yield HostResources(
            directory=directory,
            registry=homes.registry,
            quarantine=homes.quarantine,
            front_numbers=homes.front_numbers,
            vault=homes.vault,
            tokens=homes.tokens,
            audit=homes.audit,
            shared_components=homes.components,
            moved=homes.moved,
            lock_fd=lock.fd,
            listener=listener,
            root_listener=root_listener,
            worker_listeners=tuple(listeners),
            courier_listener=courier,
            routes=RouteBook(routing),
            url=url,
            central_store=central_store,
            heart=heart,
        )


def _workers(config: HostConfig, directory: DirectoryLayout, log: EventLog) -> int:
    """How many workers there can be: each needs a partition of its own."""
    if config.workers > directory.partitions:
        log.warning(
            f"{config.workers} workers asked for, {directory.partitions} started: the data directory has "
            f"{directory.partitions} partitions; `holdfast repartition`, offline, changes that"
        )
    return min(config.workers, directory.partitions)
