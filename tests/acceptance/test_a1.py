"""The quick start, with the commands a reader would type, against a real host."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness.components import ACCOUNT, PROJECT, shared_compiles
from tests.harness.host import HOLDFAST, HostProcess

WALKTHROUGH = [
    ("""curl -sS -X POST $H/alice/deposit -d '{"amount":100}'""", '{"balance":100}'),
    ("""curl -sS -X POST $H/alice/debit   -d '[30]'""", '{"ok":true,"balance":70}'),
    ("""curl -sS -X POST $H/alice/debit   -d '{"amount":1000}'""", '{"ok":false,"balance":70}'),
    ("""curl -sS -X POST $H/bob/deposit   -d '{"amount":5}'""", '{"balance":5}'),
    ("""curl -sS -X POST $H/alice/balance""", '{"balance":70}'),
    ("""holdfast call Account bob balance""", '{"balance": 5}'),
]

NAMES = ["carol", "a/b", ".", "..", "../..", "+15551234567", "tenant:room", "名前", "a b", "%41", "?x=1#y", "ß" * 128]


def shell(host: HostProcess, command: str) -> str:
    """What a command prints, typed in the project's folder beside a running host."""
    environment = {
        **os.environ,
        "PATH": f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}",
        "HOLDFAST_HOST": host.url,
        "H": f"{host.url}/v1/actors/Account",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """One host for the whole walkthrough, with the example deployed as a reader does it."""
    with HostProcess(tmp_path_factory.mktemp("a1") / "data", "--workers", "2") as running:
        with shared_compiles(running.data):
            printed = shell(running, "holdfast deploy examples/account")
        assert printed.splitlines()[-1].startswith("Function 'account' is deployed: http")
        yield running


def test_the_quick_start_prints_what_it_says_and_survives_kill_9_of_everything(host: HostProcess) -> None:
    printed = [shell(host, command) for command, _ in WALKTHROUGH]
    host.kill_all()
    host.restart()

    assert printed == [expected for _, expected in WALKTHROUGH]
    assert shell(host, "curl -sS -X POST $H/alice/balance") == '{"balance":70}'
    assert shell(host, "curl -sS -X POST $H/bob/balance") == '{"balance":5}'


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_kind_is_one_instance_by_path_by_body_and_by_command(host: HostProcess, name: str) -> None:
    path = quote(name, safe="").replace(".", "%2E")
    first = shell(host, f"""curl -sS --path-as-is -X POST $H/{path}/deposit -d '[1]'""")
    with host.caller() as caller:
        by_path = caller.request("POST", f"/v1/actors/Account/{path}/deposit", "[1]")
        by_body = caller.request(
            "POST",
            "/v1/call",
            f'{{"type":"Account","name":{json.dumps(name)},"method":"deposit","args":[1]}}',
        )
    by_command = subprocess.run(
        [HOLDFAST, "call", "--host", host.url, "Account", name, "deposit", "amount=1"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert first == '{"balance":1}'
    assert by_path.text == '{"balance":2}'
    assert by_body.text == '{"balance":3}'
    assert by_command.stdout.strip() == '{"balance": 4}'


def test_the_example_is_the_one_that_the_readme_shows() -> None:
    readme = (PROJECT / "README.md").read_text()
    source = (ACCOUNT / "src" / "app.py").read_text()
    [actor] = [part for part in source.split("\n\n\n") if part.startswith("class Account")]

    assert actor.strip() in readme


def test_the_examples_own_readme_has_the_whole_walkthrough() -> None:
    lines = (ACCOUNT / "README.md").read_text().splitlines()

    for command, expected in WALKTHROUGH:
        assert any(line.startswith(command) and line.endswith(f"# {expected}") for line in lines), command


def test_every_file_that_the_readme_links_to_is_there() -> None:
    readme = (PROJECT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]

    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_every_module_of_guarantees_is_linked_from_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text()
    modules = sorted(path.name for path in (PROJECT / "tests" / "guarantees").glob("test_*.py"))

    assert [name for name in modules if f"tests/guarantees/{name}" not in readme] == []
