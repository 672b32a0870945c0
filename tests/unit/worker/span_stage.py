"""Spans of a worker, kept by the official in-memory exporter, and what is read of one."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast_host.core.failures import required
from holdfast_host.wire.calls.frames import FrameReader
from holdfast_host.wire.calls.outbound import Ask, unpack_ask
from holdfast_host.wire.calls.trace_context import read_traceparent
from holdfast_host.worker.tracing.export import SpanExport
from tests.unit.worker.stage import Guest, Stage
from tests.unit.worker.test_calls import call_out
from tests.unit.worker.test_gather import gather

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = (read_traceparent(f"00-{TRACE}-{SPAN}-{flags}") for flags in ("01", "00"))
PARTS = {"queue", "activation", "run", "gate", "commit"}


class Spans(SpanExport):
    """Spans that the official exporter keeps in memory."""

    def __init__(self) -> None:
        self.kept = InMemorySpanExporter()
        self.failures: list[int] = []
        super().__init__(self.kept, on_failure=self.failures.append)

    def all(self) -> list[ReadableSpan]:
        """Every span so far; nothing is recorded after this."""
        self.close()
        return list(self.kept.get_finished_spans())

    def turns(self) -> dict[str, ReadableSpan]:
        """Those of turns and requests, by their names."""
        return {each.name: each for each in self.all() if each.name not in PARTS}


def id_of(span: ReadableSpan) -> int:
    found: int = required(span.context, "its context").span_id
    return found


def trace_of(span: ReadableSpan) -> int:
    found: int = required(span.context, "its context").trace_id
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def stage_of(monkeypatch: pytest.MonkeyPatch, spans: Spans, **guests: Guest) -> Stage:
    own: dict[bytes, Guest] = {b"call_out": call_out, b"gather": gather}
    return Stage(monkeypatch, guests={**own, **{name.encode(): guest for name, guest in guests.items()}}, spans=spans)


def asks_of(stage: Stage) -> list[Ask]:
    """What goes to the courier from now on, which answers as before."""
    asked: list[Ask] = []
    send = stage.worker.courier.send

    def note(request: Any, frame: bytes) -> None:
        ((_, payload),) = FrameReader().feed(frame)
        asked.append(unpack_ask(payload))
        send(request, frame)

    stage.worker.courier.send = note  # type: ignore[method-assign]
    return asked
