"""POST /v1/backup: a backup of the running host, as a tar archive that comes while it is made."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.backup_file import CHECKSUMS, END, FAILED, member_head, padding
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.limits import MIB
from holdfast_host.front.access.rules import change, of_host
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import ByteStream
from holdfast_host.front.http.paths import read_flags
from holdfast_host.wire.control.operations import TakeBackup

if TYPE_CHECKING:
    from aiohttp import web

    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.front.control import ControlChannel
    from holdfast_host.front.http.server import Exchange

_PIECE_BYTES: Final = MIB  # one trip to a thread for so much
_TAR: Final = "application/x-tar"


class BackupRoutes:
    """The handler. One per front."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/backup", POST=of_host(change("takeBackup", self._take)))]

    async def _take(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        with_key = read_flags(query, "with_key")["with_key"]
        files: asyncio.Queue[JsonObject | None] = asyncio.Queue()
        hung_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = asyncio.create_task(
            self._control.request(TakeBackup(with_key), lambda text: files.put_nowait(json.loads(text)), hung_up)
        )
        asked.add_done_callback(lambda _: files.put_nowait(None))
        try:
            first = await files.get()
            if first is None:
                await asked  # a refusal still gets its own head
            stream = ByteStream(exchange, _TAR)
            await stream.open()
            await _pass_on(stream, first, files, asked)
            await stream.aclose()
            return stream.response
        finally:
            if not hung_up.done():
                hung_up.set_result(None)
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody waits for it any more


async def _pass_on(
    stream: ByteStream, file: JsonObject | None, files: asyncio.Queue[JsonObject | None], asked: asyncio.Task[Any]
) -> None:
    """Each file when it is there, and then what they must be."""
    checksums: JsonObject = {}
    try:
        while file is not None:
            name, size_bytes, digest = str(file["name"]), int(file["size"]), hashlib.sha256()
            await stream.send(member_head(name, size_bytes))
            async for piece in _pieces(Path(file["path"]), size_bytes):
                digest.update(piece)
                await stream.send(piece)
            await stream.send(padding(size_bytes))
            checksums[name] = [size_bytes, digest.hexdigest()]
            file = await files.get()
        await asked
        last, facts = CHECKSUMS, checksums
    except HoldfastError as error:
        last, facts = FAILED, {"error": {"name": error.name, "message": error.message}}
    text = json.dumps(facts).encode()
    await stream.send(member_head(last, len(text)) + text + padding(len(text)) + END)


async def _pieces(path: Path, size_bytes: int) -> AsyncIterator[bytes]:
    """Its bytes, just as many as it had; it is gone afterwards."""
    try:
        with path.open("rb") as file:
            left = size_bytes
            while left:
                piece = await asyncio.to_thread(file.read, min(_PIECE_BYTES, left))
                left -= len(piece) or left  # that was all of a file that somebody cut short: its checksum will not do
                yield piece
        await asyncio.to_thread(path.unlink)
    except OSError as error:
        raise disk_error(error, f"{path.name} cannot be read", "the backup is not whole") from error
