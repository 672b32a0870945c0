"""The description of the API held against a running host, by a tool that makes its requests from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.components import PROJECT
from tests.harness.fixtures import StartHost
from tests.harness.repeats import repeats

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
# An actor that raises is answered with 500, and what no schema says (is it a component, is there an alarm handler) with
# 400. In place of these two checks stands that of `described_api_hooks`.
NOT_SO_HERE = "not_a_server_error,positive_data_acceptance"


@pytest.mark.slow
@pytest.mark.repeats
def test_the_host_answers_every_operation_as_its_description_says(start_probe_host: StartHost, tmp_path: Path) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        described = caller.request("GET", "/v1/openapi.json")
    (tmp_path / "api.json").write_text(described.text)  # of a description from a URL it leaves that URL out
    hooks = {"SCHEMATHESIS_HOOKS": "tests.outside.described_api_hooks", "PYTHONPATH": str(PROJECT)}
    command = [SCHEMATHESIS, "run", "api.json", "--url", host.url, "--checks", "all", "--exclude-checks", NOT_SO_HERE]
    command += ["--max-examples", str(repeats(2, 100)), "--seed", "1", "--request-timeout", "20", "--no-color"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    selected, whole = done.stdout.partition("Selected: ")[2].split()[0].split("/")
    assert selected == whole
    assert int(whole) == sum(len(path.keys() - {"parameters"}) for path in described.value["paths"].values())
