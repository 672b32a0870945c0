"""The outbox example, with the commands of its README, against a real host."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness.components import PROJECT, shared_compiles
from tests.harness.host import HOLDFAST, HostProcess

pytestmark = pytest.mark.slow


def test_the_outbox_example_prints_what_its_readme_says(tmp_path: Path) -> None:
    [script] = re.findall(r"```bash\n(.*?)```", (PROJECT / "examples" / "outbox" / "README.md").read_text(), re.DOTALL)
    with HostProcess(tmp_path / "data", "--workers", "2") as host:
        environment = {
            **os.environ,
            "PATH": f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}",
            "HOLDFAST_HOST": host.url,
        }
        script = script.replace("http://127.0.0.1:8787", host.url)
        with shared_compiles(host.data):
            done = subprocess.run(
                ["bash", "-ec", script], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, done.stderr

    printed = done.stdout.replace("}{", "}\n{").splitlines()
    expected = [line.partition(" # ")[2] for line in script.splitlines() if " # " in line]
    assert len(expected) == 5
    assert printed[-5:] == expected
