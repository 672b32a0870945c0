"""From a new project to a deployed function, and the inner loop, with the commands that an author types."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.saves import measure_saves
from tests.harness.caller import Caller
from tests.harness.host import HostProcess
from tests.harness.projects import DevProcess, run, write_project


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


def module(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python in a directory."""
    return subprocess.run([sys.executable, "-m", *command], cwd=directory, capture_output=True, text=True, check=False)


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
    checked = module(project, "mypy", "src")
    path.write_text(text)

    assert 'Argument "by" to "increment" of "CounterStub" has incompatible type "str"; expected "int"' in checked.stdout
    assert '"object" not callable' in checked.stdout


def test_types_are_written_as_the_scaffold_has_them(project: Path) -> None:
    path = project / "src" / "bindings.py"
    text = path.read_text()
    path.unlink()
    run(project, "types")

    assert path.read_text() == text


def test_a_deploy_tells_its_stages_and_leaves_the_manifest_as_it_was_but_for_its_identity(
    project: Path, host: HostProcess
) -> None:
    before = (project / "holdfast.toml").read_text()
    first = run(project, "deploy", host=host.url)
    after = (project / "holdfast.toml").read_text()
    again = run(project, "ship", host=host.url)
    with host.caller() as caller:
        shown = caller.request("GET", "/v1/functions/visits").value
        posted = caller.request("POST", "/fn/visits/counters/a/increment")
        read = caller.request("GET", "/counters/a", headers={"host": "visits.localhost"})

    for stage in (
        "Reading holdfast.toml",
        "Building visits",
        "Uploading",
        "Checking",
        "Compiling",
        "Loading",
        "Switching",
    ):
        assert stage in first
    assert (
        first.splitlines()[-1]
        == f"Function 'visits' is deployed: http://visits.localhost:{host.url.rpartition(':')[2]}"
    )
    assert after == before + f'\n[deploy]\nfunc_id = "{shown["func_id"]}"\n'
    assert "visits" in again
    assert (posted.text, read.text) == ('{"value":1}', '{"value":1}')
    assert run(project, "list", host=host.url).splitlines()[1].split("\t")[0] == "visits"


def test_types_of_a_reference_come_from_the_host(project: Path, host: HostProcess, tmp_path: Path) -> None:
    run(project, "deploy", host=host.url)
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
    (reader / "holdfast.toml").write_text((reader / "holdfast.toml").read_text().replace("Counter", "Ledger"))
    assert "has no actor type 'Ledger'" in run(reader, "types", host=host.url, fails=True)


@pytest.mark.slow
def test_what_is_saved_is_live_and_what_is_broken_keeps_the_last_good_code(tmp_path: Path) -> None:
    run(tmp_path, "new", "demo")
    project = tmp_path / "demo"
    app = project / "src" / "app.py"
    text = app.read_text()
    with DevProcess(project) as dev, dev.caller() as caller:
        assert increment(caller) == '{"value":1}'

        app.write_text(text.replace('return {"value": value}', 'print("hi")\n        return {"value": value, "x": 1}'))
        dev.wait_for("src/app.py is live after")
        assert increment(caller) == '{"value":2,"x":1}'
        dev.wait_for("Counter/a | hi")

        app.write_text(text + "\nx = (\n")
        dev.wait_for(
            "src/app.py:31: syntax error in 'x = (': '(' was never closed (the last good version keeps serving)"
        )
        assert increment(caller) == '{"value":3,"x":1}'

        app.write_text(text.replace("value = self.ctx", "value = self.nothing\n        value = self.ctx"))
        dev.wait_for("src/app.py is live after", 2)
        increment(caller)
        line = app.read_text().splitlines().index("        value = self.nothing") + 1
        dev.wait_for(f'Counter/a |   File "src/app.py", line {line}, in increment')
        dev.wait_for("Counter/a |     value = self.nothing")

        app.write_text("import tomllib\n" + text)
        dev.wait_for("tomllib is not in this development component: it takes a real build")
        dev.wait_for("demo | is live", 2)
        assert increment(caller) == '{"value":4}'

        manifest = project / "holdfast.toml"
        manifest.write_text(manifest.read_text() + '\n[vars]\nGREETING = "hello"\n')
        app.write_text(text.replace("not found", "{env.GREETING}").replace('Response("{', 'Response(f"{'))
        dev.wait_for("holdfast.toml, src/app.py changed: it takes a real build")
        dev.wait_for("demo | is live", 3)
        assert caller.request("GET", "/elsewhere").text == "hello\n"
        assert caller.request("GET", "/v1/actors").text == "hello\n"
        (project / "src" / "other.py").write_text("VALUE = 3\n")
        dev.wait_for("src/other.py is live after")
        app.write_text(
            text.replace("+ by", "+ by * other.VALUE").replace("from bindings", "import other\nfrom bindings")
        )
        dev.wait_for("src/app.py is live after", 3)
        assert increment(caller) == '{"value":7}'
        dev_api = dev.api
        assert "Counter" in run(project, "list", host=dev_api)

    with DevProcess(project) as dev, dev.caller() as caller:
        assert "building" not in dev.printed
        assert increment(caller) == '{"value":10}'
    with DevProcess(project, "--fresh") as dev, dev.caller() as caller:
        assert increment(caller) == '{"value":3}'


@pytest.mark.slow
def test_several_projects_run_side_by_side_whatever_their_order(tmp_path: Path) -> None:
    run(tmp_path, "new", "owner")
    source = (
        "from holdfast import Response\n\n"
        'def fetch(request, env):\n    return Response.json(env.READONLY.id_from_name("a").value())\n'
    )
    write_project(tmp_path / "reader", "reader", source, ("READONLY", "Counter"))
    with DevProcess(tmp_path, "reader", "owner") as dev, dev.caller() as caller:
        port = dev.api.rpartition(":")[2]
        posted = caller.request("POST", "/counters/a/increment", headers={"host": f"owner.localhost:{port}"})
        assert posted.text == '{"value":1}'
        assert caller.request("GET", "/").text == '{"value":1}'
        assert f"owner: http://owner.localhost:{port}" in dev.printed


@pytest.mark.slow
def test_twenty_saves_are_each_answered_in_less_than_a_second(tmp_path: Path) -> None:
    took_s = sorted(measure_saves(tmp_path, 20))

    assert took_s[len(took_s) // 2] < 1.0, took_s  # the median: a shared machine may stall once


def increment(caller: Caller) -> str:
    return caller.request("POST", "/counters/a/increment").text
