"""Spans of turns, read back from the official in-memory exporter."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanKind, StatusCode

from holdfast_host.wire.calls.frames import Call, CallKind, pack_call
from holdfast_host.wire.calls.trace_context import traceparent_of
from holdfast_host.wire.control.routing import Routing
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.span_stage import (
    NOT_SAMPLED,
    PARTS,
    SAMPLED,
    SPAN,
    TRACE,
    Spans,
    asks_of,
    id_of,
    parent_of,
    stage_of,
    trace_of,
)
from tests.unit.worker.stage import TYPE, Guest, Stage
from tests.unit.worker.test_calls import call_out
from tests.unit.worker.test_functions import FunctionStage
from tests.unit.worker.test_job_outcomes import response


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
