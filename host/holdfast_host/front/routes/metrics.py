"""/metrics: what all processes of the host have counted, as Prometheus reads it. The only importer of its client.

Every series says which worker or front it is of, for each counts from its own start. Types, functions and errors are
labels; names of instances never are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from holdfast_host.core.json_text import JsonObject
from holdfast_host.front.access.rules import look
from holdfast_host.front.app import Route
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import Answer
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.operations import CollectMeasures, CollectTenantMeasures

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PRIVATE: Final = "Bytes of memory that the process alone holds; its resident size counts shared pages of files too."


class MetricsRoutes:
    """The handler. One per front; whichever front is asked answers for the whole host."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/metrics", GET=look(self._metrics))]

    async def _metrics(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        if exchange.whole_host:
            collector: Collector = HostCollector(await self._control.request(CollectMeasures()))
        else:
            collector = TenantCollector(await self._control.request(CollectTenantMeasures(exchange.tenant)))
        return Answer(200, await asyncio.to_thread(_rendered, collector), CONTENT_TYPE)


def render_measures(measures: JsonObject) -> bytes:
    """The text for what `supervisor.processes.measures` collected of the whole host."""
    return _rendered(HostCollector(measures))


def render_tenant_measures(measures: JsonObject) -> bytes:
    """The text for what was collected of a tenant: nothing of another one, nor of the machine, is in it."""
    return _rendered(TenantCollector(measures))


def _rendered(collector: Collector) -> bytes:
    """Some 10 us a series, so on a thread of its own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)


class HostCollector(Collector):
    """The numbers of one scrape."""

    def __init__(self, measures: JsonObject) -> None:
        self._workers: list[JsonObject] = measures["workers"]
        self._fronts: list[JsonObject] = measures["fronts"]
        self._couriers: list[JsonObject] = measures.get("couriers", [])
        self._quarantined: dict[str, int] = measures["quarantined"]
        self._deploys_waiting: int = measures["deploys_waiting"]
        self._private_bytes: int = measures["private_bytes"]
        self._tenants: list[JsonObject] = measures.get("tenants", [])
        self._archive: JsonObject = measures.get("archive", {})
        self._store: JsonObject = measures.get("store", {})

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from _of_processes("worker", self._workers)
        yield from _of_processes("front", self._fronts)
        yield from _of_courier(self._couriers)
        quarantined = GaugeMetricFamily("holdfast_quarantined", "Kept away for killing workers.", labels=["kind"])
        for kind, count in self._quarantined.items():
            quarantined.add_metric([kind], count)
        yield quarantined
        waiting = GaugeMetricFamily("holdfast_deploys_waiting", "Deploys in line before the compiler.")
        waiting.add_metric([], self._deploys_waiting)
        yield waiting
        private = GaugeMetricFamily("holdfast_supervisor_private_bytes", _PRIVATE)
        private.add_metric([], self._private_bytes)
        yield private
        yield from _of_tenants(self._tenants)
        yield from _of_archive(self._archive)
        for name, key, text in _SERVER_GAUGES:
            family = GaugeMetricFamily(name, text)
            if key in self._store:
                family.add_metric([], float(self._store[key]))
            yield family
        workers = [(str(n), each["measures"]) for n, each in enumerate(self._workers) if each["measures"]]
        fronts = [(str(n), each["measures"]) for n, each in enumerate(self._fronts) if each["measures"]]
        yield from _of_calls(workers)
        yield from _of_commits(workers, self._workers)
        yield from _of_store([(number, facts["store"]) for number, facts in workers if "store" in facts])
        for name, key, text in _WORKER_COUNTERS:
            yield _numbers(CounterMetricFamily(name, text, labels=["worker"]), workers, key)
        for name, key, text in _WORKER_GAUGES:
            yield _numbers(GaugeMetricFamily(name, text, labels=["worker"]), workers, key)
        for name, key, label, text in _WORKER_COUNTS:
            yield _counts(CounterMetricFamily(name, text, labels=["worker", label]), workers, key)
        spans = CounterMetricFamily(*_SPANS, labels=["worker", "outcome"])
        yield _counts(spans, [each for each in workers if "spans" in each[1]], "spans")
        for name, key, text in _FRONT_COUNTERS:
            yield _numbers(CounterMetricFamily(name, text, labels=["front"]), fronts, key)
        for name, key, text in _FRONT_GAUGES:
            yield _numbers(GaugeMetricFamily(name, text, labels=["front"]), fronts, key)
        refused = CounterMetricFamily("holdfast_http_refused", "Requests refused, by error.", labels=["front", "error"])
        yield _counts(refused, fronts, "refused")
        yield from _of_sockets(fronts)
        slots = GaugeMetricFamily("holdfast_slots_in_use", "Unanswered calls.", labels=["front", "worker"])
        for number, facts in fronts:
            for worker, count in enumerate(facts["unanswered"]):
                slots.add_metric([number, str(worker)], count)
        yield slots


class TenantCollector(Collector):
    """The numbers of one scrape by a tenant."""

    def __init__(self, measures: JsonObject) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from _of_calls((str(number), each) for number, each in enumerate(self._measures["workers"]))
        yield from _of_tenants(self._measures["tenants"])


_WORKER_COUNTERS: Final = (
    ("holdfast_evictions", "evictions", "Idle activations taken out of memory."),
    ("holdfast_promotions", "promotions", "Turns and commits that were detached because others waited."),
    ("holdfast_log_lines_dropped", "log_lines_dropped", "Log lines dropped because they came too fast."),
)
_WORKER_GAUGES: Final = (
    ("holdfast_mailbox_turns", "waiting_turns", "Turns that wait in all mailboxes."),
    ("holdfast_mailbox_deepest_turns", "deepest_mailbox", "Turns that wait in the fullest mailbox."),
    ("holdfast_mailbox_oldest_wait_seconds", "oldest_wait_s", "For how long the oldest waiting turn has waited."),
    ("holdfast_instances_in_memory", "instances", "Instances in memory."),
    ("holdfast_worker_private_bytes", "private_bytes", _PRIVATE),
    ("holdfast_disk_free_bytes", "disk_free_bytes", "Free bytes of the disk that the worker stores on."),
    ("holdfast_storage_short", "short_of_room", "Whether nothing may grow: too little disk or map is left."),
    ("holdfast_jobs_under_way", "jobs_under_way", "Jobs that run, or are called, asked or answered."),
    ("holdfast_detached_turns", "detached", "Turns that compute or wait beside the others."),
    ("holdfast_commit_in_flight_seconds", "commit_in_flight_s", "For how long the running commit has run; 0: none."),
)
_WORKER_COUNTS: Final = (
    ("holdfast_traps", "traps", "kind", "Guests that the sandbox stopped, by kind."),
    (
        "holdfast_alarms",
        "alarms",
        "outcome",
        "Runs of alarms' handlers, by outcome: ok, or the error's name; and alarms abandoned or parked.",
    ),
    (
        "holdfast_jobs",
        "jobs",
        "outcome",
        "Turns of jobs, runs and then, by outcome: ok, or the error's name; and jobs abandoned or parked.",
    ),
)
_SPANS: Final = (
    "holdfast_spans",
    "Spans by what became of them: exported, failed (the collector did not take them), dropped (too many waited).",
)
_FRONT_COUNTERS: Final = (
    ("holdfast_http_requests", "requests", "HTTP requests."),
    ("holdfast_http_direct_calls", "direct", "Calls whose heads were known, so that they were not parsed."),
    ("holdfast_http_closed_for_room", "closed_for_room", "Connections closed to make room for others."),
    ("holdfast_http_cut_unread", "cut_unread", "Connections cut because their clients did not take their answers."),
)
_FRONT_GAUGES: Final = (
    ("holdfast_http_open_requests", "open_requests", "Requests being served."),
    ("holdfast_front_private_bytes", "private_bytes", _PRIVATE),
    ("holdfast_http_connections", "connections", "Open connections."),
    ("holdfast_http_coming_bytes", "coming_bytes", "Bytes in memory of bodies that are still coming in."),
    ("holdfast_http_unread_bytes", "unread_bytes", "Bytes in memory of answers that wait to be taken."),
)
_SOCKET_COUNTERS: Final = (
    ("holdfast_sockets_opened", "opened", "Sockets whose handshakes ended well."),
    ("holdfast_socket_events", "events", "Events of sockets that were given to workers."),
    ("holdfast_socket_frames_sent", "sent", "Messages to sockets, each counted for each of them."),
    ("holdfast_sockets_cut", "cut", "Sockets cut because their clients took nothing, or ended no message."),
)
_SOCKET_GAUGES: Final = (
    ("holdfast_sockets_open", "open", "Sockets, those included whose handshakes are under way."),
    ("holdfast_socket_streams_open", "streams", "Those of them that are event streams."),
    ("holdfast_socket_held_bytes", "held_bytes", "Bytes in memory of messages that are not whole, or wait."),
    ("holdfast_socket_unsent_bytes", "unsent_bytes", "Bytes in memory that slow clients have not taken."),
)

_COURIER_GAUGES: Final = (
    ("holdfast_outbound_under_way", "under_way", "Outbound requests under way."),
    ("holdfast_outbound_held_bytes", "held_bytes", "Bytes in memory of their bodies."),
    ("holdfast_outbound_connections", "open_connections", "Open connections to the outside."),
    ("holdfast_courier_private_bytes", "private_bytes", _PRIVATE),
)

_ARCHIVE_GAUGES: Final = (
    ("holdfast_archive_lag_seconds", "lag_s", "For how long what was committed may not be in the archive."),
    ("holdfast_archive_failing", "failing", "Whether the archive takes nothing."),
    ("holdfast_archive_base_failing", "base_failing", "Whether no base can be made, by which the archive is whole."),
    ("holdfast_archive_waiting_bytes", "waiting_bytes", "Bytes in the data directory that the archive lacks."),
)
_ARCHIVE_COUNTERS: Final = (
    ("holdfast_archive_shipped_bytes", "shipped_bytes", "Bytes added to the archive's segments."),
    ("holdfast_archive_bases", "bases", "Bases made."),
)

_STORE_COUNTERS: Final = (
    ("holdfast_store_confirms", "confirms", "Commits to PostgreSQL that only confirm what was read."),
    ("holdfast_store_refused_groups", "refused_groups", "Commits that PostgreSQL has refused as a whole."),
)
_SERVER_GAUGES: Final = (
    ("holdfast_host_beat_age_seconds", "beat_age_s", "Since PostgreSQL has last taken a sign of life of the host."),
    ("holdfast_store_xid_age", "xid_age", "Transactions since PostgreSQL froze its rows; at 2^31 it stops."),
    ("holdfast_store_connections_left", "connections_left", "Connections that PostgreSQL has left."),
    ("holdfast_store_snapshot_age_seconds", "snapshot_age_s", "Age of the oldest snapshot that is seen there."),
)
_STORE_SILENT: Final = ("holdfast_store_silent_seconds", "For how long PostgreSQL has not answered; 0: it has.")

Processes = Iterable[tuple[str, JsonObject]]


def _of_processes(role: str, processes: list[JsonObject]) -> Iterator[Metric]:
    up = GaugeMetricFamily(f"holdfast_{role}_up", f"Whether the {role} is ready.", labels=[role])
    deaths = CounterMetricFamily(f"holdfast_{role}_deaths", f"Deaths of the {role} since the start.", labels=[role])
    for number, each in enumerate(processes):
        up.add_metric([str(number)], float(each["up"]))
        deaths.add_metric([str(number)], each["deaths"])
    yield from (up, deaths)


def _of_archive(archive: JsonObject) -> Iterator[Metric]:
    """Of the archive; a host without one has no samples."""
    families: list[tuple[GaugeMetricFamily | CounterMetricFamily, str]] = [
        (GaugeMetricFamily(name, text), key) for name, key, text in _ARCHIVE_GAUGES
    ]
    families += [(CounterMetricFamily(name, text), key) for name, key, text in _ARCHIVE_COUNTERS]
    for family, key in families:
        if archive:
            family.add_metric([], float(archive[key]))
        yield family


def _of_tenants(tenants: list[JsonObject]) -> Iterator[Metric]:
    """Of those that have limits: what they are, and how much of what is stored there was at the last count."""
    limits = GaugeMetricFamily("holdfast_tenant_limit", "What a tenant may have at most.", labels=["tenant", "limit"])
    instances = GaugeMetricFamily("holdfast_tenant_instances", "Stored instances of a tenant.", labels=["tenant"])
    size = GaugeMetricFamily("holdfast_tenant_bytes", "Bytes that a tenant stores.", labels=["tenant"])
    for each in tenants:
        for limit, most in each["limits"].items():
            limits.add_metric([each["name"], limit], most)
        if each["stored"] is not None:
            instances.add_metric([each["name"]], each["stored"]["instances"])
            size.add_metric([each["name"]], each["stored"]["bytes"])
    yield from (limits, instances, size)


def _of_courier(couriers: list[JsonObject]) -> Iterator[Metric]:
    """Of the courier; a host none of whose functions asks outside has none."""
    yield from _of_processes("courier", couriers)
    running = [(str(n), each["measures"]) for n, each in enumerate(couriers) if each["measures"]]
    by_outcome = ["courier", "outcome"]
    requests = CounterMetricFamily(
        "holdfast_outbound_requests", "Outbound requests, by outcome: answered, or the error's name.", labels=by_outcome
    )
    yield _counts(requests, running, "requests")
    for name, key, text in _COURIER_GAUGES:
        yield _numbers(GaugeMetricFamily(name, text, labels=["courier"]), running, key)


def _of_sockets(fronts: Processes) -> Iterator[Metric]:
    sockets = [(number, facts["sockets"]) for number, facts in fronts]
    for name, key, text in _SOCKET_COUNTERS:
        yield _numbers(CounterMetricFamily(name, text, labels=["front"]), sockets, key)
    for name, key, text in _SOCKET_GAUGES:
        yield _numbers(GaugeMetricFamily(name, text, labels=["front"]), sockets, key)


def _of_calls(workers: Processes) -> Iterator[Metric]:
    by_type = ["worker", "type"]
    calls = CounterMetricFamily(
        "holdfast_calls", "Calls answered, by outcome: ok, or the error's name.", labels=[*by_type, "outcome"]
    )
    latency = HistogramMetricFamily(
        "holdfast_call_seconds", "From arrival at the worker to the answer.", labels=by_type
    )
    queued = HistogramMetricFamily("holdfast_queue_seconds", "From arrival to the turn's begin.", labels=by_type)
    activations = CounterMetricFamily("holdfast_activations", "Activations made.", labels=by_type)
    for number, facts in workers:
        for each in facts["types"]:
            labels = [number, each["type"]]
            for outcome, count in each["outcomes"].items():
                calls.add_metric([*labels, outcome], count)
            _add(latency, labels, each["latency"])
            _add(queued, labels, each["queued"])
            activations.add_metric(labels, each["activations"])
    yield from (calls, latency, queued, activations)


def _of_commits(workers: Processes, processes: list[JsonObject]) -> Iterator[Metric]:
    seconds = HistogramMetricFamily("holdfast_commit_seconds", "Time of a commit with its sync.", labels=["worker"])
    turns = HistogramMetricFamily("holdfast_commit_turns", "Turns committed together.", labels=["worker"])
    for number, facts in workers:
        _add(seconds, [number], facts["commit_seconds"])
        _add(turns, [number], facts["group_turns"])
    stalled = GaugeMetricFamily("holdfast_commit_stalled", "Whether the worker's commit hangs.", labels=["worker"])
    for index, each in enumerate(processes):
        stalled.add_metric([str(index)], float(each["stalled"]))
    yield from (seconds, turns, stalled)


def _of_store(workers: Processes) -> Iterator[Metric]:
    """Of a store on PostgreSQL; a host whose storage is in files has no samples."""
    loads = HistogramMetricFamily(
        "holdfast_instance_load_seconds", "Time of reading an instance from PostgreSQL.", labels=["worker"]
    )
    for number, facts in workers:
        _add(loads, [number], facts["load_seconds"])
    yield loads
    for name, key, text in _STORE_COUNTERS:
        yield _numbers(CounterMetricFamily(name, text, labels=["worker"]), workers, key)
    yield _numbers(GaugeMetricFamily(*_STORE_SILENT, labels=["worker"]), workers, "silent_s")


def _add(family: HistogramMetricFamily, labels: list[str], histogram: JsonObject) -> None:
    bounds = [*(repr(float(bound)) for bound in histogram["bounds"]), "+Inf"]
    family.add_metric(labels, list(zip(bounds, accumulate(histogram["counts"]), strict=True)), histogram["sum"])


def _numbers(
    family: CounterMetricFamily | GaugeMetricFamily, of: Processes, key: str
) -> CounterMetricFamily | GaugeMetricFamily:
    for number, facts in of:
        family.add_metric([number], facts[key])
    return family


def _counts(family: CounterMetricFamily, of: Processes, key: str) -> CounterMetricFamily:
    for number, facts in of:
        for label, count in facts[key].items():
            family.add_metric([number, label], count)
    return family
