"""/v1/changes: what was committed, in order, from the archive, as JSON lines.

Who follows is told when the archive has it, half a second behind the commit. The archive is read by threads of the
front; without `--archive` its reader is never loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from aiohttp import web

from holdfast_host.core.errors import BadRequestError, HostUnavailableError, UnknownRouteError
from holdfast_host.core.tenants import name_of, tenant_of
from holdfast_host.front.access.rules import look
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import LineStream
from holdfast_host.front.http.paths import TRUTH, read_number, read_parameters
from holdfast_host.front.http.server import Exchange

if TYPE_CHECKING:
    from holdfast_host.storage.archive.changes import ChangeReader

FOLLOW_PAUSE_S: Final = 0.25  # then it is seen whether the token still holds
_LIMIT_MAX: Final = 10**15
_T = TypeVar("_T")


class ChangeRoutes:
    """The handler. One per front."""

    def __init__(self, archive: str) -> None:
        """`archive`: its folder, or its address in a bucket; empty where there is none."""
        self._archive = archive

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/changes", GET=look(self._changes))]

    async def _changes(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        asked = read_parameters(query, "type", "after", "limit", "follow")
        left = read_number(asked, "limit", 1, _LIMIT_MAX) or _LIMIT_MAX
        follow = TRUTH.get(asked.get("follow", "false").lower())
        if follow is None:
            raise BadRequestError(f"the parameter follow is {asked['follow'][:40]!r}: write true or false")
        if not self._archive:
            raise UnknownRouteError("this host keeps no archive, from which changes are read: start it with --archive")
        types, asked_type = exchange.caller.types, asked.get("type")

        def is_wanted(key: str) -> bool:
            if key.startswith("#"):  # of which nobody knows whose it is
                return exchange.whole_host and (asked_type in {None, key}) and (types is None or key in types)
            name = name_of(key)
            mine = tenant_of(key) == exchange.tenant
            return mine and (asked_type is None or name == asked_type) and (types is None or name in types)

        reader, begins = await asyncio.to_thread(_open, self._archive, asked.get("after"), is_wanted)
        lines = await asyncio.to_thread(_read, reader)  # a refusal still gets its own head
        stream = LineStream(exchange)
        await stream.open()
        for position in begins:
            await stream.write({"position": position})
        while left and (lines or follow or not reader.at_end):
            for line in lines[:left]:
                await stream.send(msgspec.json.encode(_shown(line)) + b"\n")
            left -= min(left, len(lines))
            waits = reader.at_end and not lines
            if exchange.server.draining or exchange.caller.ended or (exchange.half_closed and waits):
                break
            if waits:
                await asyncio.sleep(FOLLOW_PAUSE_S)
            lines = await asyncio.to_thread(_read, reader) if left else []
        await stream.aclose()
        return stream.response


def _shown(line: dict[str, Any]) -> dict[str, Any]:
    """A line with the type as its tenant knows it."""
    return {**line, "type": name_of(line["type"])} if "type" in line else line


def _open(archive: str, after: str | None, is_wanted: Any) -> tuple[ChangeReader, list[str]]:
    """The reader; and the position that it begins at, where the caller does not know it."""
    from holdfast_host.storage.archive.changes import ChangeReader, Position
    from holdfast_host.storage.archive.roots import archive_root

    root = archive_root(archive)
    if after is None:
        return ChangeReader(root, None, is_wanted), []
    if after == "now":
        now = _said(lambda: Position.now(root))
        return ChangeReader(root, now, is_wanted), [str(now)]
    position = Position.read(after)
    if position is None:
        raise BadRequestError(f"the parameter after is {after[:40]!r}: send back the position of a line, or write now")
    return ChangeReader(root, position, is_wanted), []


def _read(reader: ChangeReader) -> list[dict[str, Any]]:
    return _said(reader.read_some)


def _said(ask: Callable[[], _T]) -> _T:
    """What the archive says; its refusals as callers read them."""
    from holdfast_host.storage.archive.changes import PositionGoneError
    from holdfast_host.storage.archive.frames import ArchiveError

    try:
        return ask()
    except PositionGoneError as error:  # it will not pass, so nobody is to try it again
        raise BadRequestError(f"the archive cannot go on there: {error}") from error
    except ArchiveError as error:
        raise HostUnavailableError(f"the archive cannot be read: {error}") from error
    except OSError as error:
        raise HostUnavailableError(f"the archive cannot be read: {error.strerror}") from error
