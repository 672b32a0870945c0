"""Spans of turns, read back from the official in-memory exporter."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from holdfast_host.core.errors import HoldfastError, OutboundUnreachableError
from holdfast_host.core.failures import required
from holdfast_host.storage.jobs import Job
from holdfast_host.wire.calls.frames import Call, CallKind, FrameReader, pack_call
from holdfast_host.wire.calls.outbound import Ask, unpack_ask
from holdfast_host.wire.calls.trace_context import read_traceparent, traceparent_of
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.sockets.frames import socket_text
from holdfast_host.worker.main import _span_export
from holdfast_host.worker.tracing.export import SpanExport
from holdfast_host.worker.tracing.spans import SpanRecord
from holdfast_host.worker.tracing.tracer import Tracer
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.alarm_stage import SECOND, AlarmStage
from tests.unit.worker.job_stage import JobStage
from tests.unit.worker.socket_stage import SocketStage
from tests.unit.worker.stage import TYPE, Guest, Stage
from tests.unit.worker.test_calls import call_out
from tests.unit.worker.test_functions import FunctionStage
from tests.unit.worker.test_gather import gather
from tests.unit.worker.test_job_outcomes import Courier, call_job, http_job, receiving, response

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


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.close()


def id_of(span: ReadableSpan) -> int:
    found: int = required(span.context, "its context").span_id
    return found


def trace_of(span: ReadableSpan) -> int:
    found: int = required(span.context, "its context").trace_id
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def links_of(span: ReadableSpan) -> list[int]:
    return [each.context.span_id for each in span.links]


def stage_of(monkeypatch: pytest.MonkeyPatch, spans: Spans, **guests: Guest) -> Stage:
    own: dict[bytes, Guest] = {b"call_out": call_out, b"gather": gather}
    return Stage(monkeypatch, guests={**own, **{name.encode(): guest for name, guest in guests.items()}}, spans=spans)


def test_a_turn_is_one_span_whose_parts_are_queue_activation_run_gate_and_commit(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    stage = stage_of(monkeypatch, spans)
    assert stage.call("alice", "add", 5) == (200, 5)
    found = spans.all()

    (turn,) = [each for each in found if each.name not in PARTS]
    parts = {each.name: each for each in found if each.name in PARTS}
    assert (turn.name, turn.kind, turn.status.status_code) == ("T.add", SpanKind.SERVER, StatusCode.UNSET)
    assert dict(turn.attributes or {}).items() >= {
        "holdfast.type": "T", "holdfast.instance": "alice", "holdfast.method": "add", "holdfast.kind": "call",
        "holdfast.function": "f", "holdfast.worker": 0,
    }.items()  # fmt: skip
    assert parts.keys() == PARTS
    assert {parent_of(each) for each in parts.values()} == {id_of(turn)}
    assert {trace_of(each) for each in found} == {trace_of(turn)}
    assert len({id_of(each) for each in found}) == len(found)
    times = {name: (each.start_time or 0, each.end_time or 0) for name, each in parts.items()}
    whole = (turn.start_time or 0, turn.end_time or 0)
    assert all(whole[0] <= begun <= ended <= whole[1] for begun, ended in times.values())
    order = [times[name] for name in ("queue", "activation", "run", "gate")]
    assert all(before[1] <= after[0] for before, after in pairwise(order))
    assert times["gate"][0] <= times["commit"][0] <= times["commit"][1] <= times["gate"][1]


def test_what_waits_for_no_commit_has_no_gate(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans)
    stage.call("alice", "add", 5)
    stage.call("alice", "read")
    found = spans.all()

    (read,) = [each for each in found if each.name == "T.read"]
    assert {each.name for each in found if parent_of(each) == id_of(read)} == {"queue", "run"}


def test_the_gate_is_held_as_long_as_the_commit_takes(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans)
    stage.store.hold()
    slot = stage.client.send("alice", "add", 1)
    stage.store.wait_held()
    reading = stage.client.send("alice", "read")
    stage.call("bob", "read")
    stage.store.let_go()
    stage.client.wait(slot), stage.client.wait(reading)
    found = spans.all()

    own = {each.name: each for each in found if each.attributes and each.attributes.get("holdfast.instance") == "alice"}
    held = [each.name for each in found if parent_of(each) == id_of(own["T.read"])]
    assert {"gate", "commit"} <= set(held), "what was read is told when it is durable"


def test_a_turn_is_part_of_the_trace_that_its_call_carries(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans)
    stage.client.wait(stage.client.send("alice", "add", 5, trace=SAMPLED))
    (turn,) = spans.turns().values()

    assert (trace_of(turn), parent_of(turn)) == (int(TRACE, 16), int(SPAN, 16))


def test_what_its_parent_did_not_record_is_not_recorded_and_neither_is_what_it_calls(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    stage = stage_of(monkeypatch, spans)
    slot = stage.client.send("alice", "call_out", ["bob", "add", 5], trace=NOT_SAMPLED)

    assert stage.client.wait(slot) == (200, 5)
    assert spans.turns() == {}


def test_without_a_parent_the_ratio_of_the_variables_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    spans = Spans()
    stage = stage_of(monkeypatch, spans)
    stage.call("alice", "call_out", ["bob", "add", 5])
    stage.client.wait(stage.client.send("carol", "add", 5, trace=SAMPLED))

    (turn,) = spans.turns().values()
    assert (turn.attributes or {})["holdfast.instance"] == "carol"


def test_a_call_inside_a_worker_is_a_child_of_its_callers_span(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans)
    stage.call("alice", "call_out", ["bob", "add", 5])
    turns = spans.turns()

    assert parent_of(turns["T.add"]) == id_of(turns["T.call_out"])
    assert trace_of(turns["T.add"]) == trace_of(turns["T.call_out"])
    assert turns["T.add"].kind is SpanKind.INTERNAL


def test_several_calls_at_once_are_children_of_one_span(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans)
    status, _ = stage.call("alice", "gather", [["b1", "add", 1], ["b2", "add", 2]])
    found = spans.all()

    assert status == 200
    (caller,) = [each for each in found if each.name == "T.gather"]
    assert [parent_of(each) for each in found if each.name == "T.add"] == [id_of(caller)] * 2


def test_a_call_to_another_worker_carries_the_trace_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("w")
    routing = Routing.over(2, [str(folder / f"w{n}") for n in range(2)])
    sinks = [Spans(), Spans()]
    guests: dict[bytes, Guest] = {b"call_out": call_out}
    stages = [
        Stage(monkeypatch, routing=routing, number=number, guests=guests, spans=sinks[number]) for number in range(2)
    ]
    names = [next(n for n in map(str, range(99)) if routing.place(TYPE, n.encode())[0] == worker) for worker in (0, 1)]

    assert stages[0].call(names[0], "call_out", [names[1], "add", 5]) == (200, 5)
    (caller,), (callee,) = (each.turns().values() for each in sinks)
    assert (trace_of(callee), parent_of(callee)) == (trace_of(caller), id_of(caller))
    assert (callee.attributes or {})["holdfast.worker"] == 1


def test_the_span_of_a_turn_that_failed_says_the_name_of_its_error(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    stage = stage_of(monkeypatch, spans)
    stage.call("alice", "fail_after_write", 1)
    stage.call("alice", "nothing")
    turns = spans.turns()

    assert turns["T.fail_after_write"].status.status_code is StatusCode.ERROR
    assert turns["T.fail_after_write"].status.description == "ActorMethodError"
    assert (turns["T.fail_after_write"].attributes or {})["error.type"] == "ActorMethodError"
    assert turns["T.nothing"].status.description == "ActorUnknownMethodError", "it never began"


def test_a_turn_whose_commit_is_lost_has_failed(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans)
    stage.store.lose_next([b"alice"])
    status, _ = stage.call("alice", "add", 1)
    turns = spans.turns()

    assert status >= 500
    assert turns["T.add"].status.status_code is StatusCode.ERROR


def test_an_alarm_is_a_trace_of_its_own_that_links_to_the_turn_that_set_it(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    alarms = AlarmStage(monkeypatch, spans=spans)
    alarms.set("alice", 5)
    alarms.advance(6)
    turns = spans.turns()

    assert links_of(turns["T.alarm"]) == [id_of(turns["T.set"])]
    assert trace_of(turns["T.alarm"]) != trace_of(turns["T.set"])
    assert turns["T.alarm"].kind is SpanKind.CONSUMER
    assert parent_of(turns["T.alarm"]) is None


def test_an_alarm_whose_handler_failed_has_failed_and_its_retry_links_to_the_same_turn(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    def fail_once(turn: Turn, info: dict[str, Any]) -> None:
        if not info["retry_count"]:
            raise HoldfastError("not today")

    alarms = AlarmStage(monkeypatch, fail_once, spans=spans)
    alarms.set("alice", 1)
    alarms.advance(2)
    alarms.advance(60)
    found = spans.all()

    (setting,) = [each for each in found if each.name == "T.set"]
    tries = [each for each in found if each.name == "T.alarm"]
    assert [each.status.status_code for each in tries] == [StatusCode.ERROR, StatusCode.UNSET]
    assert [links_of(each) for each in tries] == [[id_of(setting)]] * 2


def test_what_an_unrecorded_turn_leaves_to_later_ones_links_to_nothing(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    alarms = AlarmStage(monkeypatch, spans=spans)
    due_us = alarms.clock.wall_us() + SECOND
    client = alarms.stage.client
    client.wait(client.send("alice", "set", due_us, trace=NOT_SAMPLED))
    alarms.advance(2)
    turns = spans.turns()

    assert turns.keys() == {"T.alarm"}
    assert links_of(turns["T.alarm"]) == []


def test_a_run_and_what_a_sync_has_committed_link_to_their_maker(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    def put_and_sync(turn: Turn, job: Any) -> None:
        turn.jobs.put(json.dumps(job).encode())
        turn.sync()

    jobs = JobStage(monkeypatch, guests={b"put_and_sync": put_and_sync}, spans=spans)
    jobs.run("alice", method="_one")
    job = {"kind": "run", "method": "_two", "arguments": {"$hf": "arguments", "v": [[], {}]}}
    jobs.stage.call("alice", "put_and_sync", job)
    jobs.settle()
    turns = spans.turns()

    assert links_of(turns["T._one"]) == [id_of(turns["T.put"])]
    assert links_of(turns["T._two"]) == [id_of(turns["T.put_and_sync"])]
    assert [each["method"] for each in jobs.runs] == ["_one", "_two"]


def test_a_cron_that_is_put_again_stays_the_same_and_links_to_nothing(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    jobs = JobStage(monkeypatch, spans=spans)
    first, again = (jobs.run("alice", key="tick", cron="* * * * *") for _ in range(2))
    jobs.advance(61)

    assert first == again
    assert links_of(spans.turns()["T._expire"]) == []


def test_the_callee_of_a_job_and_its_then_link_to_the_jobs_maker(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    jobs = JobStage(monkeypatch, guests=receiving([]), spans=spans)
    jobs.put("alice", call_job("bob", "receive", 5, then="_sent"))
    jobs.settle()
    turns = spans.turns()

    for name in ("T.receive", "T._sent"):
        assert links_of(turns[name]) == [id_of(turns["T.put"])]
        assert turns[name].kind is SpanKind.CONSUMER
    assert len({trace_of(each) for each in turns.values()}) == 3


def test_each_try_of_a_jobs_request_is_a_span_and_carries_its_context(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    jobs = JobStage(monkeypatch, spans=spans)
    Courier(jobs, OutboundUnreachableError("nobody there"), response(200))
    asked = asks_of(jobs.stage)
    jobs.put("alice", http_job())
    jobs.settle()
    jobs.advance(2)
    tries = [each for each in spans.all() if each.kind is SpanKind.CLIENT]

    assert [each.status.description for each in tries] == ["OutboundUnreachableError", None]
    assert [traceparent_of(each.trace) for each in asked] == [
        f"00-{trace_of(each):032x}-{id_of(each):016x}-01" for each in tries
    ]
    assert (tries[1].attributes or {})["http.response.status_code"] == 200
    assert all(links_of(each) for each in tries)


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


def asking(turn: Turn, url: str) -> Any:
    return json.loads(turn.request_http(json.dumps({"method": "GET", "url": url, "headers": []}).encode()))["status"]


def test_an_outbound_request_carries_its_own_span_which_is_a_part_of_the_turn(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    stage = stage_of(monkeypatch, spans, asking=asking)
    stage.worker.courier.send = lambda request, frame: request.answered(*response(204))  # type: ignore[method-assign]
    asked = asks_of(stage)
    assert stage.call("alice", "asking", "https://user:word@api.test:8443/hook/secret?token=secret") == (200, 204)
    found = spans.all()

    (turn,) = [each for each in found if each.name == "T.asking"]
    (request,) = [each for each in found if each.kind is SpanKind.CLIENT]
    assert parent_of(request) == id_of(turn)
    assert traceparent_of(asked[0].trace) == f"00-{trace_of(turn):032x}-{id_of(request):016x}-01"
    assert dict(request.attributes or {}) == {
        "holdfast.function": "f", "holdfast.worker": 0, "http.request.method": "GET", "url.scheme": "https",
        "server.address": "api.test", "server.port": 8443, "http.response.status_code": 204,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "https://\ud800.test/"), ("\udfff" * 99, "https://api.test/"), ("x" * 10_000, "http://[::1"), (None, 5)],
)
def test_what_a_guest_asks_for_costs_no_other_spans(
    monkeypatch: pytest.MonkeyPatch, spans: Spans, method: Any, url: Any
) -> None:
    def ask(turn: Turn, _: Any) -> None:
        turn.request_http(json.dumps({"headers": [], "method": method, "url": url}).encode())

    stage = stage_of(monkeypatch, spans, ask=ask)
    stage.worker.courier.send = lambda request, frame: request.answered(*response(200))  # type: ignore[method-assign]
    stage.call("alice", "ask")
    found = spans.all()

    encode_spans(found).SerializeToString()
    (request,) = [each for each in found if each.kind is SpanKind.CLIENT]
    assert request.name in {"GET", "_OTHER"}


def test_an_outbound_request_of_an_unrecorded_turn_says_so(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    stage = stage_of(monkeypatch, spans, asking=asking)
    stage.worker.courier.send = lambda request, frame: request.answered(*response(200))  # type: ignore[method-assign]
    asked = asks_of(stage)
    stage.client.wait(stage.client.send("alice", "asking", "https://api.test/", trace=NOT_SAMPLED))

    assert traceparent_of(asked[0].trace)[:36] == f"00-{TRACE}-"
    assert traceparent_of(asked[0].trace).endswith("-00")
    assert spans.all() == []


def test_events_of_a_socket_link_to_the_turn_that_accepted_it(monkeypatch: pytest.MonkeyPatch, spans: Spans) -> None:
    room = SocketStage(monkeypatch, spans=spans)
    socket = room.front.accept("alice")
    room.front.say("alice", socket, json.dumps([["attach", socket_text(socket), 1]]))
    room.settle()
    room.front.closed("alice", socket)
    room.settle()
    turns = spans.turns()

    for name in ("T.socket_message", "T.socket_close"):
        assert links_of(turns[name]) == [id_of(turns["T.fetch"])]
        assert turns[name].kind is SpanKind.CONSUMER


def test_a_functions_request_is_a_server_span_of_http_without_its_query(
    monkeypatch: pytest.MonkeyPatch, spans: Spans
) -> None:
    handler: Guest = lambda turn, request: {"status": request["headers"][0][1], "headers": []}  # noqa: E731
    stage = FunctionStage(monkeypatch, handler, spans=spans)
    request = {
        "method": "GET", "url": "https://f.localhost:8787/a/b?token=secret", "client": "127.0.0.1",
        "headers": [["x", 503]],
    }  # fmt: skip
    with stage.client._sending:
        body = json.dumps(request).encode()
        frame = Call(0, 0, 0, CallKind.FUNCTION, 0, b"f", b"fetch", b"", body, trace=SAMPLED)
        stage.client._slot += 1
        stage.client.socket.sendall(pack_call(frame))
    stage.client.wait(0)
    (span,) = spans.turns().values()

    assert (span.name, span.kind, parent_of(span)) == ("GET f", SpanKind.SERVER, int(SPAN, 16))
    assert (span.attributes or {}).items() >= {
        "http.request.method": "GET", "url.path": "/a/b", "url.scheme": "https", "server.address": "f.localhost",
        "server.port": 8787, "http.response.status_code": 503, "error.type": "503",
    }.items()  # fmt: skip
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in repr(span.to_json())


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
