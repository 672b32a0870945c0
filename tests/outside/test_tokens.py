"""Tokens of a running host: what each may, on every front, and that none outlives its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.harness import components
from tests.harness.caller import Answer, Caller
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess

BOOTSTRAP = "correct-horse-battery-staple"
WITHIN_S = 1.0  # on all fronts
CONNECTIONS = 16  # enough that both fronts have some


class Closed:
    """A host with a token of its own."""

    def __init__(self, host: HostProcess) -> None:
        self.host = host

    def ask(self, method: str, path: str, body: str | None = None, token: str | None = BOOTSTRAP) -> Answer:
        with self.host.caller() as caller:
            return ask(caller, method, path, body, token)

    def make(self, scope: str, **more: Any) -> Any:
        answer = self.ask("POST", "/v1/tokens", json.dumps({"scope": scope, **more}))
        assert answer.status == 201, answer
        assert answer.headers["cache-control"] == "no-store"
        return answer.value


def ask(caller: Caller, method: str, path: str, body: str | None, token: str | None) -> Answer:
    return caller.request(method, path, body, {} if token is None else {"Authorization": f"Bearer {token}"})


@pytest.fixture
def closed(start_probe_host: StartHost) -> Closed:
    return Closed(start_probe_host("--fronts", "2", HOLDFAST_TOKEN=BOOTSTRAP))


def test_a_token_is_answered_once_every_front_knows_it(tmp_path: Path) -> None:
    """Whoever gets it may use it at once, on any connection; and one that is revoked is over when that is answered."""
    events: list[str] = []

    def make(closed: Closed) -> None:
        closed.make("read")
        events.append("answered")

    with (
        HostProcess(tmp_path / "data", "--fronts", "2", environment={"HOLDFAST_TOKEN": BOOTSTRAP}) as host,
        host.caller() as caller,
    ):
        other = host.pids()["front"][1]
        os.kill(other, signal.SIGSTOP)
        making = threading.Thread(target=make, args=(Closed(host),))
        making.start()
        while not ask(caller, "GET", "/v1/tokens", None, BOOTSTRAP).value["tokens"]:
            time.sleep(0.02)
        events.append("the other one goes on")
        os.kill(other, signal.SIGCONT)
        making.join()

    assert events == ["the other one goes on", "answered"]


@pytest.mark.slow
def test_every_route_lets_in_the_scopes_that_it_names_and_nobody_else(closed: Closed) -> None:
    made = {scope: closed.make(scope, name=scope) for scope in ("admin", "deploy", "call", "read")}
    other_type = closed.make("call", types=["Cart"])
    revoked, expired = closed.make("admin"), closed.make("admin", expires_s=1)
    assert closed.ask("DELETE", f"/v1/tokens/{revoked['id']}").status == 200
    ends_at = time.monotonic() + 5
    while closed.ask("GET", "/v1/token", token=expired["token"]).status != 401:
        assert time.monotonic() < ends_at
    document = closed.ask("GET", "/v1/openapi.json").value
    assert document["security"] == [{"token": []}]
    wrong = {
        None: "this host has a token",
        "guess": "this is no token of this host",
        revoked["token"]: "this is no token of this host",
        expired["token"]: "has expired",
    }
    walked = 0
    with closed.host.caller() as caller:
        for path, item in document["paths"].items():
            if path.startswith("/fn/"):
                continue
            target = path.replace("{type}", "Probe").replace("{method}", "nothing").replace("{function}", "absent")
            target = target.replace("/v1/backup", "/v1/backup?with_key=perhaps")  # which is refused once it is let in
            target = "/".join("absent" if each.startswith("{") else each for each in target.split("/"))
            for method, operation in item.items():
                if method == "parameters":
                    continue
                scopes, walked = operation["x-holdfast-scopes"], walked + 1
                body = "{}" if method in ("post", "put") else None
                for token, said in wrong.items() if scopes else ():
                    answer = ask(caller, method.upper(), target, body, token)
                    assert (answer.status, answer.error) == (401, "UnauthorizedError"), (method, path, token)
                    assert said in answer.value["error"]["message"]
                for scope, token in made.items():
                    answer = ask(caller, method.upper(), target, body, token["token"])
                    refused = answer.status == 403
                    assert answer.status != 401, (method, path, scope)
                    assert refused == bool(scopes and scope not in scopes), (method, path, scope, answer)
                    if refused:
                        said = f"has the scope {scope}, and this takes one of {' or '.join(scopes)}"
                        assert said in answer.value["error"]["message"]
                if operation["operationId"] == "callMethod":
                    answer = ask(caller, "POST", target, None, other_type["token"])
                    assert (answer.status, answer.error) == (403, "ForbiddenError")
                    assert "may call Cart and no other type: 'Probe'" in answer.value["error"]["message"]

    assert walked > 40


@pytest.mark.slow
@pytest.mark.parametrize("how", ["revoke", "rotate"])
def test_a_token_ends_within_a_second_on_all_fronts_also_under_load(closed: Closed, how: str) -> None:
    made = closed.make("call", types=["Probe"])
    last_good: list[float] = []
    begun = threading.Barrier(CONNECTIONS + 1)

    def call() -> None:
        with closed.host.caller() as caller:
            for _ in range(3):  # its head is known by then
                assert ask(caller, "POST", "/v1/actors/Probe/a/nothing", None, made["token"]).status == 200
            begun.wait()
            good = time.monotonic()
            while ask(caller, "POST", "/v1/actors/Probe/a/nothing", None, made["token"]).status == 200:
                good = time.monotonic()
            last_good.append(good)

    threads = [threading.Thread(target=call) for _ in range(CONNECTIONS)]
    for each in threads:
        each.start()
    begun.wait()
    path = f"/v1/tokens/{made['id']}"
    answer = closed.ask("DELETE", path) if how == "revoke" else closed.ask("POST", f"{path}/rotate")
    ended_at = time.monotonic()
    for each in threads:
        each.join(30)

    assert answer.status == 200
    assert len(last_good) == CONNECTIONS
    assert max(last_good) - ended_at < WITHIN_S
    if how == "rotate":
        assert closed.ask("POST", "/v1/actors/Probe/a/nothing", token=answer.value["token"]).status == 200


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    data = tmp_path_factory.mktemp("chat") / "data"
    with HostProcess(data, "--fronts", "2") as host:
        deploy(host, components.built(components.GUESTS / "chat"))
    with HostProcess(data, "--fronts", "2", environment={"HOLDFAST_TOKEN": BOOTSTRAP}) as host:
        yield Closed(host)


def code_of(client: ClientConnection) -> int | None:
    """How it was closed, once it is."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(5)
    return client.close_code


@pytest.mark.slow
@pytest.mark.parametrize("how", ["revoked", "rotated", "expired"])
def test_sockets_that_a_token_opened_are_closed_when_it_ends_and_others_stay(chat: Closed, how: str) -> None:
    made = chat.make("call", types=["Room"], **({"expires_s": 2} if how == "expired" else {}))
    base = chat.host.url.replace("http:", "ws:")
    with ExitStack() as stack:

        def open_one(path: str, token: str | None) -> Any:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            client = stack.enter_context(connect(base + path, additional_headers=headers))
            assert client.recv(30) == "welcome u"
            return client

        its = [open_one("/v1/actors/Room/r/ws?user=u", made["token"]) for _ in range(6)]
        others = [
            open_one("/v1/actors/Room/r/ws?user=u", BOOTSTRAP),
            open_one("/fn/chat/ws?room=r&user=u", made["token"]),  # a function's: it let it in, not the token
        ]
        if how == "revoked":
            assert chat.ask("DELETE", f"/v1/tokens/{made['id']}").status == 200
        elif how == "rotated":
            assert chat.ask("POST", f"/v1/tokens/{made['id']}/rotate").status == 200
        for each in its:
            assert code_of(each) == 1008
        for each in others:
            each.ping().wait(5)
            assert each.close_code is None


def test_a_stream_of_log_lines_ends_with_its_token(closed: Closed) -> None:
    made = closed.make("read")
    with closed.host.caller() as caller:
        connection = caller.open()
        connection.request("GET", "/v1/logs?follow=true", headers={"Authorization": f"Bearer {made['token']}"})
        response = connection.getresponse()
        assert response.status == 200
        closed.ask("DELETE", f"/v1/tokens/{made['id']}")
        begun = time.monotonic()
        response.read()
        connection.close()

        assert time.monotonic() - begun < WITHIN_S + 1


@pytest.mark.slow
def test_tokens_survive_a_kill_and_a_host_that_is_started_without_its_own_token_stays_closed(closed: Closed) -> None:
    made = closed.make("admin", name="ops")
    gone = closed.make("admin")
    closed.ask("DELETE", f"/v1/tokens/{gone['id']}")
    closed.host.kill_all()
    closed.host.environment.pop("HOLDFAST_TOKEN")
    closed.host.start()

    assert closed.ask("GET", "/v1/functions", token=made["token"]).status == 200
    assert [closed.ask("GET", "/v1/functions", token=each).status for each in (None, BOOTSTRAP, gone["token"])] == [
        401, 401, 401
    ]  # fmt: skip
    [listed] = closed.ask("GET", "/v1/tokens", token=made["token"]).value["tokens"]
    assert (listed["name"], listed["scope"]) == ("ops", "admin")
    assert made["token"] not in "".join(path.read_text() for path in closed.host.data.rglob("*.json"))


@pytest.mark.slow
def test_a_backup_brings_the_tokens_along(closed: Closed, tmp_path: Path) -> None:
    made = closed.make("deploy")
    environment = {**closed.host.environment, "HOLDFAST_TOKEN": BOOTSTRAP}
    file, restored = tmp_path / "all.tar", tmp_path / "restored"
    for words in (("backup", file, "--host", closed.host.url), ("restore", file, restored), ("verify", restored)):
        done = subprocess.run(
            [HOLDFAST, *map(str, words)], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done
    assert "1 token" in done.stdout

    with HostProcess(restored, environment={"HOLDFAST_TOKEN": "another"}) as host:
        again = Closed(host)
        assert again.ask("GET", "/v1/functions", token=made["token"]).status == 200
        assert again.ask("GET", "/v1/tokens", token=made["token"]).status == 403
        assert again.ask("GET", "/v1/functions").status == 401


@pytest.mark.slow
def test_a_host_that_asks_for_no_token_makes_none_and_says_what_to_do(start_probe_host: StartHost) -> None:
    opened = Closed(start_probe_host())
    answer = opened.ask("POST", "/v1/tokens", '{"scope":"admin"}', token=None)

    assert (answer.status, answer.error) == (403, "ForbiddenError")
    assert "start it with HOLDFAST_TOKEN or --token-file first" in answer.value["error"]["message"]
    assert opened.ask("GET", "/v1/token", token=None).value["id"] == "anonymous"
    assert opened.ask("POST", "/v1/actors/Probe/a/nothing", token=None).status == 200
