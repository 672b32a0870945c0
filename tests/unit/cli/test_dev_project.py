"""What `holdfast dev` does with a save: over real files, and a host that only counts."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from holdfast_host.build import development
from holdfast_host.build.development import DevelopmentComponent, ProjectFiles
from holdfast_host.build.scaffold import make_project
from holdfast_host.cli.answers import RunningFunction
from holdfast_host.cli.client import HostClient
from holdfast_host.cli.commands import dev
from holdfast_host.cli.dev.project import DevProject
from holdfast_host.core.config import HostConfig, parse_listen
from tests.unit.cli.test_commands import fails_in_one_sentence, run

RUNNING: RunningFunction = {"version": 1, "url": "http://shop.localhost:1", "func_id": "fn_1"}


class CountingHost(HostClient):
    """Takes everything; `did` are the deploys and reloads, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def deploy(self, *_arguments: Any, **_options: Any) -> RunningFunction:
        self.did.append("deploy")
        return RUNNING

    def put(self, path: str, value: Any, shape: Any) -> Any:
        self.did.append("reload")
        return RUNNING


@pytest.fixture
def host() -> CountingHost:
    return CountingHost()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def project(tmp_path: Path, host: CountingHost, said: list[str], monkeypatch: pytest.MonkeyPatch) -> DevProject:
    """A new project that runs; a build of it takes no time."""

    def built(files: ProjectFiles, on_stage: Callable[[str], None], *, afresh: bool = False) -> DevelopmentComponent:
        return DevelopmentComponent(files.directory / "build" / "shop.dev.wasm", "as built")

    monkeypatch.setattr(ProjectFiles, "component", built)
    started = DevProject(make_project(tmp_path, "shop"), lambda _, text: said.append(text))
    assert not started.start(host, last=True)
    host.did.clear()
    return started


def save(project: DevProject, name: str, text: str) -> None:
    (project.files.directory / name).write_text(text)


def test_what_a_failed_build_owes_is_built_with_the_next_save(
    project: DevProject, host: CountingHost, said: list[str]
) -> None:
    manifest = (project.files.directory / "holdfast.toml").read_text()
    save(project, "holdfast.toml", manifest + "\n[vars\n")
    project.look(host)
    save(project, "src/app.py", "x = 1\n")
    project.look(host)

    assert host.did == []
    assert "holdfast.toml, src/app.py changed: it takes a real build" in said

    save(project, "holdfast.toml", manifest)
    project.look(host)
    save(project, "src/app.py", "x = 2\n")
    project.look(host)

    assert host.did == ["deploy", "reload", "reload"]


def test_a_folder_that_is_gone_for_a_while_ends_nothing(
    project: DevProject, host: CountingHost, said: list[str]
) -> None:
    source = project.files.directory / "src"
    source.rename(source.with_name("elsewhere"))
    project.look(host)
    shutil.copytree(source.with_name("elsewhere"), source)
    save(project, "src/app.py", "x = 1\n")
    project.look(host)

    assert host.did[-1] == "reload"


def test_a_file_that_cannot_be_read_is_said_and_ends_nothing(
    project: DevProject, host: CountingHost, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_project: Path, path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(development, "read_own", refuse)
        (project.files.directory / "src" / "app.py").write_bytes(b"x = 1\n")
        project.look(host)

    assert "Permission denied" in said[-1]
    assert "the last good version keeps serving" in said[-1]


def test_a_project_with_types_of_others_is_deployed_after_those_that_have_all_of_theirs(
    tmp_path: Path, host: CountingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(DevProject, "start", lambda self, *_, **__: begun.append(self.name))
    monkeypatch.setattr(DevProject, "watch", lambda self, *_: None)
    monkeypatch.setattr(dev, "HostClient", lambda *_: contextlib.nullcontext(host))
    projects = [make_project(tmp_path, name) for name in ("reader", "broken", "shop")]
    (projects[0] / "src" / "app.py").write_text("class Counters:\n    pass\n# class Counter\n")
    (projects[1] / "src" / "app.py").write_bytes(b"\xff")
    listen = parse_listen("127.0.0.1:1")
    dev._develop("http://127.0.0.1:1", [DevProject(each, lambda *_: None) for each in projects], listen, Event())

    assert begun == ["shop", "reader", "broken"]


def test_a_host_for_development_sends_spans_where_the_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[HostConfig] = []
    monkeypatch.setattr(dev, "serve", lambda config, *_: started.append(config))
    folder = str(make_project(tmp_path, "shop"))
    run("dev", folder)
    run("dev", folder, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")

    assert [each.traces for each in started] == ["", "http://127.0.0.1:4318/v1/traces"]


def test_a_directory_that_asks_for_tokens_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "serve", lambda *_arguments: pytest.fail("a host was started"))
    kept = tmp_path / "restored" / "registry" / "tokens.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    said = fails_in_one_sentence(run("dev", str(make_project(tmp_path, "shop")), "--data", str(tmp_path / "restored")))

    assert f"{tmp_path / 'restored'} asks every caller for a token" in said
    assert f"or remove {kept}, which opens it" in said
