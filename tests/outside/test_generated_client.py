"""A client that a stranger's tool generates from the host's own description, and what it can do with a real host."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess

TOKEN = "t0ken"
GENERATE = str(Path(sys.executable).parent / "openapi-python-client")
# What the tool has no code for: a bare component as a deploy's body beside the form; an archive, and lines, as answers.
UNKNOWN_TO_IT = ["application/wasm", "application/x-tar", *["application/x-ndjson"] * 5]

pytestmark = pytest.mark.slow


class Generated:
    """The client for one host: its operations by their names, and its two kinds of client."""

    def __init__(self, host: HostProcess, folder: Path, package: str, token: str | None) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        with host.caller() as caller:
            described = caller.request("GET", "/v1/openapi.json", None, headers)
        self.described = described.value
        (folder / "api.json").write_text(described.text)
        (folder / "config.yml").write_text("post_hooks: []\n")
        command = [GENERATE, "generate", "--path", "api.json", "--config", "config.yml", "--meta", "none"]
        command += ["--output-path", package]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        self.warnings = done.stdout + done.stderr
        self._package = package
        self.client: ModuleType = importlib.import_module(f"{package}.client")
        self.models: ModuleType = importlib.import_module(f"{package}.models")

    def call(self, operation: str, client: Any, *parts: str, **further: Any) -> Any:
        """What an operation answers: the value, or the model of an error."""
        module = importlib.import_module(f"{self._package}.api.default.{operation}")
        return module.sync(*parts, client=client, **further)


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_generated_client_has_every_operation_and_does_what_it_says(
    start_probe_host: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    host = start_probe_host(**({} if token is None else {"HOLDFAST_TOKEN": token}))
    package = "generated_without" if token is None else "generated_with"
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Generated(host, tmp_path, package, token)
    client = (
        made.client.Client(base_url=host.url)
        if token is None
        else made.client.AuthenticatedClient(base_url=host.url, token=token)
    )

    operations = [
        each["operationId"]
        for path in made.described["paths"].values()
        for name, each in path.items()
        if name != "parameters"
    ]
    modules = {path.stem for path in (tmp_path / package / "api" / "default").glob("*.py")}
    assert {snake_case(each) for each in operations} <= modules
    assert re.findall(r"[Uu]nsupported content.type (\S+?)\)?(?:,|$)", made.warnings, re.MULTILINE) == UNKNOWN_TO_IT
    assert made.warnings.count("WARNING") == len(UNKNOWN_TO_IT), made.warnings

    with client:
        _use(made, client)


def _use(made: Generated, client: Any) -> None:
    """Calls, values, alarms, listings, metrics."""
    assert made.call("call_method", client, "Probe", "a/b", "increment", body={"by": 5}) == 5
    assert made.call("call_method", client, "Probe", "a/b", "increment", body=["n", 2]) == 7
    assert made.call("call_method", client, "Probe", "a/b", "increment") == 8
    facts = {"type": "Probe", "name": "..", "method": "increment"}
    for arguments, answer in (({}, 1), ({"args": ["n", 3]}, 4), ({"args": {"by": 2}}, 6)):
        body = made.models.CallMethodByBodyBody.from_dict({**facts, **arguments})
        assert made.call("call_method_by_body", client, body=body) == answer
    refused = made.call("call_method", client, "Probe", "a/b", "none")
    assert refused.error.name == "ActorUnknownMethodError"

    assert made.call("put_value", client, "Probe", "a/b", "key", body={"x": [1]}) is not None
    assert made.call("get_value", client, "Probe", "a/b", "key") == {"x": [1]}
    assert made.call("list_instances", client, "Probe", prefix="a/")["instances"][0]["name"] == "a/b"
    due = made.models.SetAlarmBody.from_dict({"due": 4_000_000_000})
    assert made.call("set_alarm", client, "Probe", "a/b", body=due)["state"] == "armed"
    assert "holdfast_calls_total" in made.call("metrics", client)
    assert made.call("readiness", client) == "ok"


def test_authorization_is_required_only_where_the_host_has_a_token(start_probe_host: StartHost, tmp_path: Path) -> None:
    free, kept = start_probe_host(), start_probe_host(HOLDFAST_TOKEN=TOKEN)
    with free.caller() as caller:
        open_api = caller.request("GET", "/v1/openapi.json").value
    with kept.caller() as caller:
        closed_api = caller.request("GET", "/v1/openapi.json", None, {"authorization": f"Bearer {TOKEN}"}).value
        assert caller.request("GET", "/health/readiness").status == 200
        assert caller.request("GET", "/metrics").status == 401

    assert "security" not in json.dumps(open_api).replace('"security": []', "")
    assert closed_api["security"] == [{"token": []}]
    assert closed_api["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    free_paths = {path for path, each in closed_api["paths"].items() if "security" in json.dumps(each)}
    assert free_paths == {"/fn/{function}/{path}", "/health/liveness", "/health/readiness"}
