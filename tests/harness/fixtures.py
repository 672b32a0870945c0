"""Fixtures for tests against a real host; a test package's conftest imports those that it uses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.harness import components
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

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


@pytest.fixture
def start_probe_host(probe_data: Callable[[int], Path], tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts with the probe deployed, each on a copy of its own; ends them after the test.

    A host that a test leaves running is stopped in order, and must exit with 0.
    """
    hosts: list[HostProcess] = []

    def start(*options: str, workers: int = 1, command: Sequence[str] | None = None, **environment: str) -> HostProcess:
        data = tmp_path / f"host-{len(hosts)}" / "data"
        shutil.copytree(probe_data(workers), data)
        brought = {} if command is None else {"command": command}
        host = HostProcess(data, "--workers", str(workers), *options, environment=environment, **brought)
        hosts.append(host)
        host.start()
        return host

    yield start
    for host in hosts:
        if host.is_running:
            host.stop()
        host.kill_all()
