"""Functions, actors' own fetch, and secrets, from outside a real host."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness import components
from tests.harness.components import PROJECT, TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.projects import run

WEB = PROJECT / "tests" / "harness" / "guests" / "web"
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(host: HostProcess, path: str, body: bytes = b"", method: str = "POST", name: str = "web") -> Response:
    """One request to a function by its host name, or to the host by its address, on a connection of its own."""
    where = urlsplit(host.url)
    assert where.hostname is not None
    host_name = name if name == "127.0.0.1" else f"{name}.localhost"
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    try:
        connection.request(method, path, body=body, headers={"Host": f"{host_name}:{where.port}"})
        response = connection.getresponse()
        return Response(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def web_component() -> TestComponent:
    return components.built(WEB)


@pytest.fixture(scope="module")
def host(web_component: TestComponent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    data = tmp_path_factory.mktemp("functions") / "data"
    limits = ["--limit", "fetch_timeout_s=3", "--limit", "function_sandboxes_max=4", "--limit", "function_queue_max=8"]
    with HostProcess(data, "--workers", "2", *limits) as running:
        deploy(running, web_component)
        yield running


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_any_method_and_path_is_the_functions_own(host: HostProcess, method: str) -> None:
    seen = ask(host, "/v1/actors/Desk/a/note?x=%20&y", b"body", method).json

    assert seen["method"] == method
    assert seen["path"] == "/v1/actors/Desk/a/note"
    assert seen["query"] == {"x": " ", "y": ""}
    assert seen["length"] == 4


@pytest.mark.parametrize("size", [0, 1, 70_000, 10 * MIB])
def test_a_binary_body_passes_through_up_to_the_limit(host: HostProcess, size: int) -> None:
    body = os.urandom(size)

    answer = ask(host, "/echo", body)

    assert answer.status == 200
    assert answer.body == body


def test_past_the_limit_a_request_is_413_and_a_response_500(host: HostProcess) -> None:
    assert ask(host, "/echo", b"x" * (10 * MIB + 1)).status == 413
    assert ask(host, f"/big?bytes={10 * MIB}").status == 200
    assert ask(host, f"/big?bytes={10 * MIB + 1}").status == 500


def test_a_binary_body_passes_by_path_up_to_the_limit(host: HostProcess) -> None:
    for size in (10 * MIB - 1, 10 * MIB):
        body = os.urandom(size)
        answer = ask(host, "/fn/web/echo", body, name="127.0.0.1")

        assert (answer.status, answer.body == body) == (200, True), answer.body[:300]
    assert ask(host, "/fn/web/echo", bytes(10 * MIB + 1), name="127.0.0.1").status == 413


@pytest.mark.parametrize(("way", "seen"), [("there", f"{10 * MIB}".encode()), ("back", b"true")])
def test_a_stubs_fetch_takes_and_gives_a_binary_body_of_ten_mebibytes(host: HostProcess, way: str, seen: bytes) -> None:
    answer = ask(host, f"/fetch_bytes?way={way}&bytes={10 * MIB}")

    assert (answer.status, answer.body) == (200, seen), answer.body[:300]


def test_six_mebibytes_fit_into_a_sandbox_that_hands_them_on_and_answers_what_comes_back(host: HostProcess) -> None:
    body = os.urandom(6 * MIB)
    answer = ask(host, "/visit/large/echo", body)

    assert (answer.status, answer.body == body) == (200, True), answer.body[:300]


@pytest.mark.limit("fetch_body_bytes_max")
@pytest.mark.parametrize(
    ("way", "what"), [("there", "fn web: a request of fetch"), ("back", "Desk/bytes.fetch: a response")]
)
def test_one_byte_more_through_a_stubs_fetch_is_refused_with_size_and_limit(
    host: HostProcess, way: str, what: str
) -> None:
    answer = ask(host, f"/fetch_bytes?way={way}&bytes={10 * MIB + 1}")

    message = f"{what} with a body of {10 * MIB + 1} bytes, the limit is {10 * MIB} bytes"
    assert answer.json == {"name": "LimitError", "message": message}


def test_set_cookie_repeats_and_hop_by_hop_headers_do_not_leave(host: HostProcess) -> None:
    answer = ask(host, "/cookies")
    names = [name.lower() for name, _ in answer.headers]

    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1; Path=/", "b=2"]
    assert not {"x-private", "transfer-encoding", "connection"} & set(names)
    assert answer.body == b"two"


def test_a_head_has_the_length_and_no_body(host: HostProcess) -> None:
    answer = ask(host, "/echo", method="HEAD")
    seen = ask(host, "/anything", method="HEAD")

    assert (answer.status, answer.body, seen.body) == (200, b"", b"")
    assert int(dict(seen.headers)["Content-Length"]) > 20


@pytest.mark.parametrize("path", ["/fail", "/smuggle", "/desk/a/fail", "/visit/a/fail", "/status?code=700"])
def test_what_a_handler_raises_is_500_with_its_text_in_the_log_alone(host: HostProcess, path: str) -> None:
    answer = ask(host, path)

    assert answer.status == 500
    assert answer.json["error"]["name"] == "ActorMethodError"
    assert answer.json["error"]["message"] == "the function 'web' failed: its log says why"
    assert "x-smuggled" not in {name.lower() for name, _ in answer.headers}


def test_the_log_has_the_text(host: HostProcess) -> None:
    ask(host, "/fail")
    deadline = time.monotonic() + 10
    while "the password is hunter2" not in host.log:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_trap_and_a_spent_budget_cost_their_own_request_only(host: HostProcess) -> None:
    assert ask(host, "/trap").status == 500
    late = ask(host, "/busy?seconds=60")

    assert (late.status, late.json["error"]["name"]) == (504, "ActorFetchTimeoutError")
    assert ask(host, "/echo", b"fine").body == b"fine"


def test_a_refusal_of_an_actor_passes_through_the_function(host: HostProcess) -> None:
    answer = ask(host, "/desk/a/refuse")

    assert (answer.status, answer.json["error"]["code"]) == (423, "closed")


def test_a_function_reaches_actors_of_every_worker_and_their_own_fetch(host: HostProcess) -> None:
    assert {ask(host, f"/desk/n{number}/note", b'["hi"]').body for number in range(8)} == {b"1"}
    answer = ask(host, "/visit/n1/anything", b"abc")

    assert (answer.status, answer.body) == (201, b"cba")
    assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert dict(answer.headers)["X-Desk"] == "n1"
    assert ask(host, "/desk/n1/note", b'["again"]').body == b"3"


def test_a_burst_on_a_function_is_bounded_and_actors_answer_meanwhile(host: HostProcess) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(ask(host, "/busy?seconds=0.4").status)) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    with host.caller() as caller:
        took = []
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            assert caller.call("Desk", "beside", "note", "hi").status == 200
            took.append(time.monotonic() - began)

    assert set(statuses) <= {200, 429, 504}
    assert 429 in statuses
    assert 200 in statuses
    assert sorted(took)[len(took) // 2] < 0.5


def secret(host: HostProcess, *arguments: str, value: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [HOLDFAST, "secret", arguments[0], "--host", host.url, *arguments[1:]]
    return subprocess.run(command, input=value, capture_output=True, text=True, timeout=60, check=False)


def test_a_secret_reaches_the_function_that_names_it_from_the_next_turn_on_and_no_eye(
    host: HostProcess,
) -> None:
    before = ask(host, "/environment").json
    assert secret(host, "set", "API_KEY", value="hunter3\n").returncode == 0
    other = secret(host, "set", "OTHER", value="hunter3\n")
    with host.caller() as caller:
        known = caller.value("Desk", "secretive", "known")
        shown = caller.request("GET", "/v1/secrets").text + caller.request("GET", "/v1/functions/web").text
    seen = ask(host, "/environment").json
    host.kill_all()
    host.restart()
    after = ask(host, "/environment").json
    listed = secret(host, "list").stdout
    assert secret(host, "delete", "API_KEY").returncode == 0
    assert secret(host, "delete", "OTHER").returncode == 0

    assert before == {"GREETING": "hello"}
    assert known == seen == after == {"GREETING": "hello", "API_KEY": "hunter3"}
    assert "API_KEY" in listed
    assert 'No deployed function sees it: name it in holdfast.toml, [secrets] names = ["OTHER"]' in other.stderr
    assert "hunter3" not in shown + listed + host.log
    assert ask(host, "/environment").json == before
    assert not _holds(host.data, b"hunter3")


def test_a_secret_named_as_a_variable_of_another_function_changes_nothing_there(host: HostProcess) -> None:
    before = ask(host, "/environment").json
    assert secret(host, "set", "GREETING", value="x").returncode == 0

    assert ask(host, "/environment").json == before
    assert secret(host, "delete", "GREETING").returncode == 0
    assert secret(host, "delete", "NOSUCH").returncode == 1
    assert "no secret 'NOSUCH'" in secret(host, "delete", "NOSUCH").stderr


def test_an_environment_deployed_from_two_machines_is_one_function_with_its_own_values(
    host: HostProcess, web_component: TestComponent, tmp_path: Path
) -> None:
    """By its name; each machine keeps the identity for itself, and the component is the one that the host has."""
    plain, _, _ = web_component.manifest.read_text().partition("[deploy]")
    said = []
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
        manifest = tmp_path / machine / "holdfast.toml"
        manifest.write_text(f'{plain}[env.staging]\nvars.GREETING = "staged"\nlimits.method_s = 7\n')
        command = ("deploy", "--env", "staging", "--component", str(web_component.component), ".")
        said.append(run(tmp_path / machine, *command, host=host.url))
    seen = ask(host, "/environment").json
    with host.caller() as caller:
        shown = caller.request("GET", "/v1/functions/web").value
    deploy(host, web_component)

    assert seen == {"GREETING": "staged"}
    assert "Compiling" not in "".join(said)
    assert len({each["sha256"] for each in shown["versions"]}) == 1
    for machine in ("one", "two"):
        kept = json.loads((tmp_path / machine / ".holdfast-functions.json").read_text())
        assert kept["functions"] == {host.url: {"staging": shown["func_id"]}}
    assert ask(host, "/environment").json == {"GREETING": "hello"}


def _holds(folder: Path, text: bytes) -> bool:
    """Whether any file that is not the code itself holds it."""
    return any(
        text in path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name not in {"components", "compiled"} and path.stat().st_size < 64 * MIB
    )


def test_behind_a_trusted_proxy_a_function_sees_its_clients_address_and_scheme(
    web_component: TestComponent, tmp_path: Path
) -> None:
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7", "X-Forwarded-Proto": "https"}
    named = {"Forwarded": "for=6.6.6.6, for=203.0.113.7;proto=https;host=web.localhost"}
    with HostProcess(tmp_path / "data", "--workers", "1", "--trusted-proxy", "127.0.0.0/8") as host:
        deploy(host, web_component)
        with host.caller() as caller:
            proxied = caller.request("GET", "/fn/web/seen", headers=forwarded).value
            by_name = caller.request("GET", "/seen", headers=named).value
            direct = caller.request("GET", "/fn/web/seen").value

    assert (proxied["client"], proxied["url"].partition(":")[0]) == ("203.0.113.7", "https")
    assert (by_name["client"], by_name["url"]) == ("203.0.113.7", "https://web.localhost/seen")
    assert (direct["client"], direct["url"].partition(":")[0]) == ("127.0.0.1", "http")
