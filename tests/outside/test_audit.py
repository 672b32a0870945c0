"""The audit log of a running host: every change through the management API is in it, and no value is."""

from __future__ import annotations

import http.client
import json
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess
from tests.outside.test_tokens import BOOTSTRAP, Closed

CALLS = {"callMethod", "callMethodByBody"}
SECRET = "a-value-that-nobody-may-read"


DEPLOY = 2  # lines, of the deploy with which each of these hosts begins


def log_of(closed: Closed, after: int = DEPLOY) -> list[Any]:
    text = closed.ask("GET", f"/v1/audit?after={after}").text
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def closed(start_probe_host: StartHost) -> Closed:
    return Closed(start_probe_host("--fronts", "2", HOLDFAST_TOKEN=BOOTSTRAP))


@pytest.mark.slow
def test_every_operation_that_changes_something_is_in_the_log_and_no_other_is(closed: Closed) -> None:
    ops = closed.make("admin", name="ops")
    document = closed.ask("GET", "/v1/openapi.json").value
    after = log_of(closed)[-1]["number"]
    expected = []
    for path, item in document["paths"].items():
        if path.startswith("/fn/"):
            continue
        target = path.replace("{type}", "Probe").replace("{method}", "nothing").replace("{function}", "absent")
        target = "/".join("absent" if each.startswith("{") else each for each in target.split("/"))
        for method, operation in item.items():
            if method == "parameters":
                continue
            query = "?with_key=perhaps" if path == "/v1/backup" else ""
            body = "{}" if method in ("post", "put") else None
            answer = closed.ask(method.upper(), target + query, body, ops["token"])
            if method != "get" and operation["operationId"] not in CALLS:
                error = answer.error or None
                expected.append((operation["operationId"], target, answer.status, error))
    lines = log_of(closed, after)
    begun = {each["number"]: each for each in lines if each["event"] == "begun"}
    ended = [each for each in lines if each["event"] == "ended"]

    assert len(expected) > 15
    assert [(each["what"], each["object"], each["status"], each["error"]) for each in ended] == expected
    assert {each["token"] for each in lines} == {ops["id"]}
    assert {(each["name"], each["client"]) for each in lines} == {("ops", "127.0.0.1")}
    for each in ended:
        assert begun.pop(each["begun"])["what"] == each["what"]
    assert not begun
    assert [each["number"] for each in lines] == list(range(after + 1, after + 1 + len(lines)))


def test_no_value_no_argument_and_no_token_is_in_the_log_but_what_was_made_is(closed: Closed) -> None:
    made = closed.make("call", types=["Probe"], name="shop")
    rotated = closed.ask("POST", f"/v1/tokens/{made['id']}/rotate").value
    for method, path, body in (
        ("PUT", "/v1/secrets/KEY", json.dumps({"value": SECRET})),
        ("PUT", "/v1/secrets/KEY", json.dumps({"value": [SECRET]})),
        ("PUT", "/v1/instances/Probe/a/storage/k", json.dumps(SECRET)),
        ("DELETE", f"/v1/secrets/KEY?value={SECRET}", None),
        ("POST", "/v1/functions/probe/rollback", None),
        ("POST", "/v1/actors/Probe/a/echo", json.dumps([SECRET])),
    ):
        closed.ask(method, path, body)
    lines = log_of(closed)
    kept = b"".join(path.read_bytes() for path in (closed.host.data / "audit").iterdir()).decode()

    for text in (json.dumps(lines), kept):
        assert SECRET not in text
        assert not any(each[-20:] in text for each in (made["token"], rotated["token"], BOOTSTRAP))
    shown = {key: made[key] for key in ("id", "name", "scope", "types", "tenant")}
    assert [each["details"] for each in lines if each["event"] == "ended"][:2] == [{"of": shown}, {"of": shown}]
    assert {each["token"] for each in lines} == {"bootstrap"}


@pytest.mark.slow
def test_a_change_that_a_kill_cut_short_is_in_the_log_without_an_outcome(closed: Closed) -> None:
    """It is written before it begins: the body, which never comes, is waited for after that."""
    where = urlsplit(closed.host.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    connection.putrequest("PUT", "/v1/secrets/KEY")
    connection.putheader("Authorization", f"Bearer {BOOTSTRAP}")
    connection.putheader("Content-Length", "100")
    connection.endheaders()
    connection.send(b'{"value":')
    followed = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    followed.request("GET", "/v1/audit?follow=true&limit=1&after=2", headers={"Authorization": f"Bearer {BOOTSTRAP}"})
    [line] = followed.getresponse().read().splitlines()
    closed.host.kill_all()
    connection.close()
    followed.close()
    closed.host.start()

    assert json.loads(line)["what"] == "setSecret"
    assert log_of(closed) == [json.loads(line)]
    shown = audit(closed.host)
    assert "bootstrap from 127.0.0.1 | setSecret /v1/secrets/KEY: outcome unknown" in shown
    assert closed.ask("PUT", "/v1/secrets/KEY", '{"value":"v"}').status == 201
    assert [each["number"] for each in log_of(closed)] == [3, 4, 5]


def audit(host: HostProcess, *options: str) -> str:
    command = [HOLDFAST, "audit", "--host", host.url, *options]
    environment = {**host.environment, "HOLDFAST_TOKEN": BOOTSTRAP}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.slow
def test_the_command_shows_one_line_a_change_from_a_time_on(closed: Closed) -> None:
    closed.ask("PUT", "/v1/secrets/KEY", '{"value":"v"}')
    closed.ask("DELETE", "/v1/secrets/OTHER")
    _, first, second = audit(closed.host, "--since", "1h").splitlines()

    assert first.endswith("bootstrap from 127.0.0.1 | setSecret /v1/secrets/KEY: 201")
    assert second.endswith("bootstrap from 127.0.0.1 | deleteSecret /v1/secrets/OTHER: 404 UnknownSecretError")
    assert audit(closed.host, "--since", "9999999999") == ""
    assert len(audit(closed.host, "--json").splitlines()) == DEPLOY + 4


def test_a_host_without_tokens_knows_where_a_change_came_from(start_probe_host: StartHost) -> None:
    opened = Closed(start_probe_host())
    opened.ask("DELETE", "/v1/secrets/NONE", token=None)
    [_, ended] = [
        json.loads(line) for line in opened.ask("GET", f"/v1/audit?after={DEPLOY}", token=None).text.splitlines()
    ]

    assert (ended["token"], ended["client"], ended["status"]) == ("anonymous", "127.0.0.1", 404)
