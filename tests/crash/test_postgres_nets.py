"""A host cut off from its PostgreSQL for real, one way and both: packets are lost, and no end is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from holdfast_host.storage.postgres.owning import make_tables
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.load import Load, Tokens, Told
from tests.harness.namespaces import FarServer, Net, far_server

pytestmark = pytest.mark.slow

CLIENTS = 6
Far = tuple[HostProcess, FarServer, Net]


@pytest.fixture
def far(probe_component: TestComponent, tmp_path: Path) -> Iterator[Far]:
    """A host on a server at the other end of a net, with the probe."""
    with far_server() as (server, net):
        server.execute("CREATE DATABASE far")
        with psycopg.connect(server.near_dsn("far"), autocommit=True) as connection:
            make_tables(connection)
        options = ("--store", server.dsn("far"), "--durability", "single", "--workers", "2")
        host = HostProcess(tmp_path / "host" / "data", *options)
        try:
            host.start()
            deploy(host, probe_component)
            yield host, server, net
            net.mend()
            host.stop()
        finally:
            host.kill_all()


@pytest.mark.parametrize("cut", [Net.lose_questions, Net.lose_answers, Net.cut])
def test_a_cut_of_some_seconds_loses_nothing_and_the_connections_go_on(far: Far, cut: Callable[[Net], None]) -> None:
    host, _, net = far
    tokens = Tokens(cut.__name__)
    workers = host.pids()["worker"]
    with Load(host.url, tokens.plan, clients=CLIENTS) as load:
        load.wait_for(100)
        cut(net)
        time.sleep(3.0)
        with host.caller() as caller:
            assert caller.request("GET", "/health/readiness").status == 503
        done = sum(each.told is Told.DONE for each in load.records)
        time.sleep(0.5)
        assert sum(each.told is Told.DONE for each in load.records) == done, "answered, and nobody has confirmed it"
        net.mend()
        load.wait_for(100)
        records = load.stop()
    with host.caller() as caller:
        faults = tokens.faults(caller, records)

    assert not faults, "\n".join(faults[:20])
    assert host.pids()["worker"] == workers


def test_a_host_that_is_cut_off_for_long_gives_its_connections_up_and_comes_back(far: Far) -> None:
    """Its answers are lost one way: what it has asked is done at the other end, and it cannot know."""
    host, _, net = far
    tokens = Tokens("long")
    workers = host.pids()["worker"]
    with Load(host.url, tokens.plan, clients=CLIENTS) as load:
        load.wait_for(100)
        net.lose_answers()
        end = time.monotonic() + 60
        while set(workers) & set(host.pids()["worker"]):
            assert time.monotonic() < end, "the workers wait for ever"
            time.sleep(0.5)
        net.mend()
        load.wait_for(100, timeout_s=60)
        records = load.stop()
    with host.caller() as caller:
        faults = tokens.faults(caller, records)

    assert not faults, "\n".join(faults[:20])
