"""The examples about jobs, deployed as a reader does it, on a real host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import components
from tests.harness.components import EXAMPLES, PROJECT, shared_compiles
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.mutants.host import command
from tests.harness.projects import free_port

PORT = "9000"  # that the example says; a test takes one that is free

pytestmark = pytest.mark.slow


@contextmanager
def receiver(example: Path, port: str) -> Iterator[list[str]]:
    """The example's subscriber; afterwards the lines that it has printed."""
    told: list[str] = []
    command = [sys.executable, str(example / "receiver.py"), port, "s3cret"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield told
    finally:
        process.kill()
        told += process.communicate()[0].splitlines()


def test_the_webhooks_example_prints_what_its_readme_says(tmp_path: Path) -> None:
    port = str(free_port())
    example = tmp_path / "examples" / "webhooks"
    shutil.copytree(EXAMPLES / "webhooks", example)
    manifest = example / "holdfast.toml"
    manifest.write_text(manifest.read_text().replace(PORT, port))
    readme = (example / "README.md").read_text()
    [script] = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    begins, ends = "python examples/webhooks/receiver.py 9000 s3cret &\n", "kill %1\n"
    assert script.startswith(begins)
    assert script.endswith(ends)
    script = script.removeprefix(begins).removesuffix(ends).replace(PORT, port)
    asks = ("--outbound", f"http://127.0.0.1:{port}", "--outbound-private", "127.0.0.1")
    with receiver(example, port) as told, HostProcess(tmp_path / "data", *asks) as host:
        path = f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "HOLDFAST_HOST": host.url}
        script = script.replace("http://127.0.0.1:8787", host.url)
        with shared_compiles(host.data):
            done = subprocess.run(
                ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, done.stderr

    printed, at = [], done.stdout.index('{"subscriber"')  # behind what the deploy says
    while at < len(done.stdout.rstrip()):  # curl ends no line
        _, end = json.JSONDecoder().raw_decode(done.stdout, at)
        printed.append(done.stdout[at:end])
        at = end
    assert printed == [line.rpartition(" # ")[2] for line in script.splitlines() if " # " in line]
    assert sorted(told) == [
        "200 acme-1 order.paid: again",
        "200 acme-1 order.paid: new",
        "200 slow-1 order.paid: new",
        "410 gone-1 order.paid: nobody is here any more",
        "503 slow-1 order.paid: not now",
    ]


def test_the_cron_example_closes_its_day_at_midnight_and_only_once(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    with HostProcess(tmp_path / "data", command=command(f"shift_clock={clock}")) as host, host.caller() as caller:
        deploy(host, components.built(PROJECT / "examples" / "cron"))
        assert caller.value("Meter", "kitchen", "count", by=3) == 3
        times = caller.value("Meter", "kitchen", "times")
        assert times["close"].endswith("00:00")
        clock.write_text(str(86_400))
        deadline = time.monotonic() + 30
        while not caller.value("Meter", "kitchen", "days"):
            assert time.monotonic() < deadline, "the day is not closed"
            time.sleep(0.1)

        assert [*caller.value("Meter", "kitchen", "days").values()] == [3]
        assert caller.value("Meter", "kitchen", "count", by=0) == 0
        assert caller.value("Meter", "kitchen", "times")["close"] > times["close"]
