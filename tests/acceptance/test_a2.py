"""The quick start with a function in front of the actor, with the commands a reader would type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.components import ACCOUNT, shared_compiles
from tests.harness.host import HOLDFAST, HostProcess

JSON = "-H 'content-type: application/json'"
WALKTHROUGH = [
    (
        f"""curl -sS -X POST $B/accounts/alice/deposit {JSON} -d '{{"amount":100}}'""",
        '{"account":"alice","balance":100}',
    ),
    (
        f"""curl -sS -X POST $B/accounts/alice/debit   {JSON} -d '{{"amount":30}}'""",
        '{"account":"alice","ok":true,"balance":70}',
    ),
    (
        f"""curl -sS -X POST $B/accounts/alice/debit   {JSON} -d '{{"amount":1000}}'""",
        '{"account":"alice","ok":false,"balance":70}',
    ),
    (f"""curl -sS -X POST $B/accounts/bob/deposit   {JSON} -d '{{"amount":5}}'""", '{"account":"bob","balance":5}'),
    ("""curl -sS $B/accounts/alice/balance""", '{"account":"alice","balance":70}'),
    ("""curl -sS $B/accounts/bob/balance""", '{"account":"bob","balance":5}'),
]

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Terminal:
    """A shell beside a running host; the port that the walkthrough names stands for the host's own."""

    host: HostProcess
    folder: Path

    def type(self, command: str, **variables: str) -> str:
        """Run a command that succeeds; what it prints to stdout, last line end aside."""
        done = subprocess.run(
            ["bash", "-c", self.on_this_host(command)],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{Path(HOLDFAST).parent}{os.pathsep}{os.environ['PATH']}",
                "HOLDFAST_HOST": self.host.url,
                **{name: self.on_this_host(value) for name, value in variables.items()},
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.removesuffix("\n")

    def on_this_host(self, text: str) -> str:
        """The same with the host's own port."""
        return text.replace(":8787", f":{self.host.url.rpartition(':')[2]}")


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A host with the project deployed as the walkthrough says."""
    folder = tmp_path_factory.mktemp("a2")
    with HostProcess(folder / "host" / "data", "--workers", "2") as host:
        outside = Terminal(host, folder)
        outside.type("holdfast new account")
        inside = Terminal(host, folder / "account")
        shutil.copyfile(ACCOUNT / "src" / "app.py", inside.folder / "src" / "app.py")
        shutil.copyfile(ACCOUNT / "holdfast.toml", inside.folder / "holdfast.toml")
        (inside.folder / "src" / "bindings.py").unlink()  # it is of the scaffold's own actor
        with shared_compiles(host.data):
            printed = inside.type("holdfast deploy").splitlines()
        assert printed[-1] == inside.on_this_host("Function 'account' is deployed: http://account.localhost:8787")
        yield inside


def test_the_walkthrough_prints_what_it_says(terminal: Terminal) -> None:
    printed = [terminal.type(command, B="http://account.localhost:8787") for command, _ in WALKTHROUGH]

    assert printed == [expected for _, expected in WALKTHROUGH]


def test_the_same_function_answers_under_a_path_of_the_host(terminal: Terminal) -> None:
    terminal.type(
        f"""curl -sS -X POST $B/accounts/carol/deposit {JSON} -d '{{"amount":7}}'""",
        B="http://127.0.0.1:8787/fn/account",
    )

    by_host = terminal.type("curl -sS http://account.localhost:8787/accounts/carol/balance")
    by_path = terminal.type("curl -sS http://127.0.0.1:8787/fn/account/accounts/carol/balance")

    assert by_host == by_path == '{"account":"carol","balance":7}'


@pytest.mark.parametrize("probe", ["liveness", "readiness"])
def test_health_paths_under_its_host_name_are_the_functions_own(terminal: Terminal, probe: str) -> None:
    printed = terminal.type(f"curl -sSi http://account.localhost:8787/health/{probe}")

    head, body = printed.split("\n\n" if "\r" not in printed else "\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert body == "ok"


@pytest.mark.parametrize("body", ["", "{}", '{"amount":"5"}', '{"amount":true}', '{"amount":null}', "[5]", "{"])
@pytest.mark.parametrize("method", ["deposit", "debit"])
def test_an_amount_that_is_missing_or_no_number_is_400(terminal: Terminal, method: str, body: str) -> None:
    printed = terminal.type(
        f"curl -sS -w ' %{{http_code}}' -X POST $B/accounts/dave/{method} -d '{body}'",
        B="http://account.localhost:8787",
    )

    assert printed == '{"error":"amount (number) required"} 400'


@pytest.mark.parametrize(
    "request_line",
    ["GET /", "GET /accounts", "GET /accounts/alice", "GET /accounts/alice/deposit", "PUT /accounts/alice/deposit",
     "POST /accounts/alice/balance", "POST /accounts/alice/close", "GET /health", "DELETE /health/liveness",
     "GET /v1/actors", "POST /v1/actors/Account/alice/balance", "GET /fn/account/health/liveness"],
)  # fmt: skip
def test_anything_else_is_not_found_by_the_function_itself(terminal: Terminal, request_line: str) -> None:
    method, path = request_line.split()
    printed = terminal.type(f"curl -sS -w ' %{{http_code}}' -X {method} $B{path}", B="http://account.localhost:8787")

    assert printed == "not found 404"


def test_the_type_is_served_by_the_api_beside_the_function(terminal: Terminal) -> None:
    terminal.type(
        f"""curl -sS -X POST $B/accounts/erin/deposit {JSON} -d '{{"amount":3}}'""", B="http://account.localhost:8787"
    )

    printed = terminal.type("curl -sS -X POST http://127.0.0.1:8787/v1/actors/Account/erin/balance")

    assert json.loads(printed) == {"balance": 3}
