"""What is not asked for by a call, links to the turn that left it behind: alarms, jobs, events of sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from holdfast_host.core.errors import HoldfastError, OutboundUnreachableError
from holdfast_host.wire.calls.trace_context import traceparent_of
from holdfast_host.wire.sockets.frames import socket_text
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.alarm_stage import SECOND, AlarmStage
from tests.unit.worker.job_stage import JobStage
from tests.unit.worker.socket_stage import SocketStage
from tests.unit.worker.span_stage import (
    NOT_SAMPLED,
    Spans,
    asks_of,
    id_of,
    parent_of,
    trace_of,
)
from tests.unit.worker.test_job_outcomes import Courier, call_job, http_job, receiving, response


def links_of(span: ReadableSpan) -> list[int]:
    return [each.context.span_id for each in span.links]


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
