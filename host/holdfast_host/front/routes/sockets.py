"""/v1/instances/{type}/{name}/sockets: which sockets an instance has, and closing one of them from outside."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError, CodecError, UnknownSocketError
from holdfast_host.core.values import plain_text
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import JSON, TYPED_JSON, Answer
from holdfast_host.front.http.paths import cursor_of, decode_segment, read_cursor, read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.instances import Found, InstanceRoutes, OneInstance, wants_typed
from holdfast_host.front.sockets.protocol import NORMAL, may_be_said
from holdfast_host.wire.sockets.frames import read_socket

_REASON_BYTES_MAX: Final = 123  # what a close frame has room for


class SocketRoutes:
    """The handlers. One per front."""

    def __init__(self, instances: InstanceRoutes) -> None:
        self._instances = instances

    def routes(self) -> list[Route]:
        """For the App."""
        all_of_one = "/v1/instances/{}/{}/sockets"
        return [
            Route.of(all_of_one, GET=look(self._list)),
            Route.of(f"{all_of_one}/{{}}", DELETE=change("closeSocket", self._close)),
        ]

    async def _list(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self._instances, exchange, found)
        asked = read_parameters(query, "limit", "cursor")
        after, limit = read_cursor(asked.get("cursor", "")), self._instances.limit(asked)
        page = await instance.read("sockets", after=after, limit=limit)
        typed = wants_typed(exchange)
        rows = ",".join(_row_text(each, typed=typed) for each in page["sockets"])
        cursor = None if page["next"] is None else cursor_of(page["next"])
        body = f'{{"sockets":[{rows}],"cursor":{json.dumps(cursor)}}}'
        return Answer(200, body.encode(), TYPED_JSON if typed else JSON)

    async def _close(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self._instances, exchange, found)
        asked = read_parameters(query, "code", "reason")
        socket_id = decode_segment(found[2])
        if not read_socket(socket_id):
            raise UnknownSocketError(f"{instance.label} has no socket {socket_id[:40]!r}")
        code = read_number(asked, "code", 1000, 4999) or NORMAL
        reason = asked.get("reason", "")
        if not may_be_said(code):
            raise BadRequestError(f"no close frame may say the code {code}: take 1000, or one of 3000 to 4999")
        size = len(reason.encode())
        if size > _REASON_BYTES_MAX:
            raise BadRequestError(f"a reason of {size} bytes exceeds the limit of {_REASON_BYTES_MAX} bytes")
        return await instance.edit(b"close_socket", [socket_id, code, reason])


def _row_text(row: dict[str, Any], *, typed: bool) -> str:
    """One socket; an attachment that its guest did not encode is shown as the text that it is, under another name."""
    shown = {
        "id": row["id"],
        "kind": "events" if row["events"] else "websocket",
        "opened_at": datetime.fromtimestamp(row["opened_us"] / 1_000_000, UTC).isoformat(timespec="milliseconds"),
        "tags": row["tags"],
    }
    encoded = row["attachment"]
    name, value = "attachment", "null"
    if encoded is not None:
        try:
            value = encoded if typed else plain_text(encoded)
        except CodecError:
            name, value = "raw_attachment", json.dumps(encoded)
    return f'{json.dumps(shown, separators=(",", ":"))[:-1]},"{name}":{value}}}'
