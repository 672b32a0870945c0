"""The tests' host ends its own processes, and nobody else's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness import processes
from tests.harness.host import HostProcess


def test_a_process_that_was_given_the_number_of_one_of_a_hosts_is_a_stranger(tmp_path: Path) -> None:
    """Numbers of processes come round within minutes: a worker's, killed by a test, was another test's host."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        host = HostProcess(tmp_path / "data")
        host._process = subprocess.Popen(["sleep", "60"])
        own, before = host._process.pid, "1"
        host._seen = {own: processes.start_of(own), stranger.pid: before}

        host.kill_all()

        assert host._process.returncode == -9
        assert stranger.poll() is None
        stranger.kill()
