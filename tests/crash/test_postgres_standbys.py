"""PostgreSQL's primary is lost under load, and a standby is promoted by hand: nothing acknowledged is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.load import Load, Tokens, Told
from tests.harness.replicas import SYNCHRONOUS, Replicas

pytestmark = pytest.mark.slow

CLIENTS = 6
BACK_S = 5.0  # from the promotion to the first answer: wanted is one, on a machine that is not busy


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    """Three nodes; the test may lose one."""
    made = Replicas()
    yield made
    made.remove()


@pytest.fixture
def host(replicas: Replicas, probe_component: TestComponent, tmp_path: Path) -> Iterator[HostProcess]:
    """A host on all three, with the probe."""
    options = ("--store", replicas.new_store(), "--durability", "replicated", "--workers", "2")
    with HostProcess(tmp_path / "host" / "data", *options) as host:
        deploy(host, probe_component)
        yield host
        if not host.is_running:
            host.kill_all()


def lose_to_a_kill(replicas: Replicas) -> None:
    """Its machine loses power."""
    replicas.kill_primary()


def lose_to_silence(replicas: Replicas) -> None:
    """Its machine stands still, with all connections: no answer, and no end."""
    replicas.primary.send(signal.SIGSTOP)


@pytest.mark.parametrize("lose", [lose_to_a_kill, lose_to_silence])
def test_the_primary_is_lost_under_load_and_nothing_acknowledged_with_it(
    host: HostProcess, replicas: Replicas, lose: Callable[[Replicas], None]
) -> None:
    tokens = Tokens(lose.__name__)
    lost = replicas.primary
    with Load(host.url, tokens.plan, clients=CLIENTS) as load:
        load.wait_for(200)
        lose(replicas)
        replicas.promote()
        promoted_at = time.monotonic()
        load.wait_for(200, timeout_s=60.0)
        if lose is lose_to_silence:
            lost.send(signal.SIGCONT)  # it comes back, and believes that it is the primary still
            load.wait_for(200)
        records = load.stop()
    with host.caller() as caller:
        faults = tokens.faults(caller, records)

    assert not faults, "\n".join(faults[:20])
    done = [each for each in records if each.told is Told.DONE and each.ended_s > promoted_at]
    back_s = min(each.ended_s for each in done) - promoted_at
    if lose is lose_to_a_kill:
        assert back_s < BACK_S


def test_while_no_standby_is_left_nothing_is_answered_and_the_host_says_so(
    host: HostProcess, replicas: Replicas
) -> None:
    """What one node alone has could be lost with it: reads wait too, for they may have seen such a write."""
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "v")
    for each in replicas.standbys:
        each.send(signal.SIGSTOP)
    with Load(host.url, Tokens("alone").plan, clients=2) as load, host.caller() as caller:
        end = time.monotonic() + 20
        while caller.request("GET", "/health/readiness").status == 200:
            assert time.monotonic() < end, "the host is ready, and can answer nobody"
            time.sleep(0.1)
        told_before = sum(each.told is Told.DONE for each in load.records)
        assert "commit" in caller.request("GET", "/health/readiness").text
        assert sum(each.told is Told.DONE for each in load.records) == told_before
        for each in replicas.standbys:
            each.send(signal.SIGCONT)
        load.wait_for(20)
        assert caller.value("Probe", "alice", "get", "k") == "v"


def test_a_node_that_is_promoted_without_names_of_standbys_is_refused(host: HostProcess, replicas: Replicas) -> None:
    """It would acknowledge what it alone has."""
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "v")
        for each in replicas.standbys:
            each.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            each.execute("SELECT pg_reload_conf()")
        replicas.kill_primary()
        replicas.promote()
        end = time.monotonic() + 30
        while "synchronous_standby_names is empty" not in host.log:
            assert time.monotonic() < end, host.log
            time.sleep(0.1)
        assert caller.call("Probe", "alice", "get", "k").status == 503
        replicas.require(SYNCHRONOUS)
        end = time.monotonic() + 30
        while caller.call("Probe", "alice", "get", "k").status != 200:
            assert time.monotonic() < end, host.log

        assert caller.value("Probe", "alice", "get", "k") == "v"
