"""What the stopwatch of tests takes off: time that others had the processors, and never a rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.harness.processes import Stopwatch

REST_S = 0.3


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """More programs that compute than there are processors."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for other in others:
        other.kill()
        other.wait()


@pytest.mark.usefixtures("busy_machine")
def test_time_that_others_compute_is_no_time_of_ours() -> None:
    watch, began, used = Stopwatch(list), time.monotonic(), time.process_time()
    while time.process_time() - used < REST_S:
        pass
    took_s = time.monotonic() - began

    assert watch.seconds() < took_s - REST_S / 2


@pytest.mark.usefixtures("busy_machine")
def test_a_rest_is_time_however_busy_others_are() -> None:
    watch = Stopwatch(list)
    time.sleep(REST_S)

    assert watch.seconds() > REST_S / 2
