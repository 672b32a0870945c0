"""What failed has an id, in its answer and in the host's log."""

from __future__ import annotations

import re
import socket
import time
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.harness.caller import Answer
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess

ID: Final = "holdfast-request-id"
FAILING: Final = [
    ("GET", "/v1/nothing", None, 404),
    ("GET", "/nothing", None, 404),
    ("GET", "/v1/functions/absent", None, 404),
    ("GET", "/v1/instances/Probe?limit=x", None, 400),
    ("GET", "/v1/instances/Absent/a/storage", None, 404),
    ("GET", "/v1/actors/Absent/a/x", None, 405),
    ("PATCH", "/v1/functions", None, 405),
    ("POST", "/v1/functions/absent/rollback", "{", 400),
    ("PUT", "/v1/instances/Probe/a/storage/k", "1" * (2 << 20), 413),
    ("POST", "/v1/call", "[]", 400),
    ("POST", "/v1/actors/Probe/a/absent", "", 404),
    ("POST", "/v1/actors/Probe/a/raise_only", "", 500),
    ("POST", "/v1/actors/Probe/a/raise_only", "", 500),  # by a head that is known
    ("POST", "/v1/actors/Absent/a/get", "", 404),
    ("GET", "/fn/absent/", None, 404),
]


def lines_of(host: HostProcess, found: str) -> list[str]:
    """The log's lines about it, once there is one."""
    ends_at = time.monotonic() + 30
    while not (lines := re.findall(rf"^.* request {found}: .*$", host.log, re.MULTILINE)):
        assert time.monotonic() < ends_at, found
        time.sleep(0.02)
    return lines


def test_each_failure_has_an_id_of_its_own_that_the_log_has_too(start_probe_host: StartHost) -> None:
    host, ids = start_probe_host("--log-level", "debug"), set()
    with host.caller() as caller:
        for method, path, body, status in FAILING:
            answer: Answer = caller.request(method, path, body)
            assert answer.status == status, (path, answer)
            ids.add(found := answer.headers[ID])
            [line] = lines_of(host, found)
            assert f": {method} {path[:11]}" in line
            assert f": {status} " in line
        assert ID not in caller.call("Probe", "a", "increment").headers
        assert ID not in caller.request("GET", "/v1/actors").headers

    assert len(ids) == len(FAILING)


def test_what_is_no_http_has_one_too(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    at = urlsplit(host.url)
    with socket.create_connection((at.hostname, at.port or 0), timeout=30) as link:
        link.sendall(b"GET / HTTP/9.9 x\r\n\r\n")
        said = link.makefile("rb").read()

    assert said.startswith(b"HTTP/1.1 400 ")
    assert re.search(rb"\r\nHoldfast-Request-Id: [0-9a-f]{8}-\d+\r\n", said)


@pytest.mark.slow
def test_without_debug_the_log_has_failures_of_the_api_some_each_second_and_none_of_calls(
    start_probe_host: StartHost,
) -> None:
    host = start_probe_host()
    with host.caller() as caller:
        began = time.monotonic()
        for _ in range(100):
            caller.request("GET", "/v1/nothing")
            caller.call("Probe", "a", "raise_only")
        asked = [caller.request("GET", "/v1/nothing").headers[ID]]
        while f" request {asked[-1]}: " not in host.log:  # until there is room again
            asked.append(caller.request("GET", "/v1/nothing").headers[ID])
            assert time.monotonic() < began + 30
        seconds = int(time.monotonic() - began) + 2

    lines = re.findall(r" request .*", host.log)
    assert all("GET /v1/nothing" in line for line in lines)
    assert 20 <= len(lines) <= 20 * seconds + 1
