"""How workers and fronts are started, and what each is told; a start carries what holds at that moment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast_host.core.config import STANDARD_OUTPUT
from holdfast_host.supervisor.deploys.rollout import without_sources
from holdfast_host.supervisor.processes.child import Child, spawn_child
from holdfast_host.supervisor.processes.supervision import LaunchWithdrawnError
from holdfast_host.wire.control.starts import FrontStart, WorkerStart

if TYPE_CHECKING:
    from holdfast_host.core.config import HostConfig
    from holdfast_host.supervisor.crashes.attribution import CrashAttribution
    from holdfast_host.supervisor.deploys.component_store import ComponentStore
    from holdfast_host.supervisor.live_settings import LiveSettings
    from holdfast_host.supervisor.startup import HostResources
    from holdfast_host.supervisor.tenants.quotas import TenantQuotas
    from holdfast_host.wire.control.protocol import ChildNews

Receive = Callable[["ChildNews"], None]


class WorkerLaunch:
    """Starts one worker, again and again."""

    def __init__(
        self,
        number: int,
        config: HostConfig,
        resources: HostResources,
        program: tuple[str, ...],
        settings: LiveSettings,
        *,
        attribution: CrashAttribution,
        components: ComponentStore,
        quotas: TenantQuotas,
        is_suspect: Callable[[], bool],
    ) -> None:
        """`is_suspect()` says whether what its predecessor has loaded may be what killed it."""
        self._number = number
        self._config = config
        self._resources = resources
        self._program = program
        self._settings = settings
        self._attribution = attribution
        self._components = components
        self._quotas = quotas
        self._is_suspect = is_suspect

    async def __call__(self, receive: Receive) -> Child:
        """Start one; `receive` gets its messages."""
        number, resources = self._number, self._resources
        if self._is_suspect():
            await self._components.restore(doubt=True)
        running_fd = self._attribution.prepare(number)
        listener = resources.worker_listeners[number]

        def start() -> WorkerStart:
            config = self._config
            return WorkerStart(
                worker=number,
                data=str(resources.directory.root),
                listen_fd=listener.fileno(),
                routing=resources.routes.table,
                catalog=resources.registry.catalog(),
                limits=config.limits,
                log_level=self._settings.log_level,
                log_format=config.log_format,
                check_arguments=config.check_arguments,
                secrets=resources.vault.values(),
                running_fd=running_fd,
                quarantined=self._attribution.quarantined(),
                quotas=self._quotas.for_workers(),
                new_data=resources.registry.next_type_id() == 1,
                courier=str(resources.courier_listener.getsockname()),
                fronts=[*resources.front_numbers.live],
                traces=config.traces,
                archived=config.archive is not None,
                store=resources.central_store,
            )

        inherited = (listener.fileno(), resources.lock_fd, running_fd)
        return await spawn_child(f"worker {number}", self._program, start, inherited, receive)


class FrontLaunch:
    """Starts one front, again and again."""

    def __init__(
        self,
        number: int,
        config: HostConfig,
        resources: HostResources,
        program: tuple[str, ...],
        settings: LiveSettings,
    ) -> None:
        self._number = number
        self._config = config
        self._resources = resources
        self._program = program
        self._settings = settings
        self._own_number = 0  # of the one that runs

    def note_end(self) -> None:
        """The one that ran has ended, and was waited for."""
        if self._own_number:
            self._resources.front_numbers.forget(self._own_number)
            self._own_number = 0

    async def __call__(self, receive: Receive) -> Child:
        """Start one; `receive` gets its messages.

        Raises:
            LaunchWithdrawnError: the host closed its listener meanwhile, for it stops.
        """
        number, resources = self._number, self._resources
        listener, root = resources.listener, resources.root_listener
        own_number = self._own_number = await asyncio.to_thread(resources.front_numbers.take)
        if listener.fileno() < 0:
            raise LaunchWithdrawnError

        config = self._config

        def start() -> FrontStart:
            return FrontStart(
                front=number,
                number=own_number,
                data=str(resources.directory.root),
                listen_fd=listener.fileno(),
                url=resources.url,
                domain=config.domain,
                token=config.token,
                tokens=resources.tokens.for_fronts(),
                routing=resources.routes.table,
                catalog=without_sources(resources.registry.catalog()),
                limits=config.limits,
                log_level=self._settings.log_level,
                log_format=config.log_format,
                allowed_hosts=(config.listen.host, *config.allowed_hosts),
                edge=self._settings.edge,
                known_heads=config.known_heads,
                ui=config.ui,
                root_fd=-1 if root is None else root.fileno(),
                root_function=config.root_function,
                access_log=config.access_log if config.access_log != STANDARD_OUTPUT or output >= 0 else "",
                access_log_fd=output,
                traces=config.traces != "",
                archive="" if config.archive is None else str(config.archive),
            )

        output = _standard_output() if config.access_log == STANDARD_OUTPUT else -1
        further = [root.fileno()] if root is not None else []
        further += [output] if output >= 0 else []
        try:
            inherited = (listener.fileno(), resources.lock_fd, *further)
            return await spawn_child(f"front {number}", self._program, start, inherited, receive)
        finally:
            if output >= 0:
                os.close(output)


def _standard_output() -> int:
    """Another descriptor of ours, for a child, whose own is our standard error; -1 where it is closed."""
    try:
        return os.dup(1)
    except OSError:
        return -1
