"""The courier as the supervisor sees it: started when the first function that asks outside is deployed, then kept.

A host none of whose functions does has no courier. Its socket is there from the beginning: what a worker asks waits in
the backlog until there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast_host.supervisor.processes.child import Child, spawn_child
from holdfast_host.wire.control.starts import CourierStart

if TYPE_CHECKING:
    from holdfast_host.core.config import HostConfig
    from holdfast_host.supervisor.live_settings import LiveSettings
    from holdfast_host.supervisor.startup import HostResources
    from holdfast_host.supervisor.tenants.quotas import TenantQuotas
    from holdfast_host.wire.control.catalog import Outbound
    from holdfast_host.wire.control.protocol import ChildNews


class CourierLaunch:
    """How a courier is started, and with what; each start carries the grants and secrets of that moment."""

    def __init__(
        self,
        config: HostConfig,
        resources: HostResources,
        program: tuple[str, ...],
        settings: LiveSettings,
        quotas: TenantQuotas,
    ) -> None:
        self._config = config
        self._quotas = quotas
        self._resources = resources
        self._program = program
        self._settings = settings

    def grants(self) -> dict[str, Outbound]:
        """What the deployed functions may ask, by name; without those that ask nothing."""
        return {each.function: each.outbound for each in self._resources.registry.current() if each.outbound.allow}

    async def __call__(self, receive: Callable[[ChildNews], None]) -> Child:
        """Start one; `receive` gets its messages."""
        listener, config = self._resources.courier_listener, self._config

        def start() -> CourierStart:
            secrets = self._resources.vault.for_courier()
            return CourierStart(
                listen_fd=listener.fileno(),
                limits=config.limits,
                outbound=config.outbound,
                outbound_private=config.outbound_private,
                functions=self.grants(),
                tenants=self._quotas.for_courier(),
                secrets=secrets.values,
                sealed=secrets.sealed,
                log_level=self._settings.log_level,
                log_format=config.log_format,
            )

        inherited = (listener.fileno(), self._resources.lock_fd)
        return await spawn_child("courier", self._program, start, inherited, receive)
