"""The life of a function: deploy, roll back, undeploy.

    upload -> components/ -> compiled -> planned -> prepared in all workers -> RECORDED -> switched -> published

Everything before the record may fail and leaves the running version as it was; nothing after it can. One change of the
registry at a time; a second one of the same function is refused rather than queued, since its author should look first.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from holdfast_host.core.errors import (
    DeployConflictError,
    HoldfastError,
    HostUnavailableError,
    InvalidComponentError,
    InvalidManifestError,
    UnknownFunctionError,
    UnknownVersionError,
)
from holdfast_host.core.ids import check_function_name
from holdfast_host.core.limits import Limits
from holdfast_host.core.manifest import Manifest, derive_manifest, parse_manifest
from holdfast_host.storage.data_directory import sync_directory
from holdfast_host.supervisor import plan
from holdfast_host.supervisor.datadir import DataDirectory
from holdfast_host.supervisor.log import EventLog
from holdfast_host.supervisor.registry import FunctionRecord, Registry, VersionRecord, now_us
from holdfast_host.supervisor.rollout import Rollout
from holdfast_host.wire.catalog import Deployment

Progress = Callable[[str], None]


class Compiled(Protocol):
    """What compiling a component gives."""

    @property
    def path(self) -> Path:
        """The compiled file."""

    @property
    def description(self) -> dict[str, Any]:
        """What the component says of itself."""


Compile = Callable[[Path, Path, Limits, Progress], Awaitable[Compiled]]


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """One deploy as the front hands it over; `component` is a file that is ours to move."""

    function: str
    component: Path
    manifest: str | None
    allow_breaking: bool = False
    adopt: bool = False


class Deploys:
    """Changes what is deployed; one per host, used by the event loop's thread."""

    def __init__(
        self,
        directory: DataDirectory,
        registry: Registry,
        rollout: Rollout,
        compile_component: Compile,
        limits: Limits,
        log: EventLog,
    ) -> None:
        self._directory = directory
        self._registry = registry
        self._rollout = rollout
        self._compile = compile_component
        self._limits = limits
        self._log = log
        self._changing: set[str] = set()
        self._one_at_a_time = asyncio.Lock()

    async def deploy(self, request: DeployRequest, progress: Progress) -> bool:
        """Deploy; True for a new function, False for a new version, and for what runs already and is not switched.

        Raises:
            CallerError: why not; where the function exists it is recorded as its failure.
            HoldfastError: a worker could not load it; nothing was switched.
        """
        try:
            check_function_name(request.function)
            async with self._alone(request.function):
                manifest = self._read_manifest(request.function, request.manifest)
                func_id = manifest.func_id if manifest else None
                known, func_id = plan.identify(self._registry, request.function, func_id)
                try:
                    return await self._deploy(request, manifest, known, func_id, progress)
                except HoldfastError as error:
                    self._record_failure(known, error)
                    raise
        finally:
            _discard(request.component)

    async def rollback(self, function: str, version: int | None) -> None:
        """Run a kept version again, the one before the current one where none is named.

        Raises:
            UnknownFunctionError, UnknownVersionError: there is none.
            CallerError: it does not fit what is deployed now.
        """
        async with self._alone(function):
            record = self._deployed(function)
            assert record.current is not None
            kept = [each.deployment.version for each in self._registry.versions(record.func_id)]
            if version is None:
                version = next((each for each in kept if each < record.current), None)
            if version not in kept:
                numbers = ", ".join(map(str, sorted(kept)))
                raise UnknownVersionError(f"{function!r} has no such version to go back to; kept are {numbers}")
            found = self._registry.version(record.func_id, version)
            assert found is not None
            deployment = found.deployment
            plan.check_owned(self._registry, deployment)
            plan.check_against_others(self._registry, deployment, plan.Consent())
            deployment = await self._compiled_now(deployment)
            await self._rollout.prepare(deployment)
            self._registry.commit_current(deployment)
            await self._follow(deployment)
            self._log.info("rolled back", function=function, version=version)

    async def delete(self, function: str) -> None:
        """Undeploy: its turns end, its storage stays, its types stay reserved to it.

        Raises:
            UnknownFunctionError: it is not deployed.
            FunctionReferencedError: another function refers to a type that it owns.
        """
        async with self._alone(function):
            record = self._deployed(function)
            plan.check_removable(self._registry, record)
            self._registry.commit_removal(record.func_id)
            self._rollout.publish(self._registry.catalog())
            await self._rollout.remove(function)
            self._sweep()
            self._log.info("undeployed", function=function, func_id=record.func_id)

    async def restore(self) -> None:
        """Before the workers start: see that all that is deployed lies compiled for this host; compile what does not.

        A function that cannot be compiled any more stays out of the catalog until it is deployed again.
        """
        await asyncio.gather(*(self._restore(each) for each in self._registry.current()))

    async def _restore(self, deployment: Deployment) -> None:
        """See that one version can be run."""
        try:
            await self._compiled_now(deployment)
        except HoldfastError as error:
            self._log.error("a deployed function cannot be compiled", function=deployment.function, error=error)
            self._registry.commit_failure(deployment.func_id, f"{error.name}: {error}")

    async def _deploy(
        self,
        request: DeployRequest,
        manifest: Manifest | None,
        known: FunctionRecord | None,
        func_id: str,
        progress: Progress,
    ) -> bool:
        """The pipeline, under the lock."""
        sha256 = await asyncio.to_thread(_hash_file, request.component)
        if known and self._runs_already(known, manifest, sha256):
            self._registry.commit_failure(known.func_id, None)
            return False
        component = self._directory.components / f"{sha256}.wasm"
        await asyncio.to_thread(_take_over, request.component, component)
        try:
            compiled = await self._compile(component, self._directory.compiled, self._limits, progress)
            shipped = plan.shipped_types(compiled.description, self._limits)
            deployment = plan.plan_deployment(
                self._registry,
                manifest or derive_manifest(request.function, shipped),
                func_id,
                sha256,
                str(compiled.path),
                compiled.description,
                shipped,
                plan.Consent(request.allow_breaking, request.adopt),
            )
            progress("loading")
            await self._rollout.prepare(deployment)
            record = VersionRecord(deployment, request.manifest, compiled.description, now_us())
            self._registry.commit_version(record)
        finally:
            self._sweep()
        progress("switching")
        await self._follow(deployment)
        self._log.info("deployed", function=request.function, func_id=func_id, version=deployment.version)
        return known is None or known.current is None

    async def _follow(self, deployment: Deployment) -> None:
        """After the record: workers, then fronts, so that no front routes to what a worker does not know yet."""
        await self._rollout.switch(deployment)
        self._rollout.publish(self._registry.catalog())

    def _read_manifest(self, function: str, text: str | None) -> Manifest | None:
        """The manifest as it was sent; None for a bare component, whose manifest is derived afresh each time."""
        if text is None:
            return None
        manifest = parse_manifest(text, self._limits)
        if manifest.name != function:
            raise InvalidManifestError(
                f"the manifest's name is {manifest.name!r}, the deploy is of {function!r}: they must agree"
            )
        return manifest

    def _runs_already(self, known: FunctionRecord, manifest: Manifest | None, sha256: str) -> bool:
        """True when the current version is made of the same bytes and an equal manifest, comments and id aside."""
        current = None if known.current is None else self._registry.version(known.func_id, known.current)
        if current is None or current.deployment.sha256 != sha256 or not Path(current.deployment.compiled).exists():
            return False
        if manifest is None or current.manifest is None:
            return manifest is None and current.manifest is None
        return replace(parse_manifest(current.manifest), func_id=None) == replace(manifest, func_id=None)

    async def _compiled_now(self, deployment: Deployment) -> Deployment:
        """The version with a compiled file that this host can run; compiles it where the cache has none."""
        component = self._directory.components / f"{deployment.sha256}.wasm"
        if not await asyncio.to_thread(component.exists):
            raise InvalidComponentError(f"the component {component} is gone; deploy {deployment.function!r} again")

        def say(stage: str) -> None:
            if stage == "compiling":
                self._log.info("compiling again", function=deployment.function, version=deployment.version)

        compiled = await self._compile(component, self._directory.compiled, self._limits, say)
        if str(compiled.path) == deployment.compiled:
            return deployment
        self._registry.commit_compiled(deployment.sha256, compiled.path)
        return replace(deployment, compiled=str(compiled.path))

    def _deployed(self, function: str) -> FunctionRecord:
        """The function that is deployed under this name."""
        record = self._registry.named(function)
        if record is None or record.current is None:
            raise UnknownFunctionError(f"no function {function!r} is deployed")
        return record

    def _record_failure(self, known: FunctionRecord | None, error: HoldfastError) -> None:
        """A function that exists shows why its latest deploy failed; one that does not exist stays unknown."""
        self._log.warning("deploy failed", function=known.name if known else None, error=f"{error.name}: {error}")
        if known is not None and known.current is not None:
            with suppress(HoldfastError):  # a registry that cannot be written is no reason to hide why
                self._registry.commit_failure(known.func_id, f"{error.name}: {error}")

    @asynccontextmanager
    async def _alone(self, function: str) -> AsyncIterator[None]:
        """One change at a time; a second one of the same function is refused."""
        if function in self._changing:
            raise DeployConflictError(f"another change of the function {function!r} is under way: try again after it")
        self._changing.add(function)
        try:
            async with self._one_at_a_time:
                yield
        finally:
            self._changing.discard(function)

    def _sweep(self) -> None:
        """Remove components and compiled files that no kept version needs."""
        needed = self._registry.files()
        for folder in (self._directory.components, self._directory.compiled):
            for entry in folder.iterdir():
                if entry.stem not in needed:
                    _discard(entry)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _take_over(upload: Path, component: Path) -> None:
    """Move an upload to its place, durably; HostUnavailableError where the disk does not let us."""
    try:
        with upload.open("rb") as file:
            os.fsync(file.fileno())
        upload.replace(component)
        sync_directory(component.parent)
    except OSError as error:
        raise HostUnavailableError(f"the component cannot be kept in {component.parent}: {error}") from error


def _discard(path: Path) -> None:
    """Remove a file or folder that nobody needs; one that is gone already is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
