"""Components and compiled files on disk: that what is recorded can be run, and that nothing else is kept.

Where hosts share a store, the components are there, and those on disk are copies, each fetched when it is needed first.

A component stays as it was deployed as long as some kept version needs it; its compiled file can always be made again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from holdfast_host.core.durable_files import move_durably
from holdfast_host.core.errors import HoldfastError, HostUnavailableError, InvalidComponentError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.sandbox.components.compiled_store import DRAFT_PREFIX, KeptComponent
from holdfast_host.storage.records import SharedComponents
from holdfast_host.supervisor.deploys.compile_queue import Applicant, CompileQueue
from holdfast_host.supervisor.directory.layout import DirectoryLayout
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.catalog import Deployment

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


class ComponentStore:
    """The components of one host; used by the event loop's thread."""

    def __init__(
        self,
        directory: DirectoryLayout,
        registry: Registry,
        compile_component: Compile,
        limits: Limits,
        log: EventLog,
        shared: SharedComponents | None = None,
    ) -> None:
        """`shared` is where hosts that share a registry have them, too."""
        self._shared = shared
        self._directory = directory
        self._registry = registry
        self._compile_component = compile_component
        self._limits = limits
        self._log = log
        self._line = CompileQueue(limits)
        self._brought: Counter[str] = Counter()  # components that are not recorded yet, by hash

    @property
    def waiting(self) -> int:
        """How many components wait to be compiled."""
        return self._line.waiting

    @contextmanager
    def bringing(self, sha256: str) -> Iterator[None]:
        """While a component is on its way to be recorded, it is not swept."""
        self._brought[sha256] += 1
        try:
            yield
        finally:
            self._brought[sha256] -= 1
            self._brought += Counter()  # forgets what nobody brings any more

    async def take(self, upload: Path, sha256: str) -> None:
        """Make an upload ours, durably; and where hosts share them, theirs.

        Raises:
            StorageFullError, HostUnavailableError: the disk or the store does not let us.
        """
        component = self._component(sha256)
        await asyncio.to_thread(_take_over, upload, component)
        if self._shared is not None:
            await asyncio.to_thread(self._shared.put, sha256, component)

    async def compile(
        self, sha256: str, progress: Progress, applicant: Applicant | None = None, *, first: bool = False
    ) -> Compiled:
        """Compile a component that is kept, and try it once; or find that this has been done.

        COMPILES_MAX at once; others wait in line. `applicant` and `first` say where in it, see CompileLine.

        Raises:
            InvalidComponentError: it cannot run here.
            DeployQueueFullError: too many wait already.
            HostUnavailableError: compiling failed for another reason, or whoever asked for it has gone.
        """
        async with self._line.place(lambda: progress("queued"), applicant, first=first):
            return await self._compile_component(
                self._component(sha256), self._directory.compiled, self._limits, progress
            )

    async def ready(self, deployment: Deployment, *, doubt: bool = False) -> Deployment:
        """The version with a compiled file that this host can run; compiles it where there is none.

        A file that has the size and time that it was written with is taken as it is.

        Args:
            deployment: a recorded version.
            doubt: read the whole file (some 50 ms), and compile again what is not what was written.

        Raises:
            HoldfastError: it cannot be made.
        """
        if not doubt and await asyncio.to_thread(self._looks_unchanged, deployment):
            return deployment

        def say(stage: str) -> None:
            if stage == "cache damaged":
                self._log.error("a compiled file is damaged", file=deployment.compiled, function=deployment.function)
            if stage in {"compiling", "reusing"}:
                self._log.info("compiling again", function=deployment.function, version=deployment.version)

        with self.bringing(deployment.sha256):
            if not await asyncio.to_thread(self._is_here, deployment.sha256):
                component = self._component(deployment.sha256)
                raise InvalidComponentError(f"the component {component} is gone; deploy {deployment.function!r} again")
            compiled = await self.compile(deployment.sha256, say)
            if str(compiled.path) == deployment.compiled:
                return deployment
            self._registry.commit_compiled(deployment.sha256, compiled.path)
        return replace(deployment, compiled=str(compiled.path))

    def bytes_of(self, deployment: Deployment) -> int:
        """What a version takes on disk: its component and what was compiled from it. Equal versions share both."""
        kept = (self._component(deployment.sha256), Path(deployment.compiled))
        return sum(_size(path) for path in kept)

    async def restore(self, *, doubt: bool = False) -> None:
        """See that all that is deployed lies compiled for this host; compile what does not.

        A function that cannot be compiled any more stays out of the catalog until it is deployed again.
        """
        await asyncio.gather(*(self._restore(each, doubt=doubt) for each in self._registry.current()))

    def sweep(self) -> None:
        """Remove components and compiled files that no kept version needs and that nobody brings."""
        needed = self._registry.files()
        for sha256 in self._brought:
            needed |= {sha256, KeptComponent.at(self._directory.compiled, sha256).compiled.stem}
        for folder in (self._directory.components, self._directory.compiled):
            for entry in folder.iterdir():
                if entry.stem not in needed and not (self._brought and entry.name.startswith(DRAFT_PREFIX)):
                    discard(entry)

    async def _restore(self, deployment: Deployment, *, doubt: bool) -> None:
        """See that one version can be run."""
        try:
            await self.ready(deployment, doubt=doubt)
        except HoldfastError as error:
            self._log.error("a deployed function cannot be compiled", function=deployment.function, error=error)
            self._registry.commit_failure(deployment.func_id, f"{error.name}: {error}")
            discard(Path(deployment.compiled))  # what does not vouch for itself is not loaded

    def _is_here(self, sha256: str) -> bool:
        """Whether a component is in the directory; it is brought there from where hosts share them."""
        component = self._component(sha256)
        if component.exists() or self._shared is None:
            return component.exists()
        draft = self._directory.uploads / f"{sha256}.fetched"
        try:
            if not self._shared.fetch(sha256, draft):
                return False
            _take_over(draft, component)
        except OSError as error:
            raise disk_error(error, f"the component cannot be kept in {component.parent}", "it does not run") from error
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _component(self, sha256: str) -> Path:
        return self._directory.components / f"{sha256}.wasm"

    def _looks_unchanged(self, deployment: Deployment) -> bool:
        kept = KeptComponent.at(self._directory.compiled, deployment.sha256)
        return str(kept.compiled) == deployment.compiled and kept.looks_unchanged()


def discard(path: Path) -> None:
    """Remove a file or folder that nobody needs; one that is gone already is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # gone: made again when it is needed


def _take_over(upload: Path, component: Path) -> None:
    """Move an upload to its place, durably; HostUnavailableError where the disk does not let us."""
    try:
        move_durably(upload, component)
    except OSError as error:
        raise HostUnavailableError(f"the component cannot be kept in {component.parent}: {error}") from error
