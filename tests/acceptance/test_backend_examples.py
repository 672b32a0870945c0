"""The backends of examples/fastapi and examples/django: before a real host, and before what only looks like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tests.harness.components import EXAMPLES, TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOBODY = "http://127.0.0.1:9"
# Each says at which port it listens.
FASTAPI = """
import socket, uvicorn
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config("backend:app", log_level="critical")).run([listening])
"""
DJANGO = """
from wsgiref.simple_server import make_server
from django.core.wsgi import get_wsgi_application
server = make_server("127.0.0.1", 0, get_wsgi_application())
print(server.server_port, flush=True)
server.serve_forever()
"""
Backend = Callable[[str], AbstractContextManager[httpx.Client]]  # of a host's URL


@contextmanager
def served(example: str, program: str, holdfast_host: str) -> Iterator[httpx.Client]:
    """A process with the backend, which calls that host."""
    environment = {**os.environ, "HOLDFAST_HOST": holdfast_host, "DJANGO_SETTINGS_MODULE": "settings"}
    command, pipe, quiet = [sys.executable, "-c", program], subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=EXAMPLES / example, env=environment, stdout=pipe, stderr=quiet, text=True
    ) as process:
        try:
            assert process.stdout is not None
            with httpx.Client(base_url=f"http://127.0.0.1:{int(process.stdout.readline())}", timeout=60) as web:
                yield web
        finally:
            process.kill()


@pytest.fixture(params=["fastapi", "django"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return partial(served, request.param, FASTAPI if request.param == "fastapi" else DJANGO)


@pytest.fixture(scope="module")
def host(account_component: TestComponent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with the accounts."""
    with HostProcess(tmp_path_factory.mktemp("accounts") / "data") as host:
        deploy(host, account_component)
        yield host


@pytest.mark.slow
def test_a_request_is_a_call_and_its_key_is_the_calls(
    backend: Backend, host: HostProcess, request: pytest.FixtureRequest
) -> None:
    path, key = f"/accounts/{request.node.callspec.id}", {"Idempotency-Key": "order-17"}
    with backend(host.url) as web:
        for _ in range(2):
            assert web.post(f"{path}/deposit", json={"amount": 5}, headers=key).json() == {"balance": 5}
        assert web.post(f"{path}/debit", json={"amount": 2}).json() == {"ok": True, "balance": 3}
        assert web.get(path).json() == {"balance": 3}
        too_much = web.post(f"{path}/debit", json={"amount": 20})
        other = web.post(f"{path}/deposit", json={"amount": 6}, headers=key)

        assert (too_much.status_code, too_much.json()) == (409, {"detail": "insufficient funds"})
        assert (other.status_code, other.json()["code"]) == (422, None)
        assert web.post(f"{path}/deposit", json={"amount": -1}).status_code == 422
        assert web.get(f"/accounts/{'x' * 300}").status_code == 400


def test_a_host_that_is_not_there_is_no_affair_of_who_asked(backend: Backend) -> None:
    with backend(NOBODY) as web:
        answer = web.get("/accounts/alice")

    assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (503, {"detail": "try again"}, "1")


def test_the_trace_of_a_request_goes_on_in_its_call(backend: Backend) -> None:
    carried: list[str | None] = []

    class Host(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            carried.append(self.headers["traceparent"])
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"balance": 0}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with backend(f"http://127.0.0.1:{server.server_port}") as web:
            web.get("/accounts/alice", headers={"traceparent": PARENT})
            web.get("/accounts/alice")
        server.shutdown()

    assert carried == [PARENT, None]
