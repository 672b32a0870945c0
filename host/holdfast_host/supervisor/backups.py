"""Backups of the running host: everything as of one moment, file by file, for a front to pass on.

For a few milliseconds no worker commits; in that moment each begins a snapshot of its partitions, and the registry is
copied. Then all go on, and the partitions are copied from the snapshots, one after the other. A file lies below
`data/backup` until the front has taken it away; components are only linked there, or unpacked after that moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast_host import __version__
from holdfast_host.core.backup_file import FORMAT, HEAD
from holdfast_host.core.errors import BadRequestError, HoldfastError, HostUnavailableError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.limits import MIB
from holdfast_host.storage.data_directory import MARKER, partition_path
from holdfast_host.supervisor.directory.component_files import PACKED, PLAIN, DamagedComponentError, pieces_of
from holdfast_host.supervisor.registry.registry import now_us
from holdfast_host.wire.control.backup_orders import CopyPartition, HoldCommits, ReleaseCommits
from holdfast_host.wire.control.protocol import Done

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.processes.supervision import SupervisedProcess
    from holdfast_host.supervisor.startup import HostResources
    from holdfast_host.wire.control.messages import Question

HOLD_ANSWER_S: Final = 10.0
_TAKEN_LOOK_S: Final = 0.05
_LEFT_MAX: Final = 2  # files that lie there and were not taken away yet
TAKE_S: Final = 60.0  # for each of them, and so much longer as it is larger:
TAKE_BYTES_S: Final = MIB

OnFile = Callable[[str], None]


class Backups:
    """The backups of one host, one at a time; event loop's thread only."""

    def __init__(self, resources: HostResources, workers: Sequence[SupervisedProcess], log: EventLog) -> None:
        self._resources = resources
        self._workers = workers
        self._log = log
        self._under_way = False

    async def take(self, *, with_key: bool, on_file: OnFile, gone: asyncio.Event, archived: bool = False) -> JsonObject:
        """Make one; returns when all of it has been taken away.

        Args:
            with_key: the key of the secrets goes along.
            on_file: told of each file when it is there, as `operations.TakeBackup` says.
            gone: set when nobody wants it any more.
            archived: what is committed after it goes into new files of the archive's spools.

        Raises:
            BadRequestError: what instances store is not in the data directory.
            HostUnavailableError: another one is under way, or a worker is not up, does not stop, or ended.
            StorageFullError: there is no room for the copies.
        """
        if self._resources.central_store is not None:
            raise BadRequestError(
                "all that this host keeps is on PostgreSQL: back it up with its own tools (pg_basebackup, pgBackRest, "
                "barman, snapshots of the provider), and keep a copy of the key file of the secrets elsewhere; a dump "
                "is a backup too, but hot keys slow down while it runs, so take it from a standby"
            )
        if self._under_way:
            raise HostUnavailableError("another backup is under way: wait until it has ended")
        self._under_way = True
        folder = self._resources.directory.backup / f"{now_us()}"
        try:
            await asyncio.to_thread(folder.mkdir)
            files = _Files(folder, on_file, gone)
            await self._cut(files, with_key, archived=archived)
            for number in range(self._resources.directory.partitions):
                await self._copy(number, files)
            await files.until_taken(0)
        except OSError as error:
            raise disk_error(error, "the backup cannot be written", "there is no backup") from error
        finally:
            await asyncio.shield(self._end(folder))
        self._log.info("a backup was taken", partitions=self._resources.directory.partitions)
        return {}

    async def _end(self, folder: Path) -> None:
        """Let go of all that it held; only then the next one may begin."""
        try:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._ask_all(ReleaseCommits(keep=False), quiet=True)
        finally:
            self._under_way = False

    async def _cut(self, files: _Files, with_key: bool, *, archived: bool) -> None:
        """The moment: nothing is committed from the last worker's answer to the first release."""
        keep = False
        try:
            async with asyncio.timeout(HOLD_ANSWER_S):
                await self._ask_all(HoldCommits(archived=archived))
            self._copy_small(files, with_key)
            keep = True
        except TimeoutError:
            raise HostUnavailableError(
                "a worker did not stop committing in time: is its disk slow? try again"
            ) from None
        finally:
            await self._ask_all(ReleaseCommits(keep=keep), quiet=not keep)
        for name in files.small:
            if name in files.packed:
                await asyncio.to_thread(files.unpack, name)
            files.tell(name)

    def _copy_small(self, files: _Files, with_key: bool) -> None:
        """What the supervisor itself keeps; a few milliseconds."""
        directory, registry = self._resources.directory, self._resources.registry
        facts = {
            "format": FORMAT,
            "holdfast": __version__,
            "created_us": now_us(),
            "partitions": directory.partitions,
            "with_key": with_key,
        }
        files.path(HEAD).write_text(json.dumps(facts))
        files.small.append(HEAD)
        files.add(MARKER, directory.root / MARKER)
        registry.copy(files.path(f"registry/{directory.registry.name}"))
        files.small.append(f"registry/{directory.registry.name}")
        for path in sorted(directory.registry.parent.glob("*.json")):
            files.add(f"registry/{path.name}", path)
        for name in ("sealed.json", *(("key",) if with_key else ())):
            if (directory.secrets / name).exists():
                files.add(f"secrets/{name}", directory.secrets / name)
        for sha256 in sorted({each.sha256 for each in registry.kept()}):
            files.add_component(sha256, directory.components)

    async def _copy(self, partition: int, files: _Files) -> None:
        """One partition, when what was copied before has been taken away but for a file or two."""
        if not await asyncio.to_thread(partition_path(self._resources.directory.root, partition).exists):
            return  # nothing was ever deployed
        await files.until_taken(_LEFT_MAX)
        name = f"parts/{partition:02d}/data.mdb"
        [owner] = [
            number for number in range(len(self._workers)) if partition in self._resources.routes.partitions_of(number)
        ]
        await self._ask(self._workers[owner], CopyPartition(partition=partition, path=str(files.path(name))))
        files.tell(name)

    async def _ask_all(self, question: Question, *, quiet: bool = False) -> None:
        """Of every worker; `quiet`: one that is gone or refuses is as good."""
        found = await asyncio.gather(*(self._ask(each, question) for each in self._workers), return_exceptions=quiet)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, HoldfastError):
                raise each

    async def _ask(self, worker: SupervisedProcess, question: Question) -> None:
        child = worker.child
        if not worker.up or child is None:
            raise HostUnavailableError(f"{worker.label} is not up: try again when the host is ready")
        await child.ask(question, Done)


class _Files:
    """What lies there of one backup."""

    def __init__(self, folder: Path, on_file: OnFile, gone: asyncio.Event) -> None:
        self._folder = folder
        self._on_file = on_file
        self._gone = gone
        self._told: dict[Path, int] = {}  # with their bytes
        self._moved_at = time.monotonic()  # when one of them was taken away last, or came where there was none
        self.small: list[str] = []
        self.packed: dict[str, Path] = {}  # components, with what each is to be unpacked from

    def path(self, name: str) -> Path:
        """Where a file is made."""
        return self._folder / name.replace("/", "-")

    def add(self, name: str, source: Path) -> None:
        """One that is never written in place: another name for it is enough."""
        os.link(source, self.path(name))
        self.small.append(name)

    def add_component(self, sha256: str, folder: Path) -> None:
        """A component, where it is there. What is packed is only held here: to unpack it takes longer than a moment."""
        name = f"components/{sha256}{PLAIN}"
        for suffix in (PLAIN, PACKED):  # in this order: a packed one is there before the other goes
            packed = suffix == PACKED
            place = self.path(f"{name}.packed{PACKED}" if packed else name)
            with suppress(FileNotFoundError):
                os.link(folder / f"{sha256}{suffix}", place)
                self.small.append(name)
                if packed:
                    self.packed[name] = place
                return

    def unpack(self, name: str) -> None:
        """Make the file of a component that is packed; one that is damaged is there as far as it can be read."""
        packed = self.packed.pop(name)
        with self.path(name).open("wb") as file, suppress(DamagedComponentError):
            file.writelines(pieces_of(packed))
        packed.unlink()

    def tell(self, name: str) -> None:
        """It is there."""
        path = self.path(name)
        size = path.stat().st_size
        if not self._told:
            self._moved_at = time.monotonic()
        self._told[path] = size
        self._on_file(json.dumps({"name": name, "path": str(path), "size": size}))

    async def until_taken(self, left_max: int) -> None:
        """Return when all but so many have been taken away.

        Raises:
            HostUnavailableError: whoever asked for them is gone, or takes too long: what is still to be copied keeps
                the pages of that moment, and the files of the partitions grow meanwhile.
        """
        while True:
            if self._gone.is_set():
                raise HostUnavailableError("nobody waits for the backup any more")
            left = {path: size for path, size in self._told.items() if path.exists()}
            if len(left) < len(self._told):
                self._told, self._moved_at = left, time.monotonic()
            if len(left) <= left_max:
                return
            longest_s = TAKE_S + next(iter(left.values())) / TAKE_BYTES_S
            if time.monotonic() - self._moved_at > longest_s:
                raise HostUnavailableError(
                    f"the backup is taken too slowly: {longest_s:.0f} s were not enough for one of its files, and what "
                    "it keeps of the past makes the others grow: store it nearer to the host"
                )
            await asyncio.sleep(_TAKEN_LOOK_S)
