"""From a new project to a deployed function, with the commands that an author types."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.components import CACHE, shared_compiles
from tests.harness.host import HostProcess
from tests.harness.projects import free_port, run, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scaffolded project, as it is."""
    folder = tmp_path_factory.mktemp("projects")
    assert run(folder, "new", "visits") == "Project 'visits' is made: cd visits && holdfast dev\n"
    return folder / "visits"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    with HostProcess(tmp_path_factory.mktemp("projects-host") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def deployed(project: Path, host: HostProcess) -> tuple[str, str]:
    """The manifest before the project's first deploy, and what `holdfast deploy` printed."""
    before = (project / "holdfast.toml").read_text()
    with shared_compiles(host.data):
        return before, run(project, "deploy", host=host.url)


def module(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python in a directory; what mypy knows of the SDK is kept."""
    environment = {**os.environ, "MYPY_CACHE_DIR": str(CACHE / "mypy")}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_new_projects_test_passes_and_its_types_are_strict(project: Path) -> None:
    tested = module(project, "pytest", "-q", "-p", "holdfast.testing.plugin", "-p", "no:cacheprovider")
    checked = module(project, "mypy", "--strict", "src", "tests")

    assert "2 passed" in tested.stdout, tested.stdout
    assert checked.returncode == 0, checked.stdout


def test_mypy_catches_a_wrong_call_of_a_stub(project: Path) -> None:
    path = project / "src" / "app.py"
    text = path.read_text()
    path.write_text(
        text.replace("(name).increment()", '(name).increment(by="two")').replace("(name).value()", "(name).valeu()")
    )
    checked = module(project, "mypy", "--strict", "src", "tests")
    path.write_text(text)

    assert 'Argument "by" to "increment" of "CounterStub" has incompatible type "str"; expected "int"' in checked.stdout
    assert '"object" not callable' in checked.stdout


@pytest.mark.slow
def test_types_are_written_as_the_scaffold_has_them_and_know_the_secrets_that_the_manifest_names(project: Path) -> None:
    path, manifest = project / "src" / "bindings.py", project / "holdfast.toml"
    text, written = path.read_text(), manifest.read_text()
    path.unlink()
    nobody = f"http://127.0.0.1:{free_port()}"
    run(project, "types", host=nobody)
    without = path.read_text()
    manifest.write_text(f'{written}\n[secrets]\nnames = ["API_KEY"]\n')
    run(project, "types", host=nobody)
    named = path.read_text()
    path.write_text(text)
    manifest.write_text(written)

    assert without == text
    assert "    COUNTER: CounterNamespace\n    API_KEY: str\n" in named


@pytest.mark.slow
def test_a_deploy_tells_its_stages_and_leaves_the_manifest_as_it_was_but_for_its_identity(
    project: Path, host: HostProcess, deployed: tuple[str, str]
) -> None:
    before, first = deployed
    after = (project / "holdfast.toml").read_text()
    again = run(project, "ship", "--component", "build/visits.wasm", host=host.url)
    with host.caller() as caller:
        shown = caller.request("GET", "/v1/functions/visits").value
        posted = caller.request("POST", "/fn/visits/counters/a/increment")
        read = caller.request("GET", "/counters/a", headers={"host": "visits.localhost"})

    for stage in (
        "Reading holdfast.toml",
        "Building visits",
        "Uploading",
        "Checking",
        "Loading",
        "Switching",
    ):
        assert stage in first
    assert any(each in first for each in ("Compiling", "Reusing", "Compiled before"))
    assert (
        first.splitlines()[-1]
        == f"Function 'visits' is deployed: http://visits.localhost:{host.url.rpartition(':')[2]}"
    )
    assert after == before + f'\n[deploy]\nfunc_id = "{shown["func_id"]}"\n'
    assert "visits" in again
    assert (posted.text, read.text) == ('{"value":1}', '{"value":1}')
    assert run(project, "list", host=host.url).splitlines()[1].split("\t")[0] == "visits"


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
def test_types_of_a_reference_come_from_the_host(host: HostProcess, tmp_path: Path) -> None:
    source = (
        "from holdfast import Request, Response\n\nfrom bindings import Env\n\n\n"
        "def fetch(request: Request, env: Env) -> Response:\n"
        '    return Response.json(env.READONLY.id_from_name("a").value())\n'
    )
    reader = write_project(tmp_path / "reader", "reader", source, ("READONLY", "Counter"))
    run(reader, "types", host=host.url)
    good = module(reader, "mypy", "--strict", "src")
    (reader / "src" / "app.py").write_text(source.replace("value()", "increment(1, 2)"))
    bad = module(reader, "mypy", "--strict", "src")

    assert good.returncode == 0, good.stdout
    assert "Too many arguments" in bad.stdout
    (reader / "src" / "app.py").write_text(source)
    (reader / "src" / "bindings.py").unlink()
    with HostProcess(tmp_path / "data") as empty:
        assert "has no actor type 'Counter'" in run(reader, "types", host=empty.url, fails=True)
