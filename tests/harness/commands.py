"""The commands as a user runs them, each in a process of its own."""

from __future__ import annotations

import os
import subprocess

from tests.harness.host import HOLDFAST, HostProcess


def run(host: HostProcess, *arguments: str) -> str:
    """What a command that succeeds prints."""
    done = run_any(host, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_any(host: HostProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended, however it did."""
    environment = {**os.environ, "HOLDFAST_HOST": host.url}
    command = [HOLDFAST, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False
    )
