"""What the processes of this host run, and having them run what is recorded, by this host or by another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.deploys.component_store import ComponentStore
    from holdfast_host.supervisor.deploys.rollout import Rollout
    from holdfast_host.supervisor.registry.records import FunctionRecord
    from holdfast_host.supervisor.registry.registry import Registry
    from holdfast_host.wire.control.catalog import Deployment


class Running:
    """One per host, used by the event loop's thread, by one change of the registry at a time."""

    def __init__(self, registry: Registry, rollout: Rollout, components: ComponentStore, log: EventLog) -> None:
        self._registry = registry
        self._rollout = rollout
        self._components = components
        self._log = log
        self._told = {each.func_id: each for each in registry.current()}  # children start from what is recorded

    async def follow(self, deployment: Deployment) -> None:
        """After the record: workers, then fronts, so that no front routes to what a worker does not know yet."""
        await self._rollout.switch(deployment)
        self._told[deployment.func_id] = deployment
        self._rollout.publish(self._registry.catalog())

    async def remove(self, record: FunctionRecord) -> None:
        """After the record that it is undeployed: fronts, then workers."""
        self._rollout.publish(self._registry.catalog())
        await self._rollout.remove(record.key)
        self._told.pop(record.func_id, None)

    async def catch_up(self) -> None:
        """Run what is recorded: another host may have recorded it. What cannot be run here is said in the log."""
        current = {each.func_id: each for each in self._registry.current()}
        gone = [self._told.pop(each) for each in self._told.keys() - current.keys()]
        if gone:
            self._rollout.publish(self._registry.catalog())
        for deployment in gone:
            await self._rollout.remove(deployment.function)
        for recorded in current.values():
            told = self._told.get(recorded.func_id)
            if told is not None and (told.function, told.version) == (recorded.function, recorded.version):
                continue
            try:
                deployment = await self._components.ready(recorded)
                await self._rollout.prepare(deployment)
                await self.follow(deployment)
                self._log.info("follows another host", function=recorded.function, version=recorded.version)
            except HoldfastError as error:
                self._log.error("a deployed function cannot be run here", function=recorded.function, error=error)
