"""/v1/functions: uploads and questions, which the supervisor's registry answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError, HoldfastError, InternalError
from holdfast_host.core.ids import check_function_name
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.limits import KIB, MIB
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.audit import only
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import LINES, LineStream, json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.http.paths import decode_segment, read_flags, read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.uploads import Upload, UploadFolder
from holdfast_host.wire.control.operations import (
    Delete,
    Deploy,
    ListFunctions,
    ListUndeployed,
    PreviewRollback,
    Reload,
    Rollback,
    ShowFunction,
)

_BODY_BYTES_MAX: Final = 64 * KIB
_VERSION_MAX: Final = 1_000_000_000
_SOURCES_BYTES_MAX: Final = 4 * MIB  # they are part of each activation


class FunctionRoutes:
    """The handlers. One per front."""

    def __init__(self, control: ControlChannel, uploads: UploadFolder) -> None:
        self._control = control
        self._uploads = uploads
        self._deploys: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[Route]:
        """For the App."""
        one = "/v1/functions/{}"
        return [
            Route.of("/v1/functions", GET=look(self._list, Scope.DEPLOY)),
            Route.of("/v1/undeployed", GET=look(self._undeployed, Scope.DEPLOY)),
            Route.of(
                one,
                GET=look(self._get, Scope.DEPLOY),
                PUT=change("deployFunction", self._deploy, Scope.DEPLOY),
                DELETE=change("deleteFunction", self._delete, Scope.DEPLOY),
            ),
            Route.of(
                f"{one}/rollback",
                GET=look(self._preview_rollback, Scope.DEPLOY),
                POST=change("rollBackFunction", self._roll_back, Scope.DEPLOY),
            ),
            Route.of(f"{one}/sources", PUT=change("reloadFunction", self._reload, Scope.DEPLOY)),
        ]

    async def _list(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ListFunctions(exchange.tenant)))

    async def _undeployed(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ListUndeployed(exchange.tenant)))

    async def _get(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(ShowFunction(exchange.tenant, _function_in(found))))

    async def _delete(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return json_answer(await self._control.request(Delete(exchange.tenant, _function_in(found))))

    async def _roll_back(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        function = _function_in(found)
        asked = await read_object(exchange, _BODY_BYTES_MAX)
        unknown = asked.keys() - {"version"}
        if unknown:
            raise BadRequestError(f"unknown key {min(unknown)!r}: a rollback takes 'version', or no body")
        version = asked.get("version")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 1):
            raise BadRequestError(f"the version is {version!r}: give a whole number from 1, or none for the one before")
        result = await self._control.request(Rollback(exchange.tenant, function, version))
        exchange.details = only(result, "version")
        return json_answer(result)

    async def _preview_rollback(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        asked = read_parameters(query, "version")
        version = read_number(asked, "version", 1, _VERSION_MAX)
        return json_answer(await self._control.request(PreviewRollback(exchange.tenant, _function_in(found), version)))

    async def _reload(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        """Other sources for a development component: an author's tool and an SDK agree on what stands in them."""
        function = _function_in(found)
        sources = await read_object(exchange, _SOURCES_BYTES_MAX)
        if not sources:
            raise BadRequestError("the body is empty: send the sources as a JSON object")
        text = json.dumps(sources, separators=(",", ":"))
        return json_answer(await self._control.request(Reload(exchange.tenant, function, text)))

    async def _deploy(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        function = _function_in(found)
        flags = read_flags(query, "allow_breaking", "adopt")
        upload = await self._uploads.receive(exchange)
        stages: asyncio.Queue[str] = asyncio.Queue()
        # A task of its own: a client that goes away now does not stop the deploy, nor take the file from under it.
        # It leaves the line before the compiler, though, where it has not begun.
        hung_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        client = exchange.came_by.client
        component = str(upload.path)
        operation = Deploy(exchange.tenant, function, component, upload.manifest, **flags, client=client)
        task = asyncio.create_task(self._hand_over(upload, operation, stages, hung_up))
        self._deploys.add(task)
        task.add_done_callback(self._deploys.discard)
        exchange.later = task
        try:
            if LINES in exchange.headers.get("Accept", "").lower():
                return await _stream(exchange, task, stages)
            status, result = await asyncio.shield(task)
            return json_answer(result, status)
        except (asyncio.CancelledError, ConnectionError):
            hung_up.set_result(None)
            raise

    async def _hand_over(
        self,
        upload: Upload,
        operation: Deploy,
        stages: asyncio.Queue[str],
        hung_up: asyncio.Future[None],
    ) -> tuple[int, JsonObject]:
        """Deploy what was received; status and body, also of a refusal."""
        try:
            result = await self._control.request(operation, stages.put_nowait, hung_up)
            return _deploy_status(result), result
        except HoldfastError as error:
            return error.status, {"error": error.facts()}
        finally:
            await upload.aclose()


async def _stream(
    exchange: Exchange, task: asyncio.Task[tuple[int, JsonObject]], stages: asyncio.Queue[str]
) -> web.StreamResponse:
    """Each stage as it happens; the last line is the body with `status`, the HTTP status that it would have had.

    Where there was no place in the line for it, that is the whole answer, so that its head says when to come again.
    """
    lines = LineStream(exchange)
    waiting = asyncio.ensure_future(stages.get())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not task.exception() and task.result()[0] == web.HTTPTooManyRequests.status_code:
            return json_answer(task.result()[1], task.result()[0])
        await lines.open()
        while not task.done():
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                await lines.write({"stage": waiting.result()})
                waiting = asyncio.ensure_future(stages.get())
    finally:
        waiting.cancel()
    while not stages.empty():
        await lines.write({"stage": stages.get_nowait()})
    try:
        status, result = task.result()
    except Exception:  # too late for another head: the last line must say it
        status, result = 500, {"error": InternalError("the host failed to deploy: its log says why").facts()}
    await lines.write({**result, "status": status})
    await lines.aclose()
    return lines.response


def _deploy_status(result: JsonObject) -> int:
    """201 for a function's first version, when this deploy made it."""
    return 201 if result.pop("created", False) else 200


def _function_in(found: tuple[str, ...]) -> str:
    return check_function_name(decode_segment(found[0]))
