"""Spans on their way to a collector hold up nobody, whatever that or the library does."""

from __future__ import annotations

import math
import subprocess
import sys
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast_host.storage.jobs import Job
from holdfast_host.worker.main import _span_export
from holdfast_host.worker.tracing.export import SpanExport
from holdfast_host.worker.tracing.spans import SpanRecord
from holdfast_host.worker.tracing.tracer import Tracer
from tests.unit.worker.span_stage import (
    SAMPLED,
    Spans,
    stage_of,
)
from tests.unit.worker.test_job_outcomes import response


def test_a_full_queue_drops_spans_and_counts_them_and_holds_up_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "3")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    spans = Spans()
    monkeypatch.setattr(spans, "_batch_max", 4)  # the queue is full before a batch is whole: nothing leaves
    stage = stage_of(monkeypatch, spans)
    for _ in range(10):
        assert stage.call("alice", "read") == (200, 0)

    assert spans.counts == {"exported": 0, "failed": 0, "dropped": 7}
    spans.close()
    assert spans.counts == {"exported": 3, "failed": 0, "dropped": 7}


def test_a_collector_that_takes_nothing_is_told_of_once_in_a_while_and_its_spans_are_counted() -> None:
    class Refusing(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            raise ConnectionError("nobody there")

    told: list[int] = []
    spans = SpanExport(Refusing(), on_failure=told.append)
    tracer = Tracer(spans, 0)
    for question in range(3):
        tracer.ask_for(question, Job("http", 1), b"\0" * 16, "f", b"{}")
        tracer.answered(question, *response(200), None)
    spans.close()

    assert spans.counts == {"exported": 0, "failed": 3, "dropped": 0}
    assert told == [3]


def test_processes_that_trace_nothing_have_not_loaded_opentelemetry() -> None:
    code = (
        "import sys, holdfast_host.worker.main, holdfast_host.front.main, holdfast_host.courier.main\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google.protobuf'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


def test_what_can_not_be_made_a_span_is_counted_and_others_follow() -> None:
    """An end of the thread would be the end of all spans, in silence."""
    exporter, failed = InMemorySpanExporter(), SimpleQueue[int]()
    spans = SpanExport(exporter, on_failure=failed.put, delay_s=0.001)
    good = SpanRecord("good", "server", SAMPLED, b"", b"", 1.0, 2.0, "", {})
    spans.offer(good._replace(ended_at=math.inf))
    assert failed.get(timeout=10) == 1
    spans.offer(good)
    spans.close()

    assert spans.counts == {"exported": 1, "failed": 1, "dropped": 0}
    assert [each.name for each in exporter.get_finished_spans()] == ["good"]


@pytest.mark.parametrize("variable", ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE"])
def test_a_number_that_is_none_counts_as_the_usual_one(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for nonsense in ("9" * 5000, "9" * 30, "-1", "x", "0"):
        monkeypatch.setenv(variable, nonsense)
        spans = Spans()
        spans.offer(SpanRecord("good", "server", SAMPLED, b"", b"", 1.0, 2.0, "", {}))
        assert [each.name for each in spans.all()] == ["good"], nonsense


def test_a_library_that_does_not_start_leaves_a_worker_without_traces_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a variable may be meant for other programs of the machine."""
    said: list[tuple[str, str]] = []
    output: Any = SimpleNamespace(event=lambda level, event, **facts: said.append((event, facts["error"])))
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")

    assert _span_export("http://127.0.0.1:1/v1/traces", output) is None
    ((event, error),) = said
    assert event.startswith("nothing is traced")
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in error


def test_a_sampler_that_there_is_none_of_is_said_and_no_header_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else all is recorded in silence; what is said of headers that cannot be read would show the key in them."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_perhaps")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")

    SpanExport.to("http://127.0.0.1:1/v1/traces", lambda spans: None).close()

    assert "always_perhaps" in caplog.text
    assert "hunter2" not in caplog.text
