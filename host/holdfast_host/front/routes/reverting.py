"""/v1/instances/{type}/{name}/revert: one instance's keys as they were at a moment, as a turn of its own.

What they were, the supervisor has read from the archive and put into a file; the instance's worker compares it with
what is stored, in a turn of the instance, and writes what differs.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import BadRequestError, HoldfastError
from holdfast_host.front.access.rules import change
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import Answer, json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.routes.instances import Found, InstanceRoutes, OneInstance
from holdfast_host.wire.control.operations import ReadArchived

if TYPE_CHECKING:
    from aiohttp import web

    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.front.control import ControlChannel
    from holdfast_host.front.http.server import Exchange

_BODY_BYTES_MAX: Final = 1024
_SECONDS_MAX: Final = 1e11  # the year 5138: what is more are milliseconds
_OK: Final = 200


class RevertRoutes:
    """The handler. One per front."""

    def __init__(self, instances: InstanceRoutes, control: ControlChannel) -> None:
        self._instances = instances
        self._control = control
        self._removing: set[asyncio.Future[None]] = set()

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/instances/{}/{}/revert", POST=change("revertInstance", self._revert))]

    async def _revert(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self._instances, exchange, found)
        facts = await read_object(exchange, _BODY_BYTES_MAX)
        if facts.keys() != {"at"}:
            raise BadRequestError('an instance is reverted to a moment: send {"at": ...}, and nothing else')
        asked = ReadArchived(instance.type_id, instance.name, read_moment(facts["at"]))
        reading = asyncio.ensure_future(self._control.request(asked))
        try:
            archived = await asyncio.shield(reading)
            status, body = await instance.edited(b"revert", [archived["path"]])
        finally:
            removing = asyncio.ensure_future(_remove(reading))
            self._removing.add(removing)
            removing.add_done_callback(self._removing.discard)
            if reading.done():  # else whoever asked has gone, and nothing waits for the archive
                await asyncio.shield(removing)
        if status != _OK:
            return Answer(status, body)
        return json_answer({"at": archived["at"], **json.loads(body)})


async def _remove(reading: asyncio.Future[JsonObject]) -> None:
    """Remove what was read once it is there, also where whoever asked has gone meanwhile."""
    with suppress(HoldfastError):
        path = Path(str((await reading)["path"]))
        await asyncio.to_thread(shutil.rmtree, path.parent, ignore_errors=True)


def read_moment(at: Any) -> int:
    """A time as callers write it, in microseconds.

    Raises:
        BadRequestError: neither seconds since 1970 nor a date and time with an offset.
    """
    if isinstance(at, str):
        try:
            when = datetime.fromisoformat(at)
        except ValueError:
            when = None
        if when is not None and when.utcoffset() is not None and when.timestamp() < _SECONDS_MAX:
            return max(0, round(when.timestamp() * 1e6))
    elif isinstance(at, (int, float)) and not isinstance(at, bool) and 0 <= at < _SECONDS_MAX:
        return round(at * 1e6)
    raise BadRequestError(
        f"'at' is {at!r:.60}: write a date and time with an offset, as 2026-12-01T12:30:00+00:00, or seconds since 1970"
    )
