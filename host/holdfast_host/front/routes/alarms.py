"""Alarms over HTTP: read one, set it, clear it, and list them by state.

Reading shows what is durable. Setting and clearing are turns of the instance: they wait in its mailbox, and are
answered when they are durable.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.failures import required
from holdfast_host.core.ids import check_instance_name
from holdfast_host.core.limits import DUE_US_MAX, KIB
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.http.answers import Answer, json_answer
from holdfast_host.front.http.bodies import read_object
from holdfast_host.front.http.paths import decode_segment, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.state_listing import list_by_state
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.control.routing import Routes

STATES: Final = ("armed", "retrying", "abandoned", "parked")
_BODY_BYTES_MAX: Final = 4 * KIB
_SECONDS_MAX: Final = 1e11  # nobody means the year 5138: these are milliseconds
_SECONDS_MIN: Final = 1e9  # September 2001 as a Unix time; as a span 31 years, so a span from now was meant
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class AlarmRoutes:
    """The handlers. One per front."""

    def __init__(self, view: Callable[[], CatalogView], routing: Routes, links: list[WorkerLink]) -> None:
        self._view = view
        self._routing = routing
        self._links = links

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of(
                "/v1/instances/{}/{}/alarm",
                GET=look(self._get),
                PUT=change("setAlarm", self._put),
                DELETE=change("deleteAlarm", self._delete),
            ),
            Route.of("/v1/alarms", GET=look(self._list)),
        ]

    async def _get(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        type_id, name = self._instance(exchange, found)
        worker, _ = self._routing.place(type_id, name)
        answer = await self._links[worker].read({"read": "alarm", "type_id": type_id, "name": name.decode()})
        return json_answer(show_alarm(answer["alarm"]))

    async def _put(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        type_id, name = self._instance(exchange, found)
        facts = await read_object(exchange, _BODY_BYTES_MAX)
        unknown = facts.keys() - {"due"}
        if unknown:
            raise BadRequestError(f"unknown key {min(unknown)!r}: an alarm is set with 'due', or with no body")
        due_us = read_due(facts["due"]) if "due" in facts else time.time_ns() // 1000
        answer = await self._edit(type_id, name, b"set_alarm", [due_us])
        if answer.status != web.HTTPOk.status_code:
            return answer
        alarm = {"due_us": due_us, "scheduled_us": due_us, "state": "armed", "retry_count": 0, "last_error": ""}
        return json_answer(show_alarm(alarm))

    async def _delete(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        return await self._edit(*self._instance(exchange, found), b"delete_alarm", [])

    async def _list(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        given = read_parameters(query, "state", "limit", "cursor")
        only = self._view().of(exchange.tenant).only
        rows, cursor = await list_by_state(self._links, "alarms", STATES, given, show_row, only)
        return json_answer({"alarms": rows, "cursor": cursor})

    def _instance(self, exchange: Exchange, found: tuple[str, ...]) -> tuple[int, bytes]:
        actor_type, name = map(decode_segment, found)
        return self._view().of(exchange.tenant).type_id(actor_type), check_instance_name(name)

    async def _edit(self, type_id: int, name: bytes, edit: bytes, arguments: list[Any]) -> Answer:
        worker, partition = self._routing.place(type_id, name)
        call = Call(0, type_id, 0, CallKind.EDIT, 0, name, edit, b"", json.dumps(arguments).encode())
        status, body = await self._links[worker].call(call, partition)
        return Answer(status, body)


def read_due(due: Any) -> int:
    """A time as callers write it, in microseconds; what is before 1970 is due at once, as all that is past.

    Raises:
        BadRequestError: neither seconds since 1970 nor a date and time with an offset; or seconds that are meant as
            milliseconds or as a span from now.
    """
    if isinstance(due, str):
        try:
            when = datetime.fromisoformat(due)
        except ValueError:
            raise BadRequestError(f"'due' is {due[:60]!r}: write 2026-11-01T12:30:00+00:00, or seconds") from None
        if when.utcoffset() is None:
            raise BadRequestError(f"'due' is {due!r}, without an offset: append Z or +00:00")
        due_us = (when - _EPOCH) // _MICROSECOND
        if due_us > DUE_US_MAX:  # west of Greenwich the year 9999 ends later
            raise BadRequestError(f"'due' is {due!r}, past the year 9999 in UTC")
        return max(0, due_us)
    if isinstance(due, (int, float)) and not isinstance(due, bool) and (isinstance(due, int) or not math.isnan(due)):
        if due > _SECONDS_MAX:
            raise BadRequestError(f"'due' is {due!r:.40} seconds, past the year 5000: write seconds, not milliseconds")
        if due < _SECONDS_MIN:
            raise BadRequestError(
                f"'due' is {due!r:.40} seconds since 1970, before September 2001: write a Unix time,"
                " not seconds from now, or leave it out to have the alarm due at once"
            )
        return round(due * 1e6)
    raise BadRequestError("'due' is a date and time with an offset, or seconds since 1970")


def show_alarm(alarm: dict[str, Any] | None) -> dict[str, Any] | None:
    """An alarm as callers see it: times in ISO 8601, the error or null."""
    if alarm is None:
        return None
    return {
        "state": alarm["state"],
        "due": show_time(alarm["due_us"]),
        "scheduled": show_time(alarm["scheduled_us"]),
        "retry_count": alarm["retry_count"],
        "last_error": alarm["last_error"] or None,
    }


def show_row(row: dict[str, Any]) -> dict[str, Any]:
    """An alarm in a listing. The type is null while no deployed function has it; its number tells it apart."""
    alarm = required(show_alarm(row["alarm"]), "the alarm of a row")
    return {"type": row["type"], "type_id": row["type_id"], "name": row["name"], **alarm}


def show_time(due_us: int) -> str:
    """A time as callers see it."""
    return (_EPOCH + timedelta(microseconds=due_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
