"""Fixtures of all tests against real hosts. They are here, once, so that what lives for a session is made once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest

from tests.harness.components import CACHE
from tests.harness.fixtures import (
    account_component,
    probe_component,
    probe_data,
    probe_host,
    running_hosts,
    start_probe_host,
)
from tests.harness.s3 import bucket, s3_service

__all__ = [
    "account_component",
    "bucket",
    "probe_component",
    "probe_data",
    "probe_host",
    "running_hosts",
    "s3_service",
    "start_probe_host",
]

# Where a machine says that Python keeps no bytecode, each process of a host compiles the product when it starts, which
# is a third of its start, and each run compiles all tests. Here it is kept, by all processes that come from this one.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end: no later search for garbage goes through them again, half a second each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def builds_of_the_run() -> Iterator[None]:
    """What has been built for one test is found by the next, also by commands; a user's own cache is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        packages = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pip")
        patch.setenv("PIP_CACHE_DIR", os.environ.get("PIP_CACHE_DIR", packages))
        patch.setenv("XDG_CACHE_HOME", str(CACHE / "of-a-user"))
        yield
