"""'holdfast deploy': what goes to the host, what is shown of its stages, and what becomes of a failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import BuiltComponent
from holdfast_host.cli.commands import build, deploy
from holdfast_host.core.project_manifest import read_manifest
from tests.harness.host import HOLDFAST
from tests.unit.build.test_build import project
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import DEPLOYED, fails_in_one_sentence, run


def on_a_terminal(command: list[str]) -> tuple[int, str]:
    """Exit code of a command whose every stream is a terminal, and what that was given to show, without its colours."""
    ours, its = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    shown = b""
    with open(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
        os.close(its)
        with suppress(OSError):  # EIO: the command has ended
            while piece := screen.read(65_536):
                shown += piece
    return process.wait(60), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")


def test_a_component_alone_goes_as_a_bare_body_under_its_files_name(tmp_path: Path) -> None:
    component = tmp_path / "counter.wasm"
    component.write_bytes(b"\0asm" + b"x" * 100_000)
    lines = [{"stage": "checking"}, {"stage": "a new one"}, {**DEPLOYED, "status": 201}]
    with scripted_host(body="\n".join(map(json.dumps, lines)).encode()) as host:
        result = run("deploy", "--host", host.url, "--component", str(component), "--adopt")

    assert result.exit_code == 0, result.output
    [asked] = host.asked
    assert (asked.method, asked.path) == ("PUT", "/v1/functions/counter?adopt=true")
    assert asked.headers["content-type"] == "application/wasm"
    assert asked.headers["accept"] == "application/x-ndjson"
    assert asked.body == component.read_bytes()
    assert result.stderr.splitlines()[-2:] == ["Checking ...", "A new one ..."]
    assert result.stdout == "Function 'counter' is deployed: http://counter.localhost:1\n"


def test_on_a_terminal_a_deploy_shows_a_bar_and_how_long_each_stage_took(tmp_path: Path) -> None:
    component = tmp_path / "counter.wasm"
    component.write_bytes(b"\0asm" + b"x" * 2_000_000)
    lines = [{"stage": "checking"}, {"stage": "compiling"}, {**DEPLOYED, "status": 201}]
    with scripted_host(body="\n".join(map(json.dumps, lines)).encode()) as host:
        command = [HOLDFAST, "deploy", "--host", host.url, "--component", str(component)]
        code, shown = on_a_terminal(command)

    assert code == 0
    assert "2.0/2.0 MB" in shown
    for stage in (f"Uploading to {host.url}", "Checking", "Compiling"):
        assert re.search(rf"{re.escape(stage)} \d+\.\d s\n", shown), shown
    assert shown.splitlines()[-1] == "Function 'counter' is deployed: http://counter.localhost:1"


def test_a_component_under_a_manifest_keeps_the_identity_that_the_host_gave(tmp_path: Path) -> None:
    component = tmp_path / "anything.wasm"
    component.write_bytes(b"\0asm")
    manifest = tmp_path / "holdfast.toml"
    manifest.write_text('name = "counter"  # a comment that stays\ncompatibility_date = "2026-11-01"\n')
    with scripted_host(body=json.dumps({**DEPLOYED, "status": 201}).encode()) as host:
        result = run("deploy", "--host", host.url, "--component", str(component), str(tmp_path))

    assert result.exit_code == 0, result.output
    assert b'name="manifest"' in host.asked[0].body
    assert b'name="component"' in host.asked[0].body
    assert "# a comment that stays" in manifest.read_text()
    assert 'func_id = "fn_1"' in manifest.read_text()


def test_a_deploy_that_fails_after_its_stages_fails_the_command(tmp_path: Path) -> None:
    component = tmp_path / "counter.wasm"
    component.write_bytes(b"\0asm")
    error = {"error": {"name": "InvalidComponentError", "message": "it imports wasi:http", "retryable": False}}
    lines = [{"stage": "checking"}, {**error, "status": 422}]
    with scripted_host(body="\n".join(map(json.dumps, lines)).encode()) as host:
        result = run("deploy", "--host", host.url, "--component", str(component))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "InvalidComponentError: it imports wasi:http"


def test_a_deploy_that_ends_without_a_result_is_no_success(tmp_path: Path) -> None:
    component = tmp_path / "counter.wasm"
    component.write_bytes(b"\0asm")
    with scripted_host(body=b'{"stage":"checking"}\n') as host:
        result = run("deploy", "--host", host.url, "--component", str(component))

    assert result.exit_code == 1
    assert "without a result" in result.stderr


def test_a_directory_that_is_no_project_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert "holdfast.toml" in fails_in_one_sentence(run("build", "--json", str(tmp_path)))
    assert "is no directory" in fails_in_one_sentence(run("build", "--json", str(tmp_path / "none")))
    assert "is no file" in fails_in_one_sentence(run("deploy", "--component", str(tmp_path / "none.wasm")))


def test_a_warning_of_a_build_is_a_sentence_and_no_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warns(directory: Path, on_stage: Callable[[str], None], *, quickly: bool) -> None:
        for each in ("reading holdfast.toml", "warning: mind the gap", "building"):
            on_stage(each)
        raise BuildError("enough", "")

    monkeypatch.setattr(build, "build_project", warns)

    assert (
        run("build", str(tmp_path)).stderr == "Reading holdfast.toml ...\nWarning: mind the gap\nBuilding ...\nenough\n"
    )


def test_a_deploy_tells_which_secrets_the_host_does_not_have(tmp_path: Path) -> None:
    component = tmp_path / "counter.wasm"
    component.write_bytes(b"\0asm")
    named = [{"name": "API_KEY", "set": True}, {"name": "LATER", "set": False}]
    with scripted_host(body=json.dumps({**DEPLOYED, "secrets": named, "status": 201}).encode()) as host:
        result = run("deploy", "--host", host.url, "--component", str(component))

    assert result.exit_code == 0
    assert "names the secret LATER, which this host does not have" in result.stderr
    assert "holdfast secret set LATER" in result.stderr
    assert "API_KEY" not in result.output


def test_list_and_deploy_show_what_versions_take_on_disk(tmp_path: Path) -> None:
    component = tmp_path / "counter.wasm"
    component.write_bytes(b"\0asm")
    facts = {"created_at": "2026-11-01T00:00:00Z", "disk_bytes": 3 << 20}
    versions = [{"version": number, "sha256": "ab" * 32, **facts} for number in (2, 1)]
    function = {**DEPLOYED, "version": 2, "status": "deploy_ok", "versions": versions, "disk_bytes": 3 << 20}
    with scripted_host(body=json.dumps({"functions": [function]}).encode()) as host:
        listed = run("list", "--host", host.url)
    with scripted_host(body=json.dumps(function).encode()) as host:
        kept = run("list", "--host", host.url, "counter")
    with scripted_host(body=json.dumps({**function, "status": 200}).encode()) as host:
        deployed = run("deploy", "--host", host.url, "--component", str(component))

    assert "3.0 MiB" in listed.stdout
    assert kept.stdout.count("3.0 MiB") == 3
    assert "All of them take 3.0 MiB of the host's disk; equal ones share theirs." in kept.stdout
    assert "Version 2 takes 3.0 MiB of the host's disk, all that are kept 3.0 MiB.\n" in deployed.stdout


@pytest.mark.parametrize(("screen", "started"), [(True, 1), (False, 0)])
def test_a_deploy_on_a_terminal_has_the_next_one_prepared_when_it_is_done(
    screen: bool, started: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path / "p")
    (tmp_path / "p" / "trial.wasm").write_bytes(b"\0asm")
    built = BuiltComponent(tmp_path / "p" / "trial.wasm", read_manifest(tmp_path / "p"), {}, 4)
    commands: list[list[str]] = []
    monkeypatch.setattr(build, "build_project", lambda directory, on_stage, quickly: built)
    monkeypatch.setattr(deploy, "has_screen", lambda: screen)
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    with scripted_host(body=json.dumps({**DEPLOYED, "status": 201}).encode()) as host:
        result = run("deploy", "--host", host.url, str(tmp_path / "p"))

    assert result.exit_code == 0, result.output
    assert [command[-3:] for command in commands] == [["build", "--base", str(tmp_path / "p")]] * started


@pytest.mark.parametrize(("can", "says"), [(True, "go on from the base"), (False, "is a whole build")])
def test_a_base_is_prepared_by_itself(can: bool, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "prepare_base", lambda directory, on_stage: can)

    assert says in run("build", "--base", str(tmp_path)).stdout
    assert json.loads(run("build", "--base", "--json", str(tmp_path)).stdout) == {"prepared": can}
