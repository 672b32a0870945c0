"""The archive of a running host, put together: what the supervisor needs to know of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError, HostUnavailableError
from holdfast_host.supervisor.archive.base_maker import BaseMaker, TakeBackup
from holdfast_host.supervisor.archive.shipper import Shipper
from holdfast_host.supervisor.archive.small_files import RegistryCopies

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.logs import EventLog
    from holdfast_host.storage.archive.roots import ArchiveRoot
    from holdfast_host.supervisor.startup import HostResources

_LAST_S: Final = 5.0  # for what was committed last, when the host stops
_LOOK_S: Final = 1.0


class Archive:
    """The archive of one host; event loop's thread. Ships from `begin` to `aclose`."""

    def __init__(
        self, root: ArchiveRoot, keep_s: float, resources: HostResources, take: TakeBackup, log: EventLog
    ) -> None:
        """`take` makes a backup, of which a base is made."""
        self._root = root
        self._directory = resources.directory
        self._log = log
        self._take = take
        self._reading = asyncio.Lock()
        self._shipper = Shipper(resources.directory, root, keep_s, log, needs_base=self._copy_was_lost)
        self._copies = RegistryCopies(resources.directory, resources.registry, self._shipper.copies, log)
        self._registry = resources.registry

    def begin(self) -> None:
        """From now on; before a worker is started.

        Raises:
            OSError: the data directory cannot be written.
        """
        self._shipper.prepare()
        self._copies.take()
        self._registry.on_change = self._copies.take
        shipper = self._shipper
        shipper.start(BaseMaker(self._take, asyncio.get_running_loop(), shipper.note_base, shipper.note_base_failed))

    @property
    def complaint(self) -> str:
        """What readiness says of it; empty where all is well."""
        return self._shipper.complaint

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Say when something is wrong, how wrong, and when it is well again; until cancelled."""
        told = ""
        while True:
            await asyncio.sleep(_LOOK_S)
            if (complaint := self.complaint) != told:
                told = complaint
                on_change()

    async def measure(self) -> JsonObject:
        """For the metrics; empty where the spools cannot be read."""
        with suppress(OSError):
            return await asyncio.to_thread(self._shipper.measures)
        return {}

    async def read_instance(self, type_id: int, name: str, at_us: int) -> JsonObject:
        """What an instance had stored at a moment, as `operations.ReadArchived` says.

        Raises:
            BadRequestError: the archive does not have that moment.
            HostUnavailableError: it cannot be read.
        """
        async with self._reading:  # each makes a copy of a partition
            return await self._read_instance(type_id, name, at_us)

    async def _read_instance(self, type_id: int, name: str, at_us: int) -> JsonObject:
        scratch = self._directory.backup / f"instance-{uuid.uuid4().hex}"
        await asyncio.to_thread(scratch.mkdir)
        module = "holdfast_host.supervisor.archive.one_instance"
        words = [self._root, scratch, type_id, name.encode().hex(), at_us]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, *map(str, words), stdout=asyncio.subprocess.PIPE
        )
        said: JsonObject = {}
        try:
            text, _ = await process.communicate()
            said = json.loads(text) if process.returncode == 0 else {}
        finally:
            if process.returncode is None:
                process.kill()
            if "at" not in said:
                await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        if "error" in said:
            raise BadRequestError(f"the archive does not give back that moment: {said['error']}")
        if "at" not in said:
            raise HostUnavailableError(f"the archive could not be read: the process ended with {process.returncode}")
        return {"path": str(scratch / "keys"), "at": said["at"]}

    async def aclose(self) -> None:
        """Ship what was committed last; the workers are gone."""
        if not await asyncio.to_thread(self._shipper.stop, _LAST_S):
            self._log.warning("the archive does not have all that was committed: the next start goes on with it")

    def _copy_was_lost(self) -> bool:
        lost, self._copies.lost = self._copies.lost, False
        return lost
