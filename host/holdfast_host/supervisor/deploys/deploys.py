"""The life of a function: deploy, roll back, undeploy.

    upload -> components/ -> compiled -> planned -> prepared in all workers -> RECORDED -> switched -> published
    sources of a development component -> described by a worker -> planned -> and so on

Everything before the record may fail and leaves the running version as it was; nothing after it can. From the plan on,
one change of the registry at a time (change_order.py); what comes before may take minutes, and holds up nobody's deploy
but its own. What a change starts from is looked up in deployed.py, what it may be is decided in registry/plan.py.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast_host.core.config import OUTBOUND_DEFAULT
from holdfast_host.core.errors import (
    DeployQueueFullError,
    HoldfastError,
    InvalidComponentError,
    InvalidManifestError,
    TenantInUseError,
    UnknownTenantError,
)
from holdfast_host.core.ids import check_function_name
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.core.manifest import Manifest, derive_manifest, parse_manifest
from holdfast_host.core.tenants import name_of, tenant_of
from holdfast_host.storage.records import DECISIONS_MAX, MovedError
from holdfast_host.supervisor.deploys.change_order import ChangeOrder
from holdfast_host.supervisor.deploys.compile_queue import Applicant
from holdfast_host.supervisor.deploys.component_store import ComponentStore, Progress, discard
from holdfast_host.supervisor.deploys.deployed import Deployed
from holdfast_host.supervisor.deploys.rollout import Rollout
from holdfast_host.supervisor.deploys.running import Running
from holdfast_host.supervisor.registry import plan
from holdfast_host.supervisor.registry.records import FunctionRecord, VersionRecord
from holdfast_host.supervisor.registry.registry import Registry, now_us
from holdfast_host.supervisor.registry.tenant_registry import TenantRegistry


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """One deploy as the front hands it over; `component` is a file that is ours to move."""

    function: str  # its key, see core.tenants
    component: Path
    manifest: str | None
    allow_breaking: bool = False
    adopt: bool = False
    applicant: Applicant = field(default_factory=lambda: Applicant(""))


class Deploys:
    """Changes what is deployed; one per host, used by the event loop's thread. Functions are named by their keys."""

    def __init__(
        self,
        registry: Registry,
        rollout: Rollout,
        components: ComponentStore,
        limits: Limits,
        log: EventLog,
        outbound: Sequence[str] = OUTBOUND_DEFAULT,
        note_deploy: Callable[[str], None] = lambda tenant: None,
    ) -> None:
        """`outbound`: what the operator lets functions ask outside; `note_deploy(tenant)` refuses one too many."""
        self._note_deploy = note_deploy
        self._outbound = outbound
        self._registry = registry
        self._rollout = rollout
        self._components = components
        self._limits = limits
        self._log = log
        self._order = ChangeOrder()
        self._deployed = Deployed(registry)
        self._running = Running(registry, rollout, components, log)

    @property
    def one_at_a_time(self) -> asyncio.Lock:
        """Held by each change of what is deployed."""
        return self._order.one_at_a_time

    async def deploy(self, request: DeployRequest, progress: Progress) -> bool:
        """Deploy; True for a new function, False for a new version, and for what runs already and is not switched.

        Raises:
            CallerError: why not; where the function exists it is recorded as its failure.
            HoldfastError: a worker could not load it; nothing was switched.
        """
        try:
            check_function_name(name_of(request.function))
            self._note_deploy(tenant_of(request.function))
            with self._order.only_of(request.function):
                manifest = self._read_manifest(request.function, request.manifest)
                known, _ = self._identify(request.function, manifest)
                try:
                    return await self._deploy(request, manifest, known, progress)
                except DeployQueueFullError:
                    raise
                except HoldfastError as error:
                    if request.applicant.gone.is_set():
                        raise
                    self._record_failure(request.function, known, error)
                    raise
        finally:
            discard(request.component)

    async def reload(self, function: str, sources: str) -> None:
        """Run other sources in the development component that is deployed, as a new version, breaking or not.

        Raises:
            UnknownFunctionError: it is not deployed.
            CallerError: its component is none for development, or the sources do not load or do not fit the manifest:
                the running version stays.
        """

        async def decide() -> None:
            record = self._deployed.function(function)
            found = self._deployed.current(record)
            if not found.description.get("development"):
                raise InvalidComponentError(
                    f"the component of {record.name!r} is no development component: it takes no sources, deploy it "
                    "again"
                )
            draft = await self._components.ready(replace(found.deployment, sources=sources))
            description = await self._rollout.describe(draft)
            shipped = plan.shipped_types(description, self._limits)
            proposal = plan.Proposal(
                self._read_manifest(function, found.manifest) or derive_manifest(record.name, shipped),
                record.func_id,
                draft.sha256,
                draft.compiled,
                description,
                shipped,
                sources,
            )
            await self._bring(proposal, plan.Consent(allow_breaking=True), found.manifest)

        async with self._order.alone(function):
            await self._decided(decide)

    async def rollback(self, function: str, version: int | None) -> None:
        """Run a kept version again, the one before the current one where none is named.

        Raises:
            UnknownFunctionError, UnknownVersionError: there is none.
            CallerError: it does not fit what is deployed now.
        """

        async def decide() -> None:
            kept = self._deployed.kept(self._deployed.function(function), version)
            plan.check_rollback(self._deployed.of(function), kept)
            plan.check_granted(kept, self._outbound)
            with self._components.bringing(kept.sha256):  # until it runs, nothing else keeps its compiled file
                deployment = await self._components.ready(kept)
                await self._rollout.prepare(deployment)
                self._registry.commit_current(deployment)
            await self._running.follow(deployment)
            self._log.info("rolled back", function=function, version=deployment.version)

        async with self._order.alone(function):
            await self._decided(decide)

    async def preview_rollback(self, function: str, version: int | None) -> JsonObject:
        """What a rollback would break, and why it would be refused; changes nothing.

        Raises:
            UnknownFunctionError, UnknownVersionError: there is none.
            HostUnavailableError: a worker is being replaced: what relies on the running version is not known.
        """
        record = self._deployed.function(function)
        kept = self._deployed.kept(record, version)
        asked = plan.reliance_on(self._deployed.current(record).deployment, kept)
        occupied = await self._rollout.occupied(asked.gone) if asked.gone else set()
        armed = await self._rollout.armed(asked.deaf) if asked.deaf else set()
        connected = await self._rollout.connected(asked.mute) if asked.mute else set()
        refused = None
        try:
            plan.check_rollback(self._deployed.of(function), kept)
            plan.check_granted(kept, self._outbound)
        except HoldfastError as error:
            refused = str(error)
        breaks = plan.rollback_breaks(self._deployed.of(function), kept, occupied, armed, connected)
        return {"version": kept.version, "breaks": breaks, "refused": refused}

    async def repair(self, function: str) -> None:
        """A worker could not load what is deployed: see what is wrong with the compiled file, and switch to a good one.

        Never raises: what cannot be repaired is shown as the function's failure.
        """
        async with self._order.one_at_a_time:
            record = self._deployed.of(function).named(name_of(function))
            found = (
                None
                if record is None or record.current is None
                else self._registry.version(record.func_id, record.current)
            )
            if found is None:
                return
            try:
                deployment = await self._components.ready(found.deployment, doubt=True)
                await self._rollout.prepare(deployment)
                await self._running.follow(deployment)
                self._log.info("repaired", function=function, version=deployment.version)
            except HoldfastError as error:
                self._log.error("a deployed function cannot be run", function=function, error=error)
                with suppress(HoldfastError):
                    self._registry.commit_failure(found.deployment.func_id, f"{error.name}: {error}")

    async def delete(self, function: str) -> None:
        """Undeploy: its turns end, its storage stays, its types stay reserved to it.

        Raises:
            UnknownFunctionError: it is not deployed.
            FunctionReferencedError: another function refers to a type that it owns.
        """

        async def decide() -> None:
            record = self._deployed.function(function)
            plan.check_removable(self._deployed.of(function), record)
            self._registry.commit_removal(record.func_id)
            await self._running.remove(record)
            self._components.sweep()
            self._log.info("undeployed", function=function, func_id=record.func_id)

        async with self._order.alone(function):
            await self._decided(decide)

    async def follow(self) -> None:
        """Another host has changed the registry: run what it says now.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        async with self._order.one_at_a_time:
            self._registry.refresh()
            await self._running.catch_up()

    async def record(self, decide: Callable[[], Awaitable[None]]) -> None:
        """Decide and record what is no function's, with no other change of the registry beside it."""
        async with self._order.one_at_a_time:
            await self._decided(decide)

    async def check_unused(self, tenant: str) -> None:
        """For a decision that `record` makes: a tenant has nothing deployed and nothing stored.

        Raises:
            TenantInUseError: it has.
            HostUnavailableError: a worker cannot say.
        """
        deployed = [each.name for each in self._registry.deployed(tenant)]
        if deployed:
            raise TenantInUseError(f"the tenant {tenant!r} has functions: delete {', '.join(deployed[:10])} first")
        types = {each.type_id: each.type for each in self._registry.types(tenant)}
        kept = await self._rollout.occupied(types.keys()) if types else set()
        if kept:
            named = ", ".join(sorted(types[each] for each in kept)[:10])
            raise TenantInUseError(
                f"the tenant {tenant!r} has instances of {named}: deploy their function again and delete them first"
            )

    async def undeployed(self, tenant: str) -> list[dict[str, str]]:
        """The actor types of a tenant that no deployed version ships and that still have instances.

        Raises:
            HostUnavailableError: a worker cannot say.
        """
        reserved = self._registry.reserved_types(tenant)
        kept = await self._rollout.occupied({each.type_id for _, each in reserved}) if reserved else set()
        return [
            {"type": each.type, "function": function.name, "func_id": name_of(function.func_id)}
            for function, each in reserved
            if each.type_id in kept
        ]

    async def _deploy(
        self,
        request: DeployRequest,
        manifest: Manifest | None,
        known: FunctionRecord | None,
        progress: Progress,
    ) -> bool:
        """The pipeline."""
        sha256 = await asyncio.to_thread(_hash_file, request.component)
        if known and self._deployed.runs_already(known, manifest, sha256):
            await self._components.mend(request.component, sha256)
            self._registry.commit_failure(known.func_id, None)
            return False
        try:
            with self._components.bringing(sha256):
                await self._components.take(request.component, sha256)
                first = known is None or known.current is None
                compiled = await self._components.compile(sha256, progress, request.applicant, first=first)
                shipped = plan.shipped_types(compiled.description, self._limits)

                async def decide() -> None:
                    nonlocal known
                    known, func_id = self._identify(request.function, manifest)  # again: others were deployed meanwhile
                    proposal = plan.Proposal(
                        manifest or derive_manifest(name_of(request.function), shipped),
                        func_id,
                        sha256,
                        str(compiled.path),
                        compiled.description,
                        shipped,
                    )
                    consent = plan.Consent(request.allow_breaking, request.adopt)
                    await self._bring(proposal, consent, request.manifest, progress)

                async with self._order.one_at_a_time:
                    await self._decided(decide)
        finally:
            self._components.sweep()
        return known is None or known.current is None

    async def _bring(
        self,
        proposal: plan.Proposal,
        consent: plan.Consent,
        manifest: str | None,
        progress: Progress = lambda stage: None,
    ) -> None:
        """Plan it, load it everywhere, record it, switch to it."""
        tenant = tenant_of(proposal.func_id)
        registry = TenantRegistry(self._registry, tenant)
        if all(each.name != tenant for each in self._registry.tenants()):  # it was deleted while this was compiled
            raise UnknownTenantError(f"there is no tenant {tenant!r}")
        at_stake = plan.types_at_stake(registry, proposal)
        occupied = await self._rollout.occupied(at_stake) if at_stake else set()
        deaf = plan.types_losing("alarm", registry, proposal)
        armed = await self._rollout.armed(deaf) if deaf else set()
        mute = plan.types_losing("socket_message", registry, proposal)
        connected = await self._rollout.connected(mute) if mute else set()
        deployment = plan.plan_deployment(registry, proposal, consent, occupied, armed, connected)
        plan.check_granted(deployment, self._outbound)
        progress("loading")
        await self._rollout.prepare(deployment)
        self._registry.commit_version(VersionRecord(deployment, manifest, proposal.description, now_us()))
        progress("switching")
        await self._running.follow(deployment)
        self._log.info("deployed", function=deployment.function, func_id=deployment.func_id, version=deployment.version)

    async def _decided(self, decide: Callable[[], Awaitable[None]]) -> None:
        """Plan and record, over what another host may have recorded meanwhile."""
        for _ in range(DECISIONS_MAX - 1):
            try:
                await decide()
            except MovedError:
                await self._running.catch_up()
            else:
                return
        await decide()

    def _identify(self, function: str, manifest: Manifest | None) -> tuple[FunctionRecord | None, str]:
        """Which function a deploy is for, see `plan.identify`."""
        return plan.identify(self._deployed.of(function), name_of(function), manifest.func_id if manifest else None)

    def _read_manifest(self, function: str, text: str | None) -> Manifest | None:
        """The manifest as it was sent; None for a bare component, whose manifest is derived afresh each time."""
        if text is None:
            return None
        manifest = parse_manifest(text, self._limits)
        if manifest.name != name_of(function):
            raise InvalidManifestError(
                f"the manifest's name is {manifest.name!r}, the deploy is of {name_of(function)!r}: they must agree"
            )
        return manifest

    def _record_failure(self, function: str, known: FunctionRecord | None, error: HoldfastError) -> None:
        """A function that exists shows why its latest deploy failed; one that does not exist stays unknown."""
        self._log.warning("deploy failed", function=function, error=f"{error.name}: {error}")
        if known is not None and known.current is not None:
            with suppress(HoldfastError):  # a registry that cannot be written is no reason to hide why
                self._registry.commit_failure(known.func_id, f"{error.name}: {error}")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
