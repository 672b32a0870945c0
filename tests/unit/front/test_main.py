"""The front as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.control.protocol import Drain, Drained, Ping, Pong, Ready, Stop, pack_message, read_from_child
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.starts import FrontStart
from tests.unit.front.stage import CATALOG, PATIENCE_S


class Process:
    """A front and the supervisor's ends of what it holds."""

    def __init__(self, folder: Path) -> None:
        self.http = socket.create_server(("127.0.0.1", 0))
        self.control, theirs = socket.socketpair()
        self.control.settimeout(PATIENCE_S)
        command = [sys.executable, "-m", "holdfast_host.front.main", str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno(), self.http.fileno()], start_new_session=True)
        theirs.close()
        routing = Routing.over(1, [str(folder / "w0")])
        self.url = f"http://127.0.0.1:{self.http.getsockname()[1]}"
        start = FrontStart(
            0, str(folder), self.http.fileno(), self.url, "localhost", None, routing, CATALOG, Limits(), "error"
        )
        self.control.sendall(pack_message(start))
        self.lines = self.control.makefile("rb")
        self.ready = self.read()

    def read(self) -> object:
        return read_from_child(self.lines.readline())

    def liveness(self) -> bytes:
        with urllib.request.urlopen(f"{self.url}/health/liveness", timeout=PATIENCE_S) as response:
            return bytes(response.read())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.lines.close()
        self.control.close()
        self.http.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_it_serves_from_the_inherited_socket_and_stops_with_exit_0(process: Process) -> None:
    served = process.liveness()
    process.control.sendall(pack_message(Ping(4)))
    pong = process.read()
    process.control.sendall(pack_message(Drain()))
    drained = process.read()
    process.control.sendall(pack_message(Stop()))

    assert process.process.wait(PATIENCE_S) == 0
    assert process.ready == Ready(process.process.pid)
    assert (served, pong, drained) == (b"ok", Pong(4), Drained())


def test_signals_of_a_terminal_do_not_end_it_but_the_supervisors_end_does(process: Process) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process.process.pid, number)
    served = process.liveness()
    process.lines.close()
    process.control.close()

    assert served == b"ok"
    assert process.process.wait(PATIENCE_S) == 1


def test_it_loads_neither_the_sandbox_engine_nor_the_storage_engine() -> None:
    program = "import sys, json, holdfast_host.front.main; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout

    assert not {"wasmtime", "lmdb"} & {name.partition(".")[0] for name in json.loads(output)}
