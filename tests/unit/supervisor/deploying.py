"""The deploy pipeline over a real registry, with a rollout that a test scripts."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.deploys.component_store import ComponentStore
from holdfast_host.supervisor.deploys.deploys import DeployRequest, Deploys
from holdfast_host.supervisor.directory.layout import DirectoryLayout, open_directory
from holdfast_host.supervisor.homes import Homes
from holdfast_host.supervisor.operations import Operations
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.catalog import Catalog, Deployment
from holdfast_host.wire.control.operations import ShowFunction
from tests.unit.supervisor.fake_compile import compile_json


class ScriptedRollout:
    """Notes what it is told, with the number of the recorded version at that moment; refuses on request."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.events: list[str] = []
        self.runs: dict[str, Deployment] = {}
        self.refusal: HoldfastError | None = None
        self.instances: set[int] = set()  # the numbers of types that have some
        self.alarms: set[int] = set()  # the numbers of types of which alarms wait
        self.websockets: set[int] = set()  # the numbers of types of which some are open
        self.looked_for_alarms: list[set[int]] = []

    async def occupied(self, type_ids: Set[int]) -> set[int]:
        return self.instances & type_ids

    async def armed(self, type_ids: Set[int]) -> set[int]:
        self.looked_for_alarms.append(set(type_ids))
        return self.alarms & type_ids

    async def connected(self, type_ids: Set[int]) -> set[int]:
        return self.websockets & type_ids

    async def describe(self, deployment: Deployment) -> dict[str, Any]:
        """Sources are a description, as components are."""
        described: dict[str, Any] = json.loads(deployment.sources)
        return described

    async def prepare(self, deployment: Deployment) -> None:
        self._note("prepare", deployment)
        if self.refusal:
            raise self.refusal

    async def switch(self, deployment: Deployment) -> None:
        self._note("switch", deployment)
        self.runs[deployment.function] = deployment

    async def remove(self, function: str) -> None:
        self.events.append(f"remove {function}")
        del self.runs[function]

    def publish(self, catalog: Catalog) -> None:
        self.events.append("publish " + " ".join(f"{each.function}:{each.version}" for each in catalog.deployments))

    def _note(self, what: str, deployment: Deployment) -> None:
        record = self.registry.named("default", deployment.function)
        self.events.append(f"{what} {deployment.version}, recorded {record.current if record else None}")


class DeployBench:
    """One data directory; `reopen` is a restart of the host."""

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        open_homes: Callable[[DirectoryLayout], Homes] | None = None,
    ) -> None:
        """`open_homes` is where what is deployed is kept, if that is not the directory."""
        self.open_homes = open_homes
        self.folder = folder
        self.limits = limits or Limits()
        self.uploads = 0
        self.open()

    def open(self) -> None:
        self.directory: DirectoryLayout = open_directory(self.folder, 1)
        homes = self.open_homes and self.open_homes(self.directory)
        self.registry = homes.registry if homes else Registry.open(self.directory.registry, self.directory.compiled)
        self.rollout = ScriptedRollout(self.registry)
        self.log = io.StringIO()
        log = EventLog("debug", self.log)
        shared = homes.components if homes else None
        self.shelf = ComponentStore(self.directory, self.registry, compile_json, self.limits, log, shared)
        self.deploys = Deploys(self.registry, self.rollout, self.shelf, self.limits, log)
        self.operations = Operations(
            self.registry,
            self.deploys,
            "localhost",
            "http://127.0.0.1:8787",
            log,
            lambda operation, progress, gone: asyncio.sleep(0, {}),
            bytes_of=self.shelf.bytes_of,
        )
        self.stages: list[str] = []

    def reopen(self) -> None:
        self.registry.close()
        self.open()

    def request(
        self,
        function: str,
        component: str,
        manifest: str | None = None,
        *,
        allow_breaking: bool = False,
        adopt: bool = False,
    ) -> DeployRequest:
        self.uploads += 1
        upload = self.directory.uploads / str(self.uploads)
        upload.write_text(component)
        return DeployRequest(function, upload, manifest, allow_breaking, adopt)

    def deploy(self, function: str, component: str, manifest: str | None = None, **consent: bool) -> bool:
        """Deploy and wait; True for a new function."""
        return asyncio.run(
            self.deploys.deploy(self.request(function, component, manifest, **consent), self.stages.append)
        )

    def show(self, function: str) -> dict[str, object]:
        return asyncio.run(self.operations.perform(ShowFunction("default", function), self.stages.append))

    def type_id(self, actor_type: str) -> int:
        record = self.registry.type_named("default", actor_type)
        assert record is not None
        return record.type_id

    def files(self) -> set[str]:
        folders = (self.directory.components, self.directory.compiled, self.directory.uploads)
        return {f"{folder.name}/{entry.name.removesuffix('.zst')}" for folder in folders for entry in folder.iterdir()}
