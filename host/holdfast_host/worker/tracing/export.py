"""Spans on their way out of a worker: a bounded queue, and a thread that makes them and hands them to an exporter.

The only importer of OpenTelemetry. Its samplers, resource, spans and exporters are used as they are, with what the
`OTEL_...` variables say of them; its batch processor is not, for that tells nobody what it dropped or could not send.
A collector that is slow or absent costs this thread its time, and calls nothing: past a full queue spans are dropped,
and counted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
    OTEL_SERVICE_NAME,
)
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from holdfast_host import __version__
from holdfast_host.core.json_text import JsonObject
from holdfast_host.wire.calls.trace_context import is_sampled, span_id_of, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast_host.worker.tracing.spans import SpanRecord

SCOPE: Final = InstrumentationScope("holdfast", __version__)
_SERVICE: Final = "holdfast"
_SILENCED: Final = "opentelemetry"  # says each failure in lines of its own: one sentence of ours in a while says it
_HEARD: Final = ("opentelemetry.sdk.trace.sampling", "opentelemetry.sdk.resources")  # what a variable says wrong, once
_QUEUE_SPANS: Final = 2_048
_BATCH_SPANS: Final = 512
_DELAY_MS: Final = 5_000
_LAST_WORDS_S: Final = 2.0  # in which a worker that stops sends what it has
_FAILURE_EVERY_S: Final = 60.0
_CLOCK_S: Final = 0.01  # by which the two clocks may part before they are compared anew
_ID_MAX: Final = (1 << 64) - 1
_STATUS: Final = re.compile(rb'"status": ?([1-5][0-9]{2})[,}]')
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_OTHER: Final = "_OTHER"  # as the semantic conventions have any other
_CHARS_MAX: Final = 1_024
_DIGITS_MAX: Final = 9  # of a variable's number: a wait of more is none that a thread can make
_SERVER_FAULT: Final = 500
_CLIENT_FAULT: Final = 400
_KINDS: Final = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
    "consumer": SpanKind.CONSUMER,
}


class SpanExport:
    """Takes the spans of one worker. Lives as long as the process; `offer` and `is_sampled` are any thread's."""

    def __init__(
        self, exporter: SpanExporter, *, on_failure: Callable[[int], None], delay_s: float | None = None
    ) -> None:
        """`on_failure(spans)` is told now and then of how many could not be sent; `delay_s` is that of a batch."""
        self._exporter = exporter
        self._on_failure = on_failure
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._sampler, self._resource = provider.sampler, provider.resource
        self._queue: deque[SpanRecord] = deque()
        self._queue_max = _number(OTEL_BSP_MAX_QUEUE_SIZE, _QUEUE_SPANS)
        self._batch_max = min(_number(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, _BATCH_SPANS), self._queue_max)
        self._delay_s = _number(OTEL_BSP_SCHEDULE_DELAY, _DELAY_MS) / 1000 if delay_s is None else delay_s
        self._wall_apart_s = _wall_apart_s()
        self._told_at = -_FAILURE_EVERY_S
        self._untold = 0
        self._ready = threading.Event()  # a batch is whole, or this ends
        self._ending = False
        self.counts = {"exported": 0, "failed": 0, "dropped": 0}  # the first two are the thread's, the last any's
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    @classmethod
    def to(cls, url: str, on_failure: Callable[[int], None]) -> SpanExport:
        """Sends to a collector's OTLP endpoint, with what the variables say of headers, certificates and timeouts."""
        logging.getLogger(_SILENCED).setLevel(logging.CRITICAL)
        for each in _HEARD:
            logging.getLogger(each).setLevel(logging.WARNING)
        return cls(OTLPSpanExporter(endpoint=url), on_failure=on_failure)

    def is_sampled(self, parent: bytes, trace_id: bytes) -> bool:
        """As the sampler says, by default that of the parent, and all without one."""
        context = set_span_in_context(NonRecordingSpan(_context(parent))) if parent else None
        found = self._sampler.should_sample(context, int.from_bytes(trace_id, "big"), _SERVICE)
        return found.decision is not Decision.DROP

    def offer(self, record: SpanRecord) -> None:
        """Take a span, or drop it where too many wait."""
        waiting = len(self._queue)
        if waiting >= self._queue_max:
            self.counts["dropped"] += 1
            return
        self._queue.append(record)
        if waiting + 1 == self._batch_max:
            self._ready.set()

    def close(self) -> None:
        """Send what waits, in a moment at most."""
        self._ending = True
        self._ready.set()
        self._thread.join(_LAST_WORDS_S)

    def _work(self) -> None:
        ending = False
        while not ending:
            self._ready.wait(self._delay_s)
            self._ready.clear()
            ending = self._ending
            while self._queue:
                self._send([self._queue.popleft() for _ in range(min(self._batch_max, len(self._queue)))])

    def _send(self, records: list[SpanRecord]) -> None:
        apart_s = _wall_apart_s()
        if abs(apart_s - self._wall_apart_s) > _CLOCK_S:  # else a trace's spans would jump against each other
            self._wall_apart_s = apart_s
        try:
            spans = [span for record in records for span in self._spans(record)]
            done = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # whatever becomes of these: others follow
            done = False
        self.counts["exported" if done else "failed"] += len(records)
        if not done:
            self._untold += len(records)
            now = time.monotonic()
            if now - self._told_at >= _FAILURE_EVERY_S:
                self._on_failure(self._untold)
                self._told_at, self._untold = now, 0

    def _spans(self, record: SpanRecord) -> Iterator[ReadableSpan]:
        """The span, and one for each of its parts."""
        own = _context(record.context)
        name, attributes = record.name, dict(record.attributes)
        status = Status(StatusCode.ERROR, record.error) if record.error else Status()
        if record.error:
            attributes["error.type"] = record.error
        if record.request or record.response:
            method = _add_http(record, attributes)
            name = f"{method} {name}" if record.kind == "server" and method else method or name
            code = attributes.get("http.response.status_code", 0)
            if not record.error and int(code) >= (_SERVER_FAULT if record.kind == "server" else _CLIENT_FAULT):
                status = Status(StatusCode.ERROR)
                attributes["error.type"] = str(code)
        yield self._span(
            name,
            own,
            record.began_at,
            record.ended_at,
            parent=_context(record.context, record.parent) if record.parent else None,
            attributes=attributes,
            links=[Link(_context(record.link))] if record.link else [],
            kind=_KINDS[record.kind],
            status=status,
        )
        for number, part in enumerate(record.parts, 1):
            span_id = (own.span_id + number) & _ID_MAX or 1  # random, as the span's own is
            context = SpanContext(own.trace_id, span_id, is_remote=False, trace_flags=own.trace_flags)
            yield self._span(part.name, context, part.began_at, part.ended_at, parent=own)

    def _span(self, name: str, context: SpanContext, began_at: float, ended_at: float, **further: Any) -> ReadableSpan:
        start, end = (round((at + self._wall_apart_s) * 1e9) for at in (began_at, max(began_at, ended_at)))
        return ReadableSpan(
            name,
            context,
            resource=self._resource,
            instrumentation_scope=SCOPE,
            start_time=start,
            end_time=end,
            **further,
        )


def _resource() -> Resource:
    """What the variables say of this service; without them it is called `holdfast`."""
    found = Resource.create({SERVICE_VERSION: __version__})
    if os.environ.get(OTEL_SERVICE_NAME) or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        return found
    return found.merge(Resource({SERVICE_NAME: _SERVICE}))


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) else default


def _wall_apart_s() -> float:
    return time.time() - time.monotonic()


def _context(context: bytes, span_id: bytes = b"") -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id_of(context), "big"),
        int.from_bytes(span_id or span_id_of(context), "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if is_sampled(context) else TraceFlags.DEFAULT),
    )


def _add_http(record: SpanRecord, attributes: dict[str, Any]) -> str:
    """What the semantic conventions have of an HTTP message, but for what may be secret; its method.

    No query, and of what is asked outside no path either: both may hold what stands for a password. A guest may have
    written anything as its method.
    """
    asked, status = _facts(record.request), _STATUS.search(record.response)
    method, url = str(asked.get("method", "")), str(asked.get("url", ""))
    if method:
        method = method.upper() if method.upper() in _METHODS else _OTHER
        attributes["http.request.method"] = method
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        split, port = urlsplit(""), None
    if split.hostname:
        attributes |= {"url.scheme": split.scheme, "server.address": split.hostname[:_CHARS_MAX]}
        if port is not None:
            attributes["server.port"] = port
        if record.kind == "server":
            attributes["url.path"] = split.path[:_CHARS_MAX]
    if status is not None:
        attributes["http.response.status_code"] = int(status[1])
    return method


def _facts(text: bytes) -> JsonObject:
    """A message's facts; none where it is no JSON object."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
