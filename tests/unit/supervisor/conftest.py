from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.supervisor.running import RunningHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningHost]:
    """One worker, not started yet."""
    running = RunningHost(tmp_path)
    yield running
    running.close()
