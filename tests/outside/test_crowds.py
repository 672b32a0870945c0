"""Many connections at the same moment."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.host import HostProcess

CROWD = 1_000  # that come while the front has no time to accept

pytestmark = pytest.mark.slow


def test_a_thousand_connections_that_come_while_the_front_is_busy_are_all_answered(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host, ExitStack() as connections:
        [front] = host.pids()["front"]
        where = urlsplit(host.url)
        os.kill(front, signal.SIGSTOP)
        try:
            crowd = []
            for _ in range(CROWD):
                connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=10.0)
                connections.enter_context(connection)
                connection.sendall(b"GET /health/liveness HTTP/1.1\r\nHost: localhost\r\n\r\n")
                crowd.append(connection)
        finally:
            os.kill(front, signal.SIGCONT)
        answers = [connection.recv(64) for connection in crowd]

    assert [answer for answer in answers if not answer.startswith(b"HTTP/1.1 200 ")] == []
