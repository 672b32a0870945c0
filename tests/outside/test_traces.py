"""Traces of a running host, as a collector gets them: OTLP over HTTP, read with the protocol's own classes."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from websockets.sync.client import connect

from tests.contract.guest.drivers import SUITE
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.outside import Given, OutsideServer, outside_server

GRANTS: Final = ("--outbound", "http://*", "--outbound-private", "127.0.0.1")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT: Final = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
PARTS: Final = frozenset({"queue", "activation", "run", "gate", "commit"})
PATIENCE_S: Final = 30
SOON: Final = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@dataclass(frozen=True)
class Received:
    """One span, as the collector got it."""

    span: Span
    resource: dict[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in self.span.attributes}


class Collector:
    """A server that takes spans, and what it has of them."""

    def __init__(self, server: OutsideServer) -> None:
        self.server = server
        server.answers["/v1/traces"] = Given()

    def all(self) -> list[Received]:
        found = []
        for asked in self.server.asked:
            if asked.path != "/v1/traces":
                continue
            body = gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = {each.key: each.value.string_value for each in group.resource.attributes}
                found += [Received(span, resource) for scope in group.scope_spans for span in scope.spans]
        return found

    def named(self, *names: str) -> list[Received]:
        """One span of each of these names, in their order, once they are all there."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = {each.span.name: each for each in self.all()}
            if all(name in found for name in names):
                return [found[name] for name in names]
            assert time.monotonic() < deadline, sorted(found)
            time.sleep(0.02)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with outside_server() as server:
        yield Collector(server)


@pytest.fixture
def start_suite(tmp_path: Path) -> Iterator[Callable[..., HostProcess]]:
    """Starts hosts on which the suite of guests is deployed."""
    with ExitStack() as hosts:

        def start(*options: str, **environment: str) -> HostProcess:
            data = tmp_path / "data"
            host = HostProcess(data, "--workers", "2", *GRANTS, *options, environment={**SOON, **environment})
            hosts.enter_context(host)
            deploy(host, components.built(SUITE))
            return host

        yield start


def test_one_trace_goes_from_a_backend_through_function_actor_and_outside_and_later_turns_link_to_it(
    start_suite: Callable[..., HostProcess], collector: Collector
) -> None:
    """Over two workers; an alarm, a job and its callee, and a socket; each of them real."""
    collector.server.answers["/now"] = Given(body=b"now")
    host = start_suite("--traces", collector.server.url)
    url = f"{collector.server.url}/now"
    with host.caller() as caller:
        assert caller.request("GET", "/fn/suite/call/alice?token=secret", headers=PARENT).status == 201
        body = f'["ASKER","ann","ask",["GET","{url}",{{}}],{{}}]'
        assert caller.request("POST", "/v1/actors/Caller/carl/call", body, PARENT).status == 200
        assert caller.request("POST", "/v1/actors/Timer/tim/plan", "[{},0]", PARENT).status == 200
        assert caller.request("POST", "/v1/actors/Leaving/leo/tell", '["cal","missing",[]]', PARENT).status == 200
        where = f"{host.url.replace('http', 'ws')}/v1/actors/Meeting/m/ws"
        with connect(where, additional_headers=PARENT) as client:
            client.send('[["put","k",1],["count"]]')
            assert [client.recv(), client.recv()] == ["welcome ", "1"]
        accept, message, closed = collector.named("Meeting.fetch", "Meeting.socket_message", "Meeting.socket_close")
        fetch, do = collector.named("GET suite", "Probe.do")
        call, ask, get = collector.named("Caller.call", "Asker.ask", "GET")
        plan, alarm = collector.named("Timer.plan", "Timer.alarm")
        tell, callee, then = collector.named("Leaving.tell", "Callee.missing", "Leaving._heard")

    for root in (fetch, call, plan, tell, accept):
        assert (root.span.trace_id.hex(), root.span.parent_span_id.hex()) == (TRACE, SPAN)
        assert root.span.kind == Span.SPAN_KIND_SERVER
    for inner, outer in ((do, fetch), (ask, call), (get, ask)):
        assert inner.span.parent_span_id == outer.span.span_id
        assert inner.span.trace_id.hex() == TRACE
    for later, maker in ((alarm, plan), (callee, tell), (then, tell), (message, accept), (closed, accept)):
        assert [each.span_id for each in later.span.links] == [maker.span.span_id]
        assert later.span.trace_id.hex() != TRACE
    assert fetch.attributes.items() >= {"url.path": "/call/alice", "http.response.status_code": 201}.items()
    assert do.attributes.items() >= {"holdfast.type": "Probe", "holdfast.instance": "alice"}.items()
    assert callee.span.status.code == Status.STATUS_CODE_ERROR
    assert callee.span.status.message == "ActorUnknownMethodError"
    [asked] = [each for each in collector.server.asked if each.path == "/now"]
    assert asked.headers["traceparent"] == f"00-{TRACE}-{get.span.span_id.hex()}-01"
    parts = {each.span.name for each in collector.all() if each.span.parent_span_id == do.span.span_id}
    assert parts == PARTS
    assert fetch.resource["service.name"] == "holdfast"
    assert "secret" not in repr([each.span for each in collector.all()])


def test_a_host_stops_with_all_spans_sent_and_the_variables_say_where_and_how(
    start_probe_host: StartHost, collector: Collector
) -> None:
    """The endpoint, the service's name and a sampler, as for any program that OpenTelemetry has to do with."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.server.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20word",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0",
    }
    host = start_probe_host(**variables)
    with host.caller() as caller:
        for number in range(5):  # by a head that is known, and by the parser
            caller.value("Probe", "alice", "increment")
            caller.request("POST", "/v1/actors/Probe/bob/increment", "[]", PARENT if number == 4 else None)
    host.stop()

    found = [each for each in collector.all() if each.span.name not in PARTS]
    assert [each.span.name for each in found] == ["Probe.increment"], "the ratio of what has no parent is 0"
    assert found[0].attributes["holdfast.instance"] == "bob"
    assert found[0].resource["service.name"] == "shop"
    [asked] = {each.headers["authorization"] for each in collector.server.asked}
    assert asked == "Bearer word"


@pytest.mark.slow
def test_an_alarm_links_to_the_turn_that_set_it_over_a_restart(
    start_probe_host: StartHost, collector: Collector
) -> None:
    host = start_probe_host("--traces", collector.server.url, **SOON)
    with host.caller() as caller:
        caller.value("Probe", "alice", "arm", 1, 3)
    host.stop()
    assert {each.span.name for each in collector.all()} >= {"Probe.arm"}
    host.start()
    arm, alarm = collector.named("Probe.arm", "Probe.alarm")

    assert [each.span_id for each in alarm.span.links] == [arm.span.span_id]


def test_a_collector_that_is_not_there_costs_no_call_and_is_named_in_the_log(start_probe_host: StartHost) -> None:
    with outside_server() as server:
        gone = server.url
    host = start_probe_host("--traces", gone, OTEL_EXPORTER_OTLP_TIMEOUT="1", **SOON)
    with host.caller() as caller:
        assert [caller.value("Probe", "alice", "increment") for _ in range(50)] == list(range(1, 51))
        deadline = time.monotonic() + PATIENCE_S
        while "the collector takes no spans" not in host.log:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lines = caller.request("GET", "/metrics").text.splitlines()

    assert f"url={gone}/v1/traces" in host.log
    [failed] = [each for each in lines if each.startswith("holdfast_spans_total") and 'outcome="failed"' in each]
    assert float(failed.rpartition(" ")[2]) > 0


@pytest.mark.slow
def test_without_tracing_a_callers_trace_is_nobodys_and_no_metric_speaks_of_spans(
    start_suite: Callable[..., HostProcess], collector: Collector
) -> None:
    collector.server.answers["/now"] = Given(body=b"now")
    host = start_suite()
    with host.caller() as caller:
        body = f'["GET","{collector.server.url}/now",{{}}]'
        assert caller.request("POST", "/v1/actors/Asker/ann/ask", body, PARENT).status == 200
        metrics = caller.request("GET", "/metrics").text

    [asked] = collector.server.asked
    assert "traceparent" not in asked.headers
    assert "holdfast_spans_total{" not in metrics
