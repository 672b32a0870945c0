"""/v1/instances: which instances there are, what one of them holds, and changes of it from outside.

Questions go to the workers as READ frames, in steps of bounded time; changes are turns of their instance. Neither
loads more than a page into memory, however much there is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError, CodecError, PayloadTooLargeError, UnknownKeyError
from holdfast_host.core.ids import check_instance_name
from holdfast_host.core.limits import MIB, RESERVED_KEY_PREFIX, Limits
from holdfast_host.core.listing_pages import NamePage, merge_pages
from holdfast_host.core.values import check_encoded, encode_plain, plain_text
from holdfast_host.front.access.rules import change, look
from holdfast_host.front.app import Route
from holdfast_host.front.calls.actor_calls import Calls
from holdfast_host.front.calls.arguments import check_nesting
from holdfast_host.front.http.answers import JSON, TYPED_JSON, Answer, json_answer
from holdfast_host.front.http.bodies import read_body
from holdfast_host.front.http.paths import (
    cursor_of,
    decode_segment,
    read_cursor,
    read_flags,
    read_number,
    read_parameters,
)
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.alarms import show_alarm
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.control.routing import Routes

PAGE_ENTRIES: Final = 100
_STORAGE_PAGE_BYTES: Final = MIB
_READ_ON_LOOP_BYTES: Final = 64 << 10  # what is longer is read in a thread: 1 MiB takes up to a tenth of a second

Found = tuple[str, ...]


class InstanceRoutes:
    """The handlers. One per front."""

    def __init__(self, calls: Calls, routing: Routes, links: list[WorkerLink], limits: Limits) -> None:
        self._calls = calls
        self._routing = routing
        self._links = links
        self._limits = limits

    def routes(self) -> list[Route]:
        """For the App."""
        one = "/v1/instances/{}/{}"
        return [
            Route.of("/v1/instances/{}", GET=look(self._list)),
            Route.of(one, GET=look(self._inspect), DELETE=change("deleteInstance", self._delete_instance)),
            Route.of(f"{one}/storage", GET=look(self._storage)),
            Route.of(
                f"{one}/storage/{{}}",
                GET=look(self._value),
                PUT=change("putValue", self._put),
                DELETE=change("deleteValue", self._delete),
            ),
            Route.of(f"{one}/evict", POST=change("evictInstance", self._evict)),
        ]

    async def _list(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        type_id = self.type_id(exchange, decode_segment(found[0]))
        asked = read_parameters(query, "prefix", "limit", "cursor")
        limit = self.limit(asked)
        facts = {
            "read": "instances",
            "type_id": type_id,
            "prefix": asked.get("prefix", ""),
            "after": read_cursor(asked.get("cursor", "")),
            "limit": limit,
        }
        answers = await asyncio.gather(*(link.read(facts) for link in self._links))
        page = merge_pages([_name_page(answer) for answer in answers], limit)
        return json_answer(
            {
                "instances": [{"name": name.decode(), "bytes": live_bytes} for name, live_bytes in page.rows],
                "cursor": None if page.next is None else cursor_of(page.next.decode()),
            }
        )

    async def _inspect(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self, exchange, found)
        counted = read_flags(query, "count")["count"]
        facts = await instance.read("instance")
        shown = {
            "type": instance.type,
            "name": instance.name,
            "active": facts["active"],
            "queued": facts["queued"],
            "alarm": show_alarm(facts["alarm"]),
            "version": facts["version"],
            "quarantined": facts["quarantined"],
        }
        if counted:
            shown["keys"] = await self._count(instance)
            shown |= {name: facts[name] for name in ("bytes", "apart_bytes", "jobs")}
        return json_answer(shown)

    async def _count(self, instance: OneInstance) -> int:
        keys, after = 0, ""
        while after is not None:
            step = await instance.read("keys", after=after)
            keys += step["count"]
            after = step["next"]
        return keys

    async def _storage(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self, exchange, found)
        asked = read_parameters(query, "prefix", "start", "limit")
        page = await instance.read(
            "storage",
            prefix=asked.get("prefix", ""),
            start=asked.get("start"),
            limit=self.limit(asked),
            bytes_max=_STORAGE_PAGE_BYTES,
        )
        typed = wants_typed(exchange)
        size = sum(len(value) for _, value in page["entries"])
        entries = await reading(size, _entries_text, page["entries"], typed)
        body = f'{{"entries":[{entries}],"next":{json.dumps(page["next"])}}}'
        return Answer(200, body.encode(), TYPED_JSON if typed else JSON)

    async def _value(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self, exchange, found)
        key = self._key(found[2])
        encoded = (await instance.read("value", key=key))["value"]
        if encoded is None:
            raise UnknownKeyError(f"{instance.label} has no key {key!r}")
        if wants_typed(exchange):
            return Answer(200, encoded.encode(), TYPED_JSON)
        return Answer(200, (await reading(len(encoded), plain_text, encoded)).encode())

    async def _put(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self, exchange, found)
        key = self._key(found[2])
        body = await read_body(exchange, self._limits.value_bytes_max)
        typed = exchange.media_type == TYPED_JSON
        encoded = await reading(len(body), _encode, body, self._limits.nesting_max, typed)
        size = len(encoded.encode())
        if size > self._limits.value_bytes_max:
            raise PayloadTooLargeError(
                f"a value of {size} bytes encoded exceeds the limit of {self._limits.value_bytes_max} bytes"
            )
        return await instance.edit(b"put", [key, encoded])

    async def _delete(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        instance = OneInstance(self, exchange, found)
        return await instance.edit(b"delete", [self._key(found[2])])

    async def _delete_instance(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return await OneInstance(self, exchange, found).edit(b"delete_instance", [])

    async def _evict(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return json_answer(await OneInstance(self, exchange, found).read("evict"))

    def place(self, type_id: int, name: bytes) -> tuple[WorkerLink, int]:
        """The link to the instance's worker, and its partition."""
        worker, partition = self._routing.place(type_id, name)
        return self._links[worker], partition

    def type_id(self, exchange: Exchange, actor_type: str) -> int:
        """The number of the type of the request's tenant, or UnknownActorTypeError."""
        return self._calls.view.of(exchange.tenant).type_id(actor_type)

    def limit(self, asked: dict[str, str]) -> int:
        """How many rows a page is to have."""
        limit_max = self._limits.page_entries_max
        return read_number(asked, "limit", 1, limit_max) or min(PAGE_ENTRIES, limit_max)

    def _key(self, raw: str) -> str:
        key = decode_segment(raw)
        key_bytes = len(key.encode())
        if not 1 <= key_bytes <= self._limits.key_bytes_max:
            raise BadRequestError(f"a key of {key_bytes} bytes: 1 to {self._limits.key_bytes_max} are allowed")
        if key.startswith(RESERVED_KEY_PREFIX):
            raise BadRequestError(f"the key {key!r:.80}: what starts with {RESERVED_KEY_PREFIX} is reserved")
        return key


class OneInstance:
    """The instance that a request is about. Lives for the request."""

    def __init__(self, routes: InstanceRoutes, exchange: Exchange, found: Found) -> None:
        """The type and the name, as they stand in a path; or raises as they are refused."""
        self.type = decode_segment(found[0])
        self.name = decode_segment(found[1])
        encoded = check_instance_name(self.name)
        self.type_id = routes.type_id(exchange, self.type)
        self.link, self._partition = routes.place(self.type_id, encoded)

    @property
    def label(self) -> str:
        """`Account/alice`."""
        return f"{self.type}/{self.name}"

    async def read(self, what: str, **facts: Any) -> dict[str, Any]:
        """Ask its worker."""
        return await self.link.read({"read": what, "type_id": self.type_id, "name": self.name, **facts})

    async def edit(self, what: bytes, facts: list[Any]) -> Answer:
        """Have a turn of it change its storage; the answer when that is durable."""
        return Answer(*await self.edited(what, facts))

    async def edited(self, what: bytes, facts: list[Any]) -> tuple[int, bytes]:
        """The same; its status and body."""
        body = json.dumps(facts, separators=(",", ":")).encode()
        call = Call(0, self.type_id, 0, int(CallKind.EDIT), 0, self.name.encode(), what, b"", body)
        return await self.link.call(call, self._partition)


def _name_page(answer: dict[str, Any]) -> NamePage:
    following = answer["next"]
    rows = [(name.encode(), live_bytes) for name, live_bytes in answer["rows"]]
    return NamePage(rows, None if following is None else following.encode())


def wants_typed(exchange: Exchange) -> bool:
    """Whether values are to be shown with their types."""
    return TYPED_JSON in exchange.headers.get("Accept", "").lower()


async def reading(size: int, read: Callable[..., str], *texts: Any) -> str:
    """What `read` makes of texts of so many bytes in all; the loop goes on meanwhile where that takes long."""
    if size <= _READ_ON_LOOP_BYTES:
        return read(*texts)
    return await asyncio.to_thread(read, *texts)


def _entries_text(entries: list[tuple[str, str]], typed: bool) -> str:
    return ",".join([_entry_text(key, value, typed=typed) for key, value in entries])


def _entry_text(key: str, encoded: str, *, typed: bool) -> str:
    """One entry; a value that its guest did not encode is shown as the text that it is, under another name."""
    try:
        return f'{{"key":{json.dumps(key)},"value":{check_encoded(encoded) if typed else plain_text(encoded)}}}'
    except CodecError:
        return f'{{"key":{json.dumps(key)},"raw":{json.dumps(encoded)}}}'


def _encode(body: bytes, nesting_max: int, typed: bool) -> str:
    """A request's value as it is stored."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"the body is not UTF-8: byte 0x{body[error.start]:02x} at {error.start}") from None
    try:
        encoded = check_encoded(text) if typed else encode_plain(text)
    except CodecError as error:
        raise BadRequestError(error.message) from None
    check_nesting(encoded.encode(), nesting_max)
    return encoded
