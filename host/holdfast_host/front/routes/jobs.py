"""Jobs over HTTP: list those of the host or of an instance, show one, have one tried again, cancel it.

Reading shows what is durable. To have a job tried again, or cancel it, is a turn of its instance: it waits in the
mailbox, and is answered when it is durable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError, UnknownJobError
from holdfast_host.core.ids import check_instance_name
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.http.answers import Answer, json_answer
from holdfast_host.front.http.paths import decode_segment, read_flags, read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.alarms import show_time
from holdfast_host.front.routes.state_listing import PAGE_DEFAULT, PAGE_MAX, list_by_state
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.control.routing import Routes

STATES: Final = ("armed", "retrying", "waiting", "abandoned", "parked")
_ID: Final = re.compile("[0-9a-f]{32}")


class JobRoutes:
    """The handlers. One per front."""

    def __init__(self, view: Callable[[], CatalogView], routing: Routes, links: list[WorkerLink]) -> None:
        self._view = view
        self._routing = routing
        self._links = links

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/v1/jobs", GET=look(self._list)),
            Route.of("/v1/instances/{}/{}/jobs", GET=look(self._list_instance)),
            Route.of("/v1/instances/{}/{}/jobs/{}", GET=look(self._show), DELETE=change("cancelJob", self._cancel)),
            Route.of("/v1/instances/{}/{}/jobs/{}/retry", POST=change("retryJob", self._retry)),
        ]

    async def _list(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        given = read_parameters(query, "state", "type", "limit", "cursor")
        view = self._view().of(exchange.tenant)
        type_id = view.type_id(given["type"]) if "type" in given else None

        def show(row: dict[str, Any]) -> dict[str, Any] | None:
            if type_id is not None and row["type_id"] != type_id:
                return None
            return {"type": row["type"], "type_id": row["type_id"], "name": row["name"], **show_job(row["job"])}

        rows, cursor = await list_by_state(self._links, "jobs", STATES, given, show, view.only)
        return json_answer({"jobs": rows, "cursor": cursor})

    async def _list_instance(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        given = read_parameters(query, "limit", "cursor")
        limit = read_number(given, "limit", 1, PAGE_MAX) or PAGE_DEFAULT
        after = given.get("cursor", "")
        if after and _ID.fullmatch(after) is None:
            raise BadRequestError("the parameter cursor is none: send back the one that the last page ended with")
        answer = await self._ask(exchange, found, {"read": "instance_jobs", "after": after, "limit": limit})
        return json_answer({"jobs": [show_job(job) for job in answer["jobs"]], "cursor": answer["next"]})

    async def _show(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        answer = await self._ask(exchange, found, {"read": "job", "id": found[2]})
        job = answer["job"]
        if job is None:
            raise UnknownJobError(f"{'/'.join(map(decode_segment, found[:2]))} has no job {found[2][:64]!r}")
        return json_answer({**show_job(job), "payload": job["payload"], "outcome": job["outcome"]})

    async def _retry(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        again = read_flags(query, "again")["again"]
        return await self._edit(exchange, found, b"retry_job", [found[2], again])

    async def _cancel(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return await self._edit(exchange, found, b"cancel_job", [found[2]])

    def _instance(self, exchange: Exchange, found: tuple[str, ...]) -> tuple[int, bytes]:
        actor_type, name = map(decode_segment, found[:2])
        return self._view().of(exchange.tenant).type_id(actor_type), check_instance_name(name)

    async def _ask(self, exchange: Exchange, found: tuple[str, ...], facts: dict[str, Any]) -> dict[str, Any]:
        type_id, name = self._instance(exchange, found)
        worker, _ = self._routing.place(type_id, name)
        return await self._links[worker].read({**facts, "type_id": type_id, "name": name.decode()})

    async def _edit(self, exchange: Exchange, found: tuple[str, ...], edit: bytes, arguments: list[Any]) -> Answer:
        type_id, name = self._instance(exchange, found)
        worker, partition = self._routing.place(type_id, name)
        call = Call(0, type_id, 0, CallKind.EDIT, 0, name, edit, b"", json.dumps(arguments).encode())
        status, body = await self._links[worker].call(call, partition)
        return Answer(status, body)


def show_job(job: dict[str, Any]) -> dict[str, Any]:
    """A job as callers see it: times in ISO 8601, what does not apply null; `to` is whom it calls or asks."""
    to = job.get("url")
    if job["kind"] == "call":
        to = f"{job['binding']}/{job['name']}"
    return {
        "id": job["id"],
        "kind": job["kind"],
        "state": job["state"],
        "due": show_time(job["due_us"]),
        "key": job.get("key"),
        "cron": job.get("cron"),
        "tz": job.get("tz"),
        "method": job.get("method"),
        "to": to,
        "then": job.get("then"),
        "tries": job["tries"],
        "unknown": job.get("unknown", False),
        "last_error": job.get("last_error"),
    }
