"""`--env` of `holdfast deploy` and `dev`: what a host is sent, and where identities are kept."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.build.development import DevelopmentComponent, ProjectFiles
from holdfast_host.build.scaffold import make_project
from holdfast_host.cli.answers import RunningFunction
from holdfast_host.cli.client import HostClient
from holdfast_host.cli.dev.project import DevProject
from holdfast_host.cli.function_ids import IDS_FILE
from holdfast_host.core.manifest import parse_manifest
from tests.unit.cli.scripted_host import ScriptedHost, scripted_host
from tests.unit.cli.test_commands import DEPLOYED, fails_in_one_sentence, run

MANIFEST = """name = "counter"  # a comment that stays
compatibility_date = "2026-11-01"

[vars]
PLACE = "here"

[env.staging]
name = "counter-staging"
vars.PLACE = "there"

[env.twin]
"""
IDENTITY = '\n[deploy]\nfunc_id = "fn_1"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One whose component is built."""
    (tmp_path / "holdfast.toml").write_text(MANIFEST)
    (tmp_path / "counter.wasm").write_bytes(b"\0asm")
    return tmp_path


def deploy(project: Path, host: ScriptedHost, *words: str) -> Any:
    command = ("deploy", "--host", host.url, "--component", str(project / "counter.wasm"), *words)
    return run(*command, str(project))


def kept(project: Path) -> Any:
    return json.loads((project / IDS_FILE).read_text())


def test_an_environment_is_deployed_as_it_says_and_its_identity_is_kept_beside_the_manifest(project: Path) -> None:
    """The file that people commit stays as it is; the next deploy to that host shows the identity, no other does."""
    answer = json.dumps({**DEPLOYED, "func_id": "fn_2", "status": 201}).encode()
    with scripted_host(body=answer) as host, scripted_host(body=answer.replace(b"fn_2", b"fn_3")) as other:
        results = [deploy(project, each, "--env", "staging") for each in (host, host, other)]
        urls = [host.url, other.url]

    assert [each.exit_code for each in results] == [0, 0, 0], results[0].output
    assert (project / "holdfast.toml").read_text() == MANIFEST
    first, second = host.asked
    assert first.path == "/v1/functions/counter-staging"
    assert b'PLACE = "there"' in first.body
    assert b"func_id" not in first.body
    assert b"twin" not in first.body
    assert b'func_id = "fn_2"' in second.body
    assert b"func_id" not in other.asked[0].body
    assert kept(project) == {
        "format": 1,
        "functions": {urls[0]: {"staging": "fn_2"}, urls[1]: {"staging": "fn_3"}},
    }
    assert stat.S_IMODE((project / IDS_FILE).stat().st_mode) == 0o644


def test_without_env_the_file_goes_without_its_environments_and_takes_its_identity_as_ever(project: Path) -> None:
    with scripted_host(body=json.dumps({**DEPLOYED, "status": 201}).encode()) as host:
        result = deploy(project, host)

    assert result.exit_code == 0, result.output
    assert host.asked[0].path == "/v1/functions/counter"
    assert b'PLACE = "here"' in host.asked[0].body
    assert b"staging" not in host.asked[0].body
    assert (project / "holdfast.toml").read_text() == MANIFEST + IDENTITY
    assert not (project / IDS_FILE).exists()


def test_an_environment_does_not_replace_the_function_of_the_file_at_the_same_host(project: Path) -> None:
    """Nothing is sent; where somebody else's function has that name, the host decides."""
    (project / "holdfast.toml").write_text(MANIFEST + IDENTITY)
    with scripted_host(body=json.dumps({**DEPLOYED, "status": 200}).encode()) as host:
        said = fails_in_one_sentence(deploy(project, host, "--env", "twin"))
        asked = [each.method for each in host.asked]
        host.body = json.dumps({**DEPLOYED, "func_id": "fn_2", "status": 200}).encode()
        result = deploy(project, host, "--env", "twin")

    assert asked == ["GET"]
    assert said.startswith(f"'counter' at {host.url} is what was deployed without --env (fn_1): give one of")
    assert result.exit_code == 0, result.output
    assert [each.method for each in host.asked] == ["GET", "GET", "PUT"]


def test_environments_of_one_name_do_not_replace_each_other_at_the_same_host(project: Path) -> None:
    (project / IDS_FILE).write_text('{"format": 1, "functions": {}}')
    with scripted_host(body=json.dumps({**DEPLOYED, "status": 201}).encode()) as host:
        results = [deploy(project, host, "--env", "twin"), deploy(project, host)]
        asked = [each.method for each in host.asked]

    assert results[0].exit_code == 0, results[0].output
    assert fails_in_one_sentence(results[1]).startswith(
        f"'counter' at {host.url} is what was deployed with --env twin (fn_1): give one of the two a name of its own"
    )
    assert asked == ["PUT", "GET"]


def test_an_unknown_environment_is_refused_before_anything_is_asked_or_built(project: Path) -> None:
    with scripted_host() as host:
        said = fails_in_one_sentence(deploy(project, host, "--env", "live"))
        unbuilt = fails_in_one_sentence(run("deploy", "--host", host.url, "--env", "live", str(project)))
        bare = run("deploy", "--host", host.url, "--component", str(project / "counter.wasm"), "--env", "live")

    assert said == unbuilt == "holdfast.toml has no environment 'live': it has staging, twin"
    assert "name its directory beside --component" in fails_in_one_sentence(bare)
    assert "has no environment 'live'" in fails_in_one_sentence(run("dev", "--env", "live", str(project)))
    assert host.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not as holdfast writes it: restore it, or remove it"),
        ("[]", "is not as holdfast writes it"),
        ('{"format": 1}', "is not as holdfast writes it"),
        ('{"format": 1, "functions": {"http://a": {"staging": 3}}}', "is not as holdfast writes it"),
        ('{"format": 2}', "has the format 2, this holdfast knows 1"),
    ],
)
def test_a_file_of_identities_that_is_not_ours_is_named_and_nothing_is_sent(
    project: Path, content: str, message: str
) -> None:
    (project / IDS_FILE).write_text(content)
    with scripted_host() as host:
        said = fails_in_one_sentence(deploy(project, host, "--env", "staging"))

    assert f"{project / IDS_FILE} {message}" in said
    assert host.asked == []
    assert (project / IDS_FILE).read_text() == content


def test_a_kept_identity_that_is_not_the_names_any_more_is_said_to_be_kept_here(project: Path) -> None:
    error = {"name": "DeployConflictError", "message": "the name is taken by fn_9, the manifest says fn_2"}
    with scripted_host(body=json.dumps({**DEPLOYED, "func_id": "fn_2", "status": 201}).encode()) as host:
        deploy(project, host, "--env", "staging")
        host.status, host.body = 409, json.dumps({"error": {**error, "retryable": False}}).encode()
        result = deploy(project, host, "--env", "staging")

    assert result.stderr.splitlines()[-1].endswith(f"; fn_2 is kept in {IDS_FILE}: without it the name counts")


def test_a_new_project_keeps_identities_out_of_version_control(tmp_path: Path) -> None:
    assert f"/{IDS_FILE}\n" in (make_project(tmp_path, "shop") / ".gitignore").read_text()


class KeepingHost(HostClient):
    """Takes everything; `deployed` are functions and manifests."""

    def __init__(self) -> None:
        self.deployed: list[tuple[str, str | None]] = []

    def deploy(self, function: str, component: Path, manifest: str | None, **_options: Any) -> RunningFunction:
        self.deployed.append((function, manifest))
        return {"version": 1, "url": "http://shop.localhost:1", "func_id": "fn_1"}

    def put(self, path: str, value: Any, shape: Any) -> Any:
        return {"version": 1, "url": "http://shop.localhost:1", "func_id": "fn_1"}


def test_development_runs_an_environment_from_the_same_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(files: ProjectFiles, on_stage: Callable[[str], None], *, afresh: bool = False) -> DevelopmentComponent:
        return DevelopmentComponent(files.directory / "build" / f"{files.manifest.name}.dev.wasm", "as built")

    monkeypatch.setattr(ProjectFiles, "component", built)
    folder = make_project(tmp_path, "shop")
    with (folder / "holdfast.toml").open("a") as file:
        file.write('[vars]\nPLACE = "here"\n[env.staging]\nname = "shop-staging"\nvars.PLACE = "there"\n')
    host, said = KeepingHost(), list[str]()
    assert not DevProject(folder, lambda _, text: said.append(text), "staging").start(host, last=True)

    [(name, manifest)] = host.deployed
    assert name == "shop-staging"
    assert manifest is not None
    assert parse_manifest(manifest).vars == {"PLACE": "there"}
    assert said == ["is live"]
