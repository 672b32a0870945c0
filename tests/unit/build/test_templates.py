"""What `holdfast new --template` makes: the examples themselves, under another name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.testing import LocalHost
from holdfast_host.build.errors import BuildError
from holdfast_host.build.scaffold import make_project
from holdfast_host.build.templates import PARTS, TEMPLATES, template_files
from holdfast_host.cli.commands.new import command
from holdfast_host.core.limits import Limits
from holdfast_host.core.project_manifest import read_manifest
from tests.harness.components import EXAMPLES, PROJECT

RENAMED = {"holdfast.toml", "README.md"}
each_template = pytest.mark.parametrize("template", TEMPLATES)


@each_template
def test_a_template_is_its_example_and_nothing_else(template: str) -> None:
    files = template_files(template, "mine")

    assert {"holdfast.toml", "README.md", "src/app.py"} < files.keys()
    assert any(path.startswith("tests/test_") for path in files)
    for path, text in files.items():
        assert path in RENAMED or text == (EXAMPLES / template / path).read_text("utf-8")


@each_template
def test_a_project_of_a_template_runs_under_its_own_name(tmp_path: Path, template: str) -> None:
    project = make_project(tmp_path, "mine", template)

    manifest = read_manifest(project, Limits())
    assert manifest.name == "mine"
    assert manifest.actors == read_manifest(EXAMPLES / template, Limits()).actors
    LocalHost.of_project(project)
    readme = (project / "README.md").read_text()
    assert readme.startswith("# mine\n")
    assert not [each for each in ("examples/", f"/fn/{template}/", "../", "tests/acceptance") if each in readme]
    assert (project / ".gitignore").exists()


@each_template
def test_a_wheel_has_all_of_a_template(template: str) -> None:
    """What the wheel takes in, and what of the example there is."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        taken = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    there = [part for part in PARTS if (EXAMPLES / template / part).exists()]

    assert {source: to for source, to in taken.items() if source.startswith(f"examples/{template}/")} == {
        f"examples/{template}/{part}": f"holdfast_host/templates/{template}/{part}" for part in there
    }
    left_out = {path.name for path in (EXAMPLES / template).iterdir()} - {*PARTS, "build", ".pytest_cache"}
    assert left_out == set()


def test_an_unknown_template_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no template 'blog': there are chat, agent, api"):
        make_project(tmp_path, "mine", "blog")

    assert list(tmp_path.iterdir()) == []


def test_the_command_names_its_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner()

    assert all(f"`{template}`" in run.invoke(command, ["--help"]).output for template in TEMPLATES)
    assert run.invoke(command, ["mine", "--template", "api"], catch_exceptions=False).exit_code == 0
    assert (tmp_path / "mine" / "src" / "app.py").exists()
