"""Fixtures for tests against a real host; tests/conftest.py makes them known to all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import caller, components
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.mutants import host as mutants

StartHost = Callable[..., HostProcess]


@pytest.fixture(scope="session")
def account_component() -> TestComponent:
    """`examples/account`, built."""
    return components.built(components.ACCOUNT)


@pytest.fixture(scope="session")
def probe_component() -> TestComponent:
    """The actors of `tests/harness/guests/probe`, built."""
    return components.built(components.PROBE)


@pytest.fixture(scope="session")
def probe_data(probe_component: TestComponent, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Data directories in which the probe is deployed already, by the number of workers they were made for."""
    made: dict[int, Path] = {}

    def get(workers: int) -> Path:
        if workers not in made:
            data = tmp_path_factory.mktemp(f"probe-{workers}") / "data"
            with HostProcess(data, "--workers", str(workers)) as host:
                deploy(host, probe_component)
            made[workers] = data
        return made[workers]

    return get


@pytest.fixture(scope="session")
def running_hosts() -> Iterator[dict[int, HostProcess]]:
    """Hosts that run on from test to test, by their number of workers."""
    hosts: dict[int, HostProcess] = {}
    yield hosts
    for host in hosts.values():
        host.stop()


@pytest.fixture
def probe_host(
    running_hosts: dict[int, HostProcess],
    probe_data: Callable[[int], Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StartHost]:
    """Gives running hosts with the probe deployed and no instances, by their number of workers.

    Their workers assert that what is the leader's is called by the thread that leads (`leader_guard`).

    For tests that neither kill, stop nor set up anything: others have had the same processes, or will. What a test
    leaves of instances is deleted, and what it called is evicted; lines of the log and counts of metrics stay.
    """
    called: set[tuple[str, str]] = set()
    path_of = caller._path

    def note(actor_type: str, name: str, method: str) -> str:
        called.add((actor_type, name))
        return path_of(actor_type, name, method)

    monkeypatch.setattr(caller, "_path", note)
    given: dict[int, dict[str, list[int]]] = {}

    def give(workers: int = 1) -> HostProcess:
        if workers not in running_hosts:
            data = tmp_path_factory.mktemp(f"running-{workers}") / "data"
            shutil.copytree(probe_data(workers), data)
            host = HostProcess(data, "--workers", str(workers), command=mutants.command())
            host.start()
            running_hosts[workers] = host
        given[workers] = running_hosts[workers].pids()
        return running_hosts[workers]

    yield give
    for workers, pids in given.items():
        host = running_hosts.pop(workers)
        assert host.pids() == pids, "a test that ends processes starts a host of its own"
        _empty(host, called)
        running_hosts[workers] = host


def _empty(host: HostProcess, called: set[tuple[str, str]]) -> None:
    """Delete all instances that have stored something, and evict those that were called."""
    with host.caller() as connected:
        for actor_type in ("Probe", "Fragile"):
            while instances := connected.request("GET", f"/v1/instances/{actor_type}").value["instances"]:
                for each in instances:
                    path = f"/v1/instances/{actor_type}/{quote(each['name'], safe='')}"
                    assert connected.request("DELETE", path).status == 200
        for actor_type, name in called:
            connected.request("POST", f"/v1/instances/{actor_type}/{quote(name, safe='')}/evict")


@pytest.fixture
def start_probe_host(probe_data: Callable[[int], Path], tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts with the probe deployed, each on a copy of its own; ends them after the test.

    A host that a test leaves running is stopped in order, and must exit with 0.
    """
    hosts: list[HostProcess] = []

    def start(*options: str, workers: int = 1, command: Sequence[str] | None = None, **environment: str) -> HostProcess:
        data = tmp_path / f"host-{len(hosts)}" / "data"
        shutil.copytree(probe_data(workers), data)
        brought: dict[str, Any] = {} if command is None else {"command": command}
        host = HostProcess(data, "--workers", str(workers), *options, environment=environment, **brought)
        hosts.append(host)
        host.start()
        return host

    yield start
    for host in hosts:
        if host.is_running:
            host.stop()
        host.kill_all()
