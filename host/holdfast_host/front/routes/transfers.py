"""Exports of an instance or of a type, imports, and clones, which are both at once.

An export is read from one snapshot, step by step, and sent as it is read. An import goes to its instance piece by piece
and lies beside it; then one turn makes the instance what was imported. Neither is ever in memory whole.

What the lines say is in `transfer_lines`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import (
    BadRequestError,
    HoldfastError,
    HostUnavailableError,
    InstanceExistsError,
    UnknownInstanceError,
)
from holdfast_host.core.limits import KIB
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import LineStream, json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.http.content_encoding import coding_of
from holdfast_host.front.http.paths import decode_segment, read_flags, read_parameters
from holdfast_host.front.routes.instances import OneInstance, reading, wants_typed
from holdfast_host.front.routes.transfer_lines import ExportLines, ImportLines, Row, head_line

if TYPE_CHECKING:
    from aiohttp import web

    from holdfast_host.core.limits import Limits
    from holdfast_host.front.http.server import Exchange
    from holdfast_host.front.routes.instances import Found, InstanceRoutes
    from holdfast_host.front.worker_link import WorkerLink

_PIECE_BYTES: Final = 128 * KIB  # of keys and values, for one turn of an import
_BODY_BYTES_MAX: Final = 4 * KIB


class TransferRoutes:
    """The handlers. One per front."""

    def __init__(self, instances: InstanceRoutes, links: list[WorkerLink], limits: Limits) -> None:
        self._instances = instances
        self._links = links
        self._limits = limits

    def routes(self) -> list[Route]:
        """For the App."""
        one = "/v1/instances/{}/{}"
        return [
            Route.of(f"{one}/export", GET=look(self._export)),
            Route.of(f"{one}/import", POST=change("importInstance", self._import)),
            Route.of(f"{one}/clone", POST=change("cloneInstance", self._clone)),
            Route.of("/v1/export/{}", GET=look(self._export_type)),
        ]

    async def _export(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        read_parameters(query)
        instance = OneInstance(self._instances, exchange, found)
        lines = ExportLines(self._limits, of_type=False, typed=True)
        async with aclosing(_rows([instance.link], instance.type_id, instance.name)) as rows:
            first = await _first(rows, instance)
            head = head_line(instance.type, instance.name, utc_text(time.time_ns() // 1000))
            return await _send(exchange, lines, head, first, rows)

    async def _export_type(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        asked = read_parameters(query, "prefix")
        type_id = self._instances.type_id(exchange, decode_segment(found[0]))
        lines = ExportLines(self._limits, of_type=True, typed=wants_typed(exchange))
        async with aclosing(_rows(self._links, type_id, None, asked.get("prefix", ""))) as rows:
            return await _send(exchange, lines, "", await anext(rows, []), rows)

    async def _import(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        replaces = read_flags(query, "replace")["replace"]
        instance = OneInstance(self._instances, exchange, found)
        coding_of(exchange.headers, known=frozenset())
        exchange.expect_body()
        lines = ImportLines(instance.type, self._limits)
        async with _begun(instance, replaces=replaces) as import_:
            with exchange.server.timeouts.receive() as coming:
                while came := await coming.next(exchange.content.readany()):
                    coming.count(len(came))
                    await import_.add(await asyncio.to_thread(lines.feed, came))
            await import_.add(lines.finish())
            return await import_.adopt(exchange, lines.alarm, lines.runs, lines.left_out)

    async def _clone(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        read_parameters(query)
        instance = OneInstance(self._instances, exchange, found)
        asked = await read_object(exchange, _BODY_BYTES_MAX)
        name, replaces = asked.get("name"), asked.get("replace", False)
        if not isinstance(name, str) or not isinstance(replaces, bool) or asked.keys() - {"name", "replace"}:
            raise BadRequestError('the body is {"name": NEW}, and "replace": true where NEW may have something stored')
        if name == instance.name:
            raise BadRequestError(f"{instance.label} cannot be a clone of itself: give another name")
        clone = OneInstance(self._instances, exchange, (found[0], quote(name, safe="", errors="surrogatepass")))
        lines = ImportLines(instance.type, self._limits)
        async with (
            aclosing(_rows([instance.link], instance.type_id, instance.name)) as rows,
            _begun(clone, replaces=replaces) as import_,
        ):
            page = await _first(rows, instance)
            while page:
                await import_.add([(row[1], row[2]) for row in page if row[0] == "key"])
                for kind, facts in (row for row in page if row[0] in {"alarm", "job"}):
                    lines.take(kind, facts)
                page = await anext(rows, [])
            return await import_.adopt(exchange, lines.alarm, lines.runs, lines.left_out)


class _Import:
    """An import that is under way. Lives for its request."""

    def __init__(self, instance: OneInstance, import_id: str, *, replaces: bool) -> None:
        self._instance = instance
        self._id = import_id
        self._replaces = replaces
        self._piece: list[tuple[str, str]] = []
        self._piece_bytes = 0
        self._keys = self._bytes = 0

    async def add(self, rows: list[tuple[str, str]]) -> None:
        """Have these keys and encoded values lie beside the instance; some wait for the next piece."""
        for key, encoded in rows:
            size = len(key.encode()) + len(encoded.encode())
            self._piece.append((key, encoded))
            self._piece_bytes += size
            self._bytes += size
            self._keys += 1
            if self._piece_bytes >= _PIECE_BYTES:
                await self._flush()

    async def adopt(
        self, exchange: Exchange, alarm: dict[str, Any] | None, runs: list[dict[str, Any]], left_out: int
    ) -> web.StreamResponse:
        """Make the instance what was imported; the answer."""
        await self._flush()
        await _edit(self._instance, b"adopt", [self._id, self._keys, self._replaces, alarm, runs])
        done = {"keys": self._keys, "bytes": self._bytes, "alarm": alarm is not None, "jobs": len(runs)}
        exchange.details = done
        instance = self._instance
        return json_answer({"type": instance.type, "name": instance.name, **done, "jobs_left_out": left_out})

    async def _flush(self) -> None:
        piece, self._piece, self._piece_bytes = self._piece, [], 0
        if piece:
            await _edit(self._instance, b"stage", [self._id, piece])


@asynccontextmanager
async def _begun(instance: OneInstance, *, replaces: bool) -> AsyncIterator[_Import]:
    """An import; what becomes of what it has brought, where the instance has not adopted it, is seen to."""
    answer = await instance.read("begin_import")
    try:
        if answer["there"] and not replaces:
            raise InstanceExistsError(f"{instance.label} has something stored: name another one, or have it replaced")
        yield _Import(instance, answer["import"], replaces=replaces)
    finally:
        await _end(instance.read("end_import", **{"import": answer["import"]}))


async def _rows(
    links: list[WorkerLink], type_id: int, name: str | None, prefix: str = ""
) -> AsyncGenerator[list[Row], None]:
    """The rows of an export, page by page: from snapshots that all these workers take before the first one is read."""
    asked = {"read": "begin_export", "type_id": type_id, "name": name, "prefix": prefix}
    begun: dict[WorkerLink, str] = {}
    try:
        for link in links:
            begun[link] = (await link.read(asked))["export"]
        left = [*begun.items()]
        while left:
            for source in [*left]:  # in turn, so that none of them waits for too long
                link, export_id = source
                rows = (await link.read({"read": "export", "export": export_id}))["rows"]
                if rows:
                    yield rows
                else:
                    left.remove(source)
    finally:
        for link, export_id in begun.items():
            await _end(link.read({"read": "end_export", "export": export_id}))


async def _end(ending: Any) -> None:
    """Tell a worker that something is over, also where this request is; one that is gone knows."""
    with suppress(HoldfastError):
        await asyncio.shield(ending)


async def _first(rows: AsyncIterator[list[Row]], instance: OneInstance) -> list[Row]:
    page = await anext(rows, None)
    if page is None:
        raise UnknownInstanceError(f"{instance.label} has nothing stored")
    return page


async def _send(
    exchange: Exchange, lines: ExportLines, head: str, page: list[Row], rows: AsyncIterator[list[Row]]
) -> web.StreamResponse:
    """Send an export; what goes wrong once its head is out is its last line."""
    stream = LineStream(exchange)
    await stream.open()
    text = head
    try:
        while page:
            text += await reading(sum(len(row[-1]) for row in page if row[0] == "key"), lines.render, page)
            if text:
                await stream.send(text.encode())
            text = ""
            if exchange.server.draining or exchange.caller.ended:
                raise HostUnavailableError("the host is stopping, or the token was revoked: the export is not whole")
            page = await anext(rows, [])
        text += lines.end()
    except HoldfastError as error:
        text = json.dumps({"error": {"name": error.name, "message": error.message}}) + "\n"
    await stream.send(text.encode())
    await stream.aclose()
    return stream.response


async def _edit(instance: OneInstance, what: bytes, facts: list[Any]) -> None:
    """A turn of the import; its error is the request's."""
    answer = await instance.edit(what, facts)
    if answer.status != 200:
        raise HoldfastError.from_facts(json.loads(answer.payload)["error"], answer.status)
