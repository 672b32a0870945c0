"""`-p tests.harness.over_postgres`: the tests of a run with the storage of their hosts on PostgreSQL.

A data directory has a store of its own, however often a host is started on it; a copy of one has another. What says
itself where its storage is keeps that. `make postgres` runs the quick tests of `SUITES` so, without those that are
`APART`; other tests are run so by giving them to pytest with this plugin.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness.host import HostProcess
from tests.harness.postgres import store_options

SUITES: Final = ("tests/guarantees", "tests/outside/test_chains.py", "tests/outside/test_instances.py")
# Why a test of these is not run so: by the beginning of its id.
APART: Final[dict[str, str]] = {
    "tests/guarantees/test_3": "holds back commits to files, and lets their disk fail; see crash/test_postgres_cuts.py",
}


def pytest_configure() -> None:
    """Every host is started with a store."""
    stores: dict[Path, tuple[str, ...]] = {}
    begin = HostProcess.__init__

    @functools.wraps(begin)
    def with_store(host: HostProcess, data: Path, *options: str, **facts: Any) -> None:
        if "--store" not in options:
            if data not in stores:
                stores[data] = store_options()
            options = (*options, *stores[data])
        begin(host, data, *options, **facts)

    HostProcess.__init__ = with_store  # type: ignore[assignment, method-assign]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is said to be apart."""
    apart = [each for each in items if each.nodeid.startswith(tuple(APART))] if APART else []
    if apart:
        config.hook.pytest_deselected(items=apart)
        items[:] = [each for each in items if each not in apart]


def main() -> int:
    """Run them."""
    lane = ("-m", "not slow and not alone")
    return pytest.main(["-q", "-n", "2", *lane, "-p", "tests.harness.over_postgres", *SUITES, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
