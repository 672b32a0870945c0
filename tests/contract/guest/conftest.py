"""The drivers: a kit for each test run, and host processes, with one component built from the same module."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest

from tests.contract.guest.drivers import SUITE, Driver, HostDriver, KitDriver, Subject
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command
from tests.harness.outside import outside_server

NewSubject = Callable[..., Subject]


@pytest.fixture(scope="session")
def kit_driver() -> Driver:
    """The test kit."""
    return KitDriver()


@pytest.fixture(scope="session")
def host_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A host with the suite's component; started when the first test asks for it."""
    yield from _host_driver(tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The same, with its storage on PostgreSQL."""
    from tests.harness.postgres import store_options

    yield from _host_driver(tmp_path_factory, *store_options())


def _host_driver(tmp_path_factory: pytest.TempPathFactory, *options: str) -> Iterator[Driver]:
    component = components.built(SUITE)
    folder = tmp_path_factory.mktemp("conformance")
    clock, loses = folder / "clock", folder / "loses"
    mutations = command(f"shift_clock={clock}", f"lose_batches={loses}")
    asks = ("--outbound", "http://*", "--outbound-private", "127.0.0.1")
    with (
        outside_server() as server,
        HostProcess(folder / "data", "--log-format", "json", *asks, *options, command=mutations) as host,
    ):
        deploy(host, component)
        driver = HostDriver(host, clock, loses, server)
        yield driver
        driver.close()


@pytest.fixture(params=["kit", "host", pytest.param("postgres", marks=pytest.mark.slow)])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the three."""
    driver: Driver = request.getfixturevalue(f"{request.param}_driver")
    return driver


@pytest.fixture
def subject(driver: Driver, request: pytest.FixtureRequest) -> NewSubject:
    """Makes instances that are this test's own: `subject("Probe")`, `subject("Made", "bad")`."""
    test = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]

    def new(actor_type: str, name: str = "x") -> Subject:
        return Subject(driver, actor_type, f"{name}-{test}")

    return new


@pytest.fixture
def probe(subject: NewSubject) -> Subject:
    """An instance of Probe."""
    return subject("Probe")


@pytest.fixture
def shapes(subject: NewSubject) -> Subject:
    """An instance of Shapes."""
    return subject("Shapes")
