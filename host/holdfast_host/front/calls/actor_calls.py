"""Calls to instances: the hot path. Checks what can be checked without the worker, and passes the text through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import ActorUnknownMethodError, PayloadTooLargeError
from holdfast_host.core.ids import check_instance_name
from holdfast_host.core.limits import KIB, Limits
from holdfast_host.front.calls.arguments import check_arguments, split_call
from holdfast_host.front.calls.catalog_view import CatalogView
from holdfast_host.front.calls.idempotency_keys import REPLAYED_LINE, key_of
from holdfast_host.front.http.answers import JSON, TYPED_JSON, Answer
from holdfast_host.front.http.bodies import read_body, too_large
from holdfast_host.front.http.paths import decode_segment
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.worker_link import WorkerLink
from holdfast_host.wire.calls.frames import Call, CallFlag, CallKind
from holdfast_host.wire.calls.idempotency import REPLAYED
from holdfast_host.wire.calls.trace_context import NO_CONTEXT, read_traceparent
from holdfast_host.wire.control.routing import Routes

if TYPE_CHECKING:
    from holdfast_host.wire.calls.window import PendingCall, Receiver

METHOD_BYTES_MAX: Final = 256
_ENVELOPE_BYTES_MAX: Final = 4 * KIB  # what /v1/call carries beside its arguments
_METHOD: Final = int(CallKind.METHOD)
_TYPED_ARGUMENTS: Final = int(CallFlag.TYPED_ARGUMENTS)
TYPED_RESULT: Final = int(CallFlag.TYPED_RESULT)

# A request that is here as a whole: type, name and method, which need no decoding; the flags of its CALL; its body; its
# idempotency key with its scope, empty for none; and the tenant that it is of.
WholeRequest = tuple[tuple[bytes | Any, ...], int, bytes, bytes, str]


class Calls:
    """Routes calls to the workers' links. One per front; `view` is replaced by each new catalog."""

    def __init__(
        self, view: CatalogView, routing: Routes, links: list[WorkerLink], limits: Limits, *, traces: bool = False
    ) -> None:
        """`traces`: what a request says of the trace that it is part of goes along."""
        self.view = view
        self._traces = traces
        self._routing = routing
        self._links = links
        self._limits = limits

    async def call_by_path(self, exchange: Exchange, raw_type: str, raw_name: str, raw_method: str) -> Answer:
        """POST /v1/actors/{type}/{name}/{method}; the segments are still encoded."""
        name, actor_type = check_instance_name(decode_segment(raw_name)), decode_segment(raw_type)
        exchange.caller.check_type(actor_type)
        type_id = self.view.of(exchange.tenant).type_id(actor_type)
        method = _check_method(decode_segment(raw_method))
        body = await read_body(exchange, self._limits.arguments_bytes_max)
        check_arguments(body, self._limits.nesting_max)
        return await self._call(exchange, type_id, name, method, body)

    def send(self, request: WholeRequest, answer: Receiver) -> tuple[WorkerLink, PendingCall]:
        """The same for a request that is here as a whole; its answer comes to `answer`.

        Raises:
            HoldfastError: it is refused at once.
        """
        (actor_type, raw_name, method), flags, body, key, tenant = request
        name = check_instance_name(raw_name.decode())
        type_id = self.view.of(tenant).type_id(actor_type.decode())
        if len(body) > self._limits.arguments_bytes_max:
            raise too_large(len(body), self._limits.arguments_bytes_max)
        check_arguments(body, self._limits.nesting_max)
        link, partition = self._route(type_id, name)
        call = Call(0, type_id, 0, _METHOD, flags, name, method, b"", body, key)
        return link, link.send(call, partition, answer)

    async def call_by_body(self, exchange: Exchange) -> Answer:
        """POST /v1/call: the same, with the names in the body."""
        arguments_bytes_max = self._limits.arguments_bytes_max
        facts = split_call(
            await read_body(exchange, arguments_bytes_max + _ENVELOPE_BYTES_MAX), self._limits.nesting_max
        )
        if len(facts["args"]) > arguments_bytes_max:
            raise PayloadTooLargeError(
                f"arguments of {len(facts['args'])} bytes exceed the limit of {arguments_bytes_max} bytes"
            )
        name = check_instance_name(facts["name"])
        exchange.caller.check_type(facts["type"])
        type_id = self.view.of(exchange.tenant).type_id(facts["type"])
        method = _check_method(facts["method"])
        return await self._call(exchange, type_id, name, method, facts["args"])

    async def _call(self, exchange: Exchange, type_id: int, name: bytes, method: bytes, body: bytes) -> Answer:
        flags = flags_of(exchange.headers)
        link, partition = self._route(type_id, name)
        key, trace = key_of(exchange.headers), self.trace_of(exchange)
        call = Call(0, type_id, 0, _METHOD, flags, name, method, b"", body, key, trace=trace)
        status, result = await link.call(call, partition)
        further = b""
        if status & REPLAYED:
            status, further = status & ~REPLAYED, REPLAYED_LINE
        return Answer(status, result, TYPED_JSON if status == 200 and flags & TYPED_RESULT else JSON, further)

    def trace_of(self, exchange: Exchange) -> bytes:
        """The trace context that a request comes with; none where it has two, as the rule says."""
        found = exchange.headers.getall("traceparent", ()) if self._traces else ()
        return read_traceparent(found[0].strip()) if len(found) == 1 else NO_CONTEXT

    def _route(self, type_id: int, name: bytes) -> tuple[WorkerLink, int]:
        """The link to the worker that owns an instance, and the partition that it lies in."""
        worker, partition = self._routing.place(type_id, name)
        return self._links[worker], partition


def flags_of(headers: Mapping[str, str]) -> int:
    """How arguments and result are encoded, by Content-Type and Accept."""
    flags = 0
    content_type = headers.get("Content-Type")
    if content_type is not None and content_type.partition(";")[0].strip().lower() == TYPED_JSON:
        flags = _TYPED_ARGUMENTS
    accept = headers.get("Accept")
    if accept is not None and TYPED_JSON in accept.lower():
        flags |= TYPED_RESULT
    return flags


def _check_method(method: str) -> bytes:
    """Whether a method exists is its worker's to say; this keeps out what cannot be one."""
    encoded = method.encode("utf-8", "replace")
    if not 1 <= len(encoded) <= METHOD_BYTES_MAX or b"\0" in encoded:
        raise ActorUnknownMethodError(
            f"no method has a name of {len(encoded)} bytes: 1 to {METHOD_BYTES_MAX} bytes without NUL"
        )
    return encoded
