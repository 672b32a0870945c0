"""Components and compiled files on disk: that what is recorded can be run, and that nothing else is kept.

Where hosts share a store, the components are there, and those on disk are copies, each fetched when it is needed first.

A component stays as it was deployed as long as some kept version needs it, packed when it runs; its compiled file can
always be made again. So that of what runs is kept, and of the others only what takes seconds to make: one file of each
code that no running version shares.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, InvalidComponentError
from holdfast_host.core.failures import disk_error, required
from holdfast_host.core.limits import Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.sandbox.components.compiled_store import DRAFT_PREFIX, KeptComponent
from holdfast_host.storage.records import SharedComponents
from holdfast_host.supervisor.deploys.compile_queue import Applicant, CompileQueue
from holdfast_host.supervisor.directory.component_files import ComponentFiles, DamagedComponentError, component_of
from holdfast_host.supervisor.directory.layout import DirectoryLayout
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.catalog import Deployment

Progress = Callable[[str], None]

_BLOCK_BYTES: Final = 512  # of `st_blocks`, whatever the disk's are


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
        self._files = ComponentFiles(directory.components)
        self._packing = asyncio.Lock()
        self._packer: asyncio.Task[None] | None = None
        self._codes: dict[str, str | None] = {}  # of compiled files that are kept, by name

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
        try:
            async with self._packing:  # another function may have the same bytes, which are packed now
                await asyncio.to_thread(self._files.take, upload, sha256)
        except OSError as error:
            folder = self._directory.components
            raise HostUnavailableError(f"the component cannot be kept in {folder}: {error}") from error
        if self._shared is not None:
            component = required(self._files.plain(sha256), "the component that was taken")
            await asyncio.to_thread(self._shared.put, sha256, component)

    async def mend(self, upload: Path, sha256: str) -> None:
        """A component that runs has been sent again: what is damaged or gone of it is as it was deployed on return.

        Raises:
            StorageFullError, HostUnavailableError: the disk or the store does not let us.
        """
        with self.bringing(sha256):
            async with self._packing:
                is_whole = await asyncio.to_thread(self._files.is_whole, sha256)
            if not is_whole:
                await self.take(upload, sha256)
            elif self._shared is not None:
                await asyncio.to_thread(self._shared.put, sha256, upload)
        self.sweep()

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
        async with (
            self._line.place(lambda: progress("queued"), applicant, first=first),
            self._unpacked(sha256) as component,
        ):
            return await self._compile_component(component, self._directory.compiled, self._limits, progress)

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
            async with self._packing:
                is_here = await asyncio.to_thread(self._is_here, deployment.sha256)
            if not is_here:
                component = self._directory.components / f"{deployment.sha256}.wasm"
                raise InvalidComponentError(f"the component {component} is gone; deploy {deployment.function!r} again")
            compiled = await self.compile(deployment.sha256, say)
            if str(compiled.path) == deployment.compiled:
                return deployment
            self._registry.commit_compiled(deployment.sha256, compiled.path)
        return replace(deployment, compiled=str(compiled.path))

    def bytes_of(self, deployment: Deployment) -> int:
        """What a version takes on disk: its component and what was compiled from it. Equal versions share both."""
        component = self._files.find(deployment.sha256)
        kept = (Path(deployment.compiled), *([component] if component else []))
        return sum(_size(path) for path in kept)

    async def restore(self, *, doubt: bool = False) -> None:
        """See that all that is deployed lies compiled for this host; compile what does not.

        A function that cannot be compiled any more stays out of the catalog until it is deployed again.
        """
        await asyncio.gather(*(self._restore(each, doubt=doubt) for each in self._registry.current()))

    def sweep(self) -> None:
        """Remove what no kept version needs and nobody brings; what is left is packed, soon.

        A compiled file that no running version has goes where another one of the same code is kept: from that it is
        made again in less than a second.
        """
        components = {each.component for each in self._registry.files()} | self._brought.keys()
        compiled = self._compiled_needed()
        for sha256 in self._brought:
            compiled.add(KeptComponent.at(self._directory.compiled, sha256).compiled.stem)
        for entry in self._directory.components.iterdir():
            if component_of(entry) not in components:
                discard(entry)
        for entry in self._directory.compiled.iterdir():
            if entry.stem not in compiled and not (self._brought and entry.name.startswith(DRAFT_PREFIX)):
                discard(entry)
        if self._packer is None or self._packer.done():
            self._packer = asyncio.get_running_loop().create_task(self._pack())

    def _compiled_needed(self) -> set[str]:
        """The names of the compiled files that are worth their room."""
        kept = self._registry.files()
        needed = {each.compiled for each in kept if each.is_current}
        codes = {self._code(each) for each in needed}
        for each in kept:
            code = self._code(each.compiled)
            if code is None or code not in codes:
                needed.add(each.compiled)
                codes.add(code)
        return needed

    def _code(self, compiled: str) -> str | None:
        """Of which code a compiled file is; None where no other can be made of it, or it is gone."""
        if compiled not in self._codes:
            place = self._directory.compiled / f"{compiled}.cwasm"
            if not place.exists():
                return None
            self._codes[compiled] = KeptComponent(place, place.with_suffix(".json")).code()
        return self._codes[compiled]

    async def _pack(self) -> None:
        """Pack the components of versions, one after the other, but for those that somebody brings."""
        for sha256 in {each.component for each in self._registry.files()}:
            async with self._packing:
                if sha256 not in self._brought:
                    try:
                        await asyncio.to_thread(self._files.pack, sha256)
                    except OSError as error:
                        self._log.warning("a component stays unpacked", component=sha256, error=str(error))

    @asynccontextmanager
    async def _unpacked(self, sha256: str) -> AsyncIterator[Path]:
        """A component as it was deployed, while its compiler reads it; nobody packs it, for it is brought."""
        draft = self._directory.uploads / f"unpacked-{uuid4().hex}" / f"{sha256}.wasm"
        try:
            async with self._packing:
                plain = self._files.plain(sha256)
                if plain is None:
                    await asyncio.to_thread(self._unpack, sha256, draft)
            yield plain or draft
        finally:
            await asyncio.to_thread(shutil.rmtree, draft.parent, ignore_errors=True)

    def _unpack(self, sha256: str, draft: Path) -> None:
        draft.parent.mkdir(mode=0o700)
        try:
            self._files.unpack(sha256, draft)
        except DamagedComponentError as error:
            raise InvalidComponentError(f"{error}; deploy it again") from error
        except OSError as error:
            raise HostUnavailableError(f"the component cannot be unpacked into {draft.parent}: {error}") from error

    async def _restore(self, deployment: Deployment, *, doubt: bool) -> None:
        """See that one version can be run."""
        try:
            await self.ready(deployment, doubt=doubt)
        except HoldfastError as error:
            self._log.error("a deployed function cannot be compiled", function=deployment.function, error=error)
            with suppress(HoldfastError):  # the disk may be full, and all others can run
                self._registry.commit_failure(deployment.func_id, f"{error.name}: {error}")
            discard(Path(deployment.compiled))  # what does not vouch for itself is not loaded

    def _is_here(self, sha256: str) -> bool:
        """Whether a component is in the directory; it is brought there from where hosts share them."""
        is_here = self._files.find(sha256) is not None
        if is_here or self._shared is None:
            return is_here
        draft = self._directory.uploads / f"{sha256}.fetched"
        folder = self._directory.components
        try:
            if not self._shared.fetch(sha256, draft):
                return False
            self._files.take(draft, sha256)
        except OSError as error:
            raise disk_error(error, f"the component cannot be kept in {folder}", "it does not run") from error
        finally:
            draft.unlink(missing_ok=True)
        return True

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
        return path.stat().st_blocks * _BLOCK_BYTES  # zeros that a compiled file leaves out take none
    except OSError:
        return 0  # gone: made again when it is needed
