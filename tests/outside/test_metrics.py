"""/metrics and readiness over a real host."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import postgres, processes
from tests.harness.background import CallUnderWay
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(caller: Caller) -> Series:
    answer = caller.request("GET", "/metrics")
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    series = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}
    assert len(series) == len(samples), "two samples of one series, of which Prometheus takes neither for sure"
    return series


def total(series: Series, name: str, **labels: str) -> float:
    """The sum over all series of that name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, theirs), value in series.items() if found == name and wanted <= set(theirs))


def ready(caller: Caller) -> str:
    """Empty when the host is ready, else why not."""
    answer = caller.request("GET", "/health/readiness")
    return "" if answer.status == 200 else str(answer.value["error"]["message"])


def until_ready(host: HostProcess, reason: str, timeout_s: float = 20.0) -> None:
    """Returns when readiness says that; empty for ready."""
    deadline = time.monotonic() + timeout_s
    with host.caller() as caller:
        for _ in itertools.count():
            said = ready(caller)
            if (reason in said) if reason else not said:
                return
            assert time.monotonic() < deadline, said
            time.sleep(0.02)


@pytest.mark.slow
def test_calls_are_counted_by_type_and_outcome_over_all_workers(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    with host.caller() as caller:
        for number in range(20):
            caller.value("Probe", f"secret-name-{number}", "increment")
        assert caller.call("Probe", "a", "raise_only").error == "ActorMethodError"
        assert caller.call("Probe", "a", "put_then_refuse", "k", 1).error == "ActorError"
        assert caller.call("Fragile", "bad", "made").error == "ActorInitError"
        assert caller.call("Probe", "a", "nonsense").error == "ActorUnknownMethodError"
        assert caller.call("Probe", "a", "trap").error == "ActorTrapError"
        assert caller.request("GET", "/nowhere").status == 404
        seen = scrape(caller)

        assert total(seen, "holdfast_calls_total", type="Probe", outcome="ok") == 20
        assert total(seen, "holdfast_calls_total", type="Probe", outcome="ActorMethodError") == 1
        assert total(seen, "holdfast_calls_total", type="Probe", outcome="ActorError") == 1
        assert total(seen, "holdfast_calls_total", type="Fragile", outcome="ActorInitError") == 1
        assert total(seen, "holdfast_calls_total", outcome="ActorUnknownMethodError") == 1
        assert total(seen, "holdfast_call_seconds_count", type="Probe") == 24
        assert total(seen, "holdfast_call_seconds_bucket", type="Probe", le="+Inf") == 24
        assert total(seen, "holdfast_queue_seconds_count", type="Probe") == 23
        assert 21 <= total(seen, "holdfast_activations_total", type="Probe") <= 23
        assert total(seen, "holdfast_commit_turns_sum") == 20
        assert total(seen, "holdfast_commit_seconds_count") == total(seen, "holdfast_commit_turns_count") > 0
        assert total(seen, "holdfast_traps_total") == 1
        assert total(seen, "holdfast_http_refused_total", error="UnknownRouteError") == 1
        assert total(seen, "holdfast_worker_up") == 2
        assert all(total(seen, "holdfast_calls_total", worker=worker) > 0 for worker in "01")
        assert not any("secret-name" in value for _, labels in seen for _, value in labels)


def test_what_waits_is_measured(probe_host: StartHost) -> None:
    host = probe_host()
    running = CallUnderWay(host, "Probe", "busy", "spin", 3.0)
    with host.caller() as caller:
        while not caller.request("GET", "/v1/instances/Probe/busy").value["active"]:
            assert not running.is_answered_within(0.01)
        waiting = [CallUnderWay(host, "Probe", "busy", "nothing") for _ in range(3)]
        seen: Series = {}
        while total(seen, "holdfast_mailbox_deepest_turns") < 3:
            assert not running.is_answered_within(0.01)
            seen = scrape(caller)

        assert total(seen, "holdfast_mailbox_turns") == 3
        assert 0 < total(seen, "holdfast_mailbox_oldest_wait_seconds") < 3
        assert total(seen, "holdfast_detached_turns") == 1
        assert total(seen, "holdfast_slots_in_use") == 4
    for each in (running, *waiting):
        assert each.answer().status == 200


def test_private_memory_is_what_each_process_alone_holds(probe_host: StartHost) -> None:
    host = probe_host(workers=2)
    with host.caller() as caller:
        for number in range(60):
            caller.value("Probe", f"n{number}", "increment")
        seen = scrape(caller)
        pids = host.pids()

    for role, label in (("worker", "worker"), ("front", "front"), ("supervisor", "")):
        for number, pid in enumerate(pids[role]):
            labels = {label: str(number)} if label else {}
            private = total(seen, f"holdfast_{role}_private_bytes", **labels)
            assert private == pytest.approx(processes.anonymous_bytes(pid), rel=0.2, abs=4 << 20)
            if role == "worker":
                assert private < processes.resident_bytes(pid)


def test_a_workers_death_is_counted_and_readiness_says_that_it_is_down(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        caller.value("Probe", "a", "increment")
        host.kill("worker")
        until_ready(host, "worker 0")
        until_ready(host, "")
        seen = scrape(caller)

        assert total(seen, "holdfast_worker_deaths_total", worker="0") == 1
        assert total(seen, "holdfast_front_deaths_total") == 0


def test_readiness_is_red_while_a_sync_stalls(start_probe_host: StartHost, tmp_path: Path) -> None:
    stalling = tmp_path / "stalling"
    host = start_probe_host(command=command(f"hold_commits={stalling}"))
    with host.caller() as caller:
        stalling.touch()
        held = CallUnderWay(host, "Probe", "a", "increment")
        until_ready(host, "commits of worker 0 hang")
        assert caller.value("Probe", "b", "echo", 1) == 1
        assert total(scrape(caller), "holdfast_commit_stalled") == 1
        assert total(scrape(caller), "holdfast_commit_in_flight_seconds") > 2
        stalling.unlink()

        until_ready(host, "")
        assert held.answer().status == 200
    assert "a commit does not end" in host.log


def test_a_worker_that_does_not_answer_is_left_out(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        host.kill("worker", signal.SIGSTOP)
        seen = scrape(caller)
        host.kill("worker", signal.SIGCONT)

        assert total(seen, "holdfast_http_requests_total") > 0
        assert not any(name == "holdfast_mailbox_turns" for name, _ in seen)


def test_metrics_need_the_token_and_health_does_not(start_probe_host: StartHost) -> None:
    host = start_probe_host(HOLDFAST_TOKEN="correct-horse")
    with host.caller() as caller:
        assert caller.request("GET", "/metrics").status == 401
        bearer = {"Authorization": "Bearer correct-horse"}
        assert caller.request("GET", "/metrics", headers=bearer).status == 200
        assert ready(caller) == ""


def test_readiness_is_red_while_the_host_stops(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    running = CallUnderWay(host, "Probe", "busy", "spin", 2.0)
    with host.caller() as caller:
        while not caller.request("GET", "/v1/instances/Probe/busy").value["active"]:
            assert not running.is_answered_within(0.01)
        host.kill("supervisor", signal.SIGTERM)
        said = ""
        while not said:
            try:
                said = ready(caller)
            except NoAnswerError:
                said = "the connection is closed"

        assert said in {"not ready: the host is stopping", "the connection is closed"}
        assert running.answer().status == 200
        assert host.wait() == 0


def test_an_eviction_is_counted(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "idle_eviction_s=0.2")
    with host.caller() as caller:
        caller.value("Probe", "idle", "increment")
        seen: Series = {}
        deadline = time.monotonic() + 20.0
        while total(seen, "holdfast_evictions_total") < 1:
            assert time.monotonic() < deadline, "an idle activation was never evicted, or not counted"
            seen = scrape(caller)
            time.sleep(0.05)

        assert total(seen, "holdfast_instances_in_memory") == 0


@pytest.mark.slow
def test_a_host_on_postgresql_says_how_that_does(probe_component: TestComponent, tmp_path: Path) -> None:
    """Reads that were asked for and confirmed, and what slowly goes wrong with a server."""
    with HostProcess(tmp_path / "data", *postgres.store_options()) as host, host.caller() as caller:
        deploy(host, probe_component)
        caller.value("Probe", "alice", "put", "k", "v")
        for _ in range(3):
            caller.value("Probe", "alice", "get", "k")
        deadline = time.monotonic() + 20
        while not total(series := scrape(caller), "holdfast_store_xid_age"):
            assert time.monotonic() < deadline, "the server has not been looked at"
            time.sleep(0.1)

    assert total(series, "holdfast_instance_load_seconds_count") >= 1
    assert total(series, "holdfast_store_confirms_total") >= 3
    assert total(series, "holdfast_store_refused_groups_total") == 0
    assert total(series, "holdfast_store_silent_seconds") < 10
    assert total(series, "holdfast_store_connections_left") > 0
    assert 0 <= total(series, "holdfast_host_beat_age_seconds") < 10
    assert ("holdfast_store_snapshot_age_seconds", ()) in series
