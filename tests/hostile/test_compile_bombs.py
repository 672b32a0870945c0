"""Components that take as long to compile as a host lets them, beside one that does not."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness import processes
from tests.harness.caller import Answer
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.hostile import wat
from tests.hostile.cases import deploy_bare

GOOD = "result_lines"  # a small component, whose compile fits into any limit

pytestmark = pytest.mark.slow


def test_a_good_deploy_beside_a_compile_bomb_is_done_before_it(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "compile_cpu_s=3")
    component = wat.assemble(wat.bomb(4000, 4000))
    refused: list[Answer] = []

    def drop_bomb() -> None:
        with host.caller(timeout_s=200) as caller:
            refused.append(deploy_bare(caller, "bomb", component))

    bomb = threading.Thread(target=drop_bomb)
    bomb.start()
    wait_for_compiler(host)
    with host.caller() as caller:
        deployed = deploy_bare(caller, "good", wat.component(GOOD))
        answered = caller.call(wat.type_of(GOOD), "somebody", "run", {})

    assert not refused
    assert (deployed.status, answered.status) == (201, 200)
    bomb.join()
    assert refused[0].error == "InvalidComponentError"
    assert "of CPU to compile" in refused[0].text


def wait_for_compiler(host: HostProcess) -> None:
    """Return when the host compiles something."""
    [supervisor] = host.pids()["supervisor"]
    deadline = time.monotonic() + 30.0
    while not any("components.compile_process" in command for command in processes.children_of(supervisor).values()):
        assert time.monotonic() < deadline, "nothing is compiled"
        time.sleep(0.005)


class Deploying:
    """A deploy from an address of its own, whose stages a test reads one by one."""

    def __init__(self, host: HostProcess, address: str, function: str, component: bytes) -> None:
        where = urlsplit(host.url)
        assert where.hostname is not None
        self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=200, source_address=(address, 0))
        headers = {"Content-Type": "application/wasm", "Accept": "application/x-ndjson"}
        self._http.request("PUT", f"/v1/functions/{function}", component, headers)
        self._response: http.client.HTTPResponse | None = None

    @property
    def response(self) -> http.client.HTTPResponse:
        """The head, which comes with the first stage."""
        if self._response is None:
            self._response = self._http.getresponse()
        return self._response

    def line(self) -> dict[str, Any]:
        """The next stage, or the end with its `status`."""
        line: dict[str, Any] = json.loads(self.response.readline())
        return line

    def end(self) -> dict[str, Any]:
        """The end."""
        while "status" not in (line := self.line()):
            pass
        return line

    def leave(self) -> None:
        """Hang up."""
        if self._response is not None:
            self._response.close()
        self._http.close()


def test_one_users_compile_bombs_take_turns_with_the_deploy_of_another(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "compile_cpu_s=3", "--limit", "client_deploys_waiting_max=2")
    bomb = wat.assemble(wat.bomb(4000, 4000))
    flood = [Deploying(host, "127.0.0.1", f"bomb{number}", bomb) for number in range(4)]
    first = [str(each.line()["stage"]) for each in flood]
    assert sorted(first) == ["checking"] * 2 + ["queued"] * 2
    with host.caller() as caller:
        assert caller.metric("holdfast_deploys_waiting") == 2

    refused = Deploying(host, "127.0.0.1", "bomb4", bomb)
    assert refused.response.status == 429
    assert int(refused.response.headers["Retry-After"]) > 0
    assert "2 first deploys from 127.0.0.1 wait" in refused.response.read().decode()
    refused.leave()
    flood.pop(first.index("queued")).leave()
    after_one_left = Deploying(host, "127.0.0.1", "bomb5", bomb)
    while after_one_left.response.status == 429:  # the host has not seen yet that it left
        after_one_left.leave()
        after_one_left = Deploying(host, "127.0.0.1", "bomb5", bomb)
    assert after_one_left.line() == {"stage": "queued"}

    other = Deploying(host, "127.0.0.2", "small", wat.component(GOOD))
    assert other.line() == {"stage": "queued"}
    assert other.end()["status"] == 201
    assert host.log.count("deploy failed") < 3  # as many as end before it where the first to come is the first served
    with host.caller() as caller:
        shown = [each["name"] for each in caller.request("GET", "/v1/functions").value["functions"]]
    assert shown == ["probe", "small"]
    assert {each.end()["status"] for each in (*flood, after_one_left)} == {422}
    for each in (other, after_one_left, *flood):
        each.leave()
