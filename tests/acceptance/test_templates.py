"""Each template of `holdfast new`, as a new user goes: made, tested, deployed; and the API asked as its README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_host.build.templates import TEMPLATES
from tests.harness.components import shared_compiles
from tests.harness.host import HOLDFAST, HostProcess

# `make test-long` deploys the examples of two, and `unit/build/test_templates.py` says that templates are those.
pytestmark = [pytest.mark.slow, pytest.mark.builds]


def shell(script: str, folder: Path, host: HostProcess) -> str:
    """What a script prints that succeeds."""
    path = f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOLDFAST_HOST": host.url}
    with shared_compiles(host.data):
        done = subprocess.run(
            ["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_template_passes_its_tests_and_deploys_and_the_api_answers_as_its_readme_says(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data", "--outbound", "http://*", "--outbound-private", "127.0.0.1") as host:
        shell("echo of a test | holdfast secret set SESSION_KEY", tmp_path, host)
        for template in TEMPLATES:
            shell(f"holdfast new my-{template} --template {template}", tmp_path, host)
            project = tmp_path / f"my-{template}"
            passed = shell(f"{sys.executable} -m pytest -q -p no:cacheprovider", project, host)
            assert re.search(r"^[1-9]\d* passed", passed, re.MULTILINE), passed
            assert f"my-{template}" in shell("holdfast deploy && holdfast list", project, host)
        [script] = re.findall(r"```bash\n(.*?)```", (tmp_path / "my-api" / "README.md").read_text(), re.DOTALL)
        printed = shell(script.replace("http://127.0.0.1:8787", host.url), tmp_path / "my-api", host)

    wanted = [line.rpartition(" # ")[2] for line in script.splitlines() if " # " in line]
    assert printed.endswith("".join(wanted))  # curl ends no line
