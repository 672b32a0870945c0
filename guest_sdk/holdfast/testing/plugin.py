"""The pytest plugin: the fixture `host`. Installed with the SDK; pytest finds it by itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from holdfast import StatefulActor
from holdfast.testing import LocalHost
from holdfast.testing._project import find_packages, find_project


def pytest_configure(config: pytest.Config) -> None:
    """Let tests import the packages of the projects that they belong to."""
    where = config.invocation_params.dir
    for start in (where, *(where / each.partition("::")[0] for each in config.args)):
        project = find_project(start)
        if project is not None:
            find_packages(project)


@pytest.fixture
def host_actors() -> Mapping[str, type[StatefulActor]] | None:
    """The bindings of the fixture `host`; override it to give others than the project's holdfast.toml.

    Example:
        @pytest.fixture
        def host_actors():
            return {"ACCOUNT": Account}
    """
    return None


@pytest.fixture
def host_variables() -> Mapping[str, str]:
    """Variables on `env`, where `host_actors` is given; override it to give some."""
    return {}


@pytest.fixture
def host_secrets() -> Mapping[str, str]:
    """The secrets of the host; override it to give some. `env` has those that the project's holdfast.toml names."""
    return {}


@pytest.fixture
def host(
    request: pytest.FixtureRequest,
    host_actors: Mapping[str, type[StatefulActor]] | None,
    host_variables: Mapping[str, str],
    host_secrets: Mapping[str, str],
) -> LocalHost:
    """A fresh LocalHost: of `host_actors`, or of the project whose holdfast.toml is nearest above the test."""
    if host_actors is not None:
        return LocalHost(host_actors, variables=host_variables, secrets=host_secrets)
    project = find_project(request.path.parent)
    if project is None:
        pytest.fail(
            f"the fixture host needs actors: there is no holdfast.toml above {request.path}, and no fixture host_actors"
            ' that returns them, such as {"ACCOUNT": Account}',
            pytrace=False,
        )
    return LocalHost.of_project(project, secrets=host_secrets)
