"""The pytest plugin and projects on disk, as an author meets them: in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.testing import LocalHost
from holdfast_host.build.project import build_project
from tests.harness.wheels import write_wheel
from tests.unit.build.test_build_cache import Componentize

ACTOR = """
from holdfast import Request, Response, StatefulActor
from notes import NOTE

class Counter(StatefulActor):
    def add(self, by=1):
        self.ctx.storage.put("n", self.ctx.storage.get("n", 0) + by)
        return [self.ctx.storage.get("n"), self.env.GREETING, NOTE]

def fetch(request, env):
    return Response.json(env.COUNTER.id_from_name("f").add())
"""
MANIFEST = """
name = "count"
main = "src/counting.py"
compatibility_date = "2026-11-01"

[[actors]]
binding = "COUNTER"
type = "Counter"

[vars]
GREETING = "hello"
"""
TESTS = """
import pytest
from holdfast import StatefulActor

def test_the_projects_own_actors(host):
    assert host.env.COUNTER.id_from_name("a").add(2) == [2, "hello", "a note"]

def test_a_fresh_host_for_each_test(host):
    assert host.env.COUNTER.id_from_name("a").add() == [1, "hello", "a note"]
    assert host.fetch("/").text() == '[1,"hello","a note"]'

class Other(StatefulActor):
    def greet(self):
        return self.env.GREETING

class TestOthers:
    @pytest.fixture
    def host_actors(self):
        return {"OTHER": Other}

    @pytest.fixture
    def host_variables(self):
        return {"GREETING": "hi"}

    def test_actors_that_the_test_gives(self, host):
        assert host.env.OTHER.id_from_name("a").greet() == "hi"
"""


PACKAGED = """
import importlib.resources
from holdfast import StatefulActor
import greetings

class Counter(StatefulActor):
    def add(self):
        return [greetings.HELLO, importlib.resources.files("greetings").joinpath("more.txt").read_text()]
"""
PACKAGED_TESTS = """
import greetings

def test_it_has_its_package(host):
    assert host.env.COUNTER.id_from_name("a").add() == [greetings.HELLO, "and more"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a module beside its main one."""
    (tmp_path / "src").mkdir()
    (tmp_path / "holdfast.toml").write_text(MANIFEST)
    (tmp_path / "src" / "counting.py").write_text(ACTOR)
    (tmp_path / "src" / "notes.py").write_text('NOTE = "a note"\n')
    return tmp_path


def run_pytest(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "holdfast.testing.plugin", "-p", "no:cacheprovider"]
    command += ["-W", "error", "--rootdir", str(directory), str(directory)]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_the_fixture_host_runs_the_project_that_the_test_belongs_to(project: Path) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_counter.py").write_text(TESTS)

    done = run_pytest(project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_without_a_project_the_fixture_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_it(host): pass\n")

    done = run_pytest(tmp_path)

    assert done.returncode == 1
    assert "no holdfast.toml above" in done.stdout
    assert "host_actors" in done.stdout


def test_a_project_can_be_loaded_by_its_directory(project: Path) -> None:
    first, second = LocalHost.of_project(project), LocalHost.of_project(str(project))

    assert first.env.COUNTER.id_from_name("a").add() == [1, "hello", "a note"]
    assert second.env.COUNTER.id_from_name("a").add() == [1, "hello", "a note"]


def test_a_binding_to_another_projects_type_needs_its_class(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "holdfast.toml").write_text(MANIFEST.replace("src/counting.py", "reader.py"))
    (other / "reader.py").write_text(
        "from holdfast import Response\n"
        "def fetch(request, env): return Response.json(env.COUNTER.id_from_name('a').add())\n"
    )

    with pytest.raises(ValueError, match="references="):
        LocalHost.of_project(other)
    classes = LocalHost.of_project(project)._runner.component.actors
    assert LocalHost.of_project(other, references=classes).fetch("/").text() == '[1,"hello","a note"]'


def test_an_optional_reference_needs_no_class_until_it_is_called(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    manifest = MANIFEST.replace("src/counting.py", "reader.py").replace("[[actors]]", "[[actors]]\noptional = true")
    (other / "holdfast.toml").write_text(manifest)
    (other / "reader.py").write_text(
        "from holdfast import ActorCallError, Response\n"
        "def fetch(request, env):\n"
        "    try:\n"
        "        return Response.json(env.COUNTER.id_from_name('a').add())\n"
        "    except ActorCallError as error:\n"
        "        return Response(f'{error.name}: {error.message}')\n"
    )

    alone = LocalHost.of_project(other).fetch("/").text()
    classes = LocalHost.of_project(project)._runner.component.actors
    together = LocalHost.of_project(other, references=classes).fetch("/").text()

    assert alone.startswith("UnknownActorTypeError: ")
    assert "the binding COUNTER leads to the actor type Counter, which no deployed function owns: deploy" in alone
    assert together == '[1,"hello","a note"]'


@pytest.mark.parametrize(
    ("manifest", "match"),
    [("name = ", "holdfast.toml"), ('name = "x"', "main"), ('main = "src/missing.py"', "src/missing.py")],
)
def test_what_is_wrong_with_a_project_is_said(tmp_path: Path, manifest: str, match: str) -> None:
    (tmp_path / "holdfast.toml").write_text(manifest)

    with pytest.raises(ValueError, match=match):
        LocalHost.of_project(tmp_path)
    with pytest.raises(ValueError, match=r"holdfast\.toml"):
        LocalHost.of_project(tmp_path / "nowhere")


def test_a_local_host_gives_the_secrets_that_the_manifest_names_and_no_others(project: Path) -> None:
    path = project / "holdfast.toml"
    path.write_text(f'{path.read_text()}\n[secrets]\nnames = ["API_KEY", "LATER"]\n')
    host = LocalHost.of_project(project, secrets={"API_KEY": "s3cret", "OTHER": "not ours"})

    assert host.env.API_KEY == "s3cret"
    assert not {"OTHER", "LATER"} & {*host.env}
    with pytest.raises(AttributeError, match=r"a secret is there once it is named and set"):
        host.env.LATER.upper()

    path.write_text(path.read_text().replace("names", "name"))
    with pytest.raises(ValueError, match=r"\[secrets\] has a list of names"):
        LocalHost.of_project(project)


@pytest.mark.slow
def test_a_project_finds_its_packages_once_it_has_been_built(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast_host.build.project._componentize", Componentize())  # packages are beside a component
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    write_wheel(
        project / "wheels", "greetings", {"greetings/__init__.py": "HELLO = 'hi'", "greetings/more.txt": "and more"}
    )
    manifest = MANIFEST.replace(
        "[[actors]]", 'dependencies = ["./wheels/greetings-1.0-py3-none-any.whl"]\n\n[[actors]]'
    )
    (project / "holdfast.toml").write_text(manifest)
    (project / "src" / "counting.py").write_text(PACKAGED)
    (project / "test_packaged.py").write_text(PACKAGED_TESTS.partition("\n\n")[2])

    before = run_pytest(project)
    build_project(project)
    (project / "test_packaged.py").write_text(PACKAGED_TESTS)
    after = run_pytest(project)

    assert before.returncode == 1
    assert "No module named 'greetings': tests run in your own Python" in before.stdout
    assert "run holdfast build, which puts it into build/packages" in before.stdout
    assert after.returncode == 0, after.stdout
    assert sorted(each.name for each in (project / "build" / "packages").iterdir()) == [
        "greetings",
        "greetings-1.0.dist-info",
    ]


def test_the_clock_of_a_host_begins_at_the_same_date_in_every_run() -> None:
    assert LocalHost({}).clock.now == datetime(2026, 11, 1, tzinfo=UTC)
