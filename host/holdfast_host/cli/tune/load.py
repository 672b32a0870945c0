"""The load: `python -m holdfast_host.cli.tune.load HOST PORT CONNECTIONS SECONDS`, a process of its own.

Each connection has one call under way, and sends the next when the reply is there. What is said at the end is JSON:
`calls`, `p99_ms`, `failed` (a status that is not 200, or a connection that ended).
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Final

from holdfast_host.cli.output import say

NAMES: Final = 200
WARM_S: Final = 0.5  # of which nothing counts: sandboxes are made
_READ_BYTES: Final = 1 << 16
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_BODY: Final = b'{"amount":1}'


@dataclass(slots=True)
class _Connection:
    """One client; `number` says whose turn it is next."""

    socket: socket.socket
    address: str
    number: int
    sent_at: float = 0.0
    received: bytes = b""

    def send(self, now: float) -> None:
        """The next call."""
        self.number = (self.number + 1) % NAMES
        self.received, self.sent_at = b"", now
        head = f"POST /v1/actors/Tuned/t{self.number}/deposit HTTP/1.1\r\nHost: {self.address}\r\n"
        self.socket.sendall(f"{head}Content-Length: {len(_BODY)}\r\n\r\n".encode() + _BODY)

    def receive(self) -> bool | None:
        """True for a whole reply with the status 200, False for another one or the end, None where it is not whole."""
        piece = self.socket.recv(_READ_BYTES)
        if not piece:
            return False
        self.received += piece
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not end or (length and len(body) < int(length[1])):
            return None
        return bool(length) and head.startswith(b"HTTP/1.1 200 ")


@dataclass(slots=True)
class Load:
    """What came back."""

    calls: int = 0
    failed: int = 0
    times: list[float] = field(default_factory=list)

    def run(self, host: str, port: int, connections: int, seconds: float) -> None:
        """Call for so long, after warming up; blocks."""
        with selectors.DefaultSelector() as selector:
            began = time.monotonic()
            for number in range(connections):
                connection = _Connection(socket.create_connection((host, port), 10), f"{host}:{port}", number)
                connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send(began)
            counts_from = began + WARM_S
            while (now := time.monotonic()) < counts_from + seconds and selector.get_map():
                for key, _ in selector.select(0.1):
                    self._take(key.data, selector, counts=now >= counts_from)
            for key in list(selector.get_map().values()):
                key.data.socket.close()

    def _take(self, connection: _Connection, selector: selectors.BaseSelector, *, counts: bool) -> None:
        try:
            answered = connection.receive()
            now = time.monotonic()
            if answered:
                if counts:
                    self.calls += 1
                    self.times.append(now - connection.sent_at)
                connection.send(now)
        except OSError:
            answered = False
        if answered is False:
            self.failed += 1
            selector.unregister(connection.socket)
            connection.socket.close()

    def said(self) -> str:
        """For who started it."""
        times = sorted(self.times)
        p99_ms = times[int(len(times) * 0.99)] * 1000 if times else 0.0
        return json.dumps({"calls": self.calls, "p99_ms": p99_ms, "failed": self.failed})


def main() -> None:
    """Run it as the words say."""
    host, port, connections, seconds = sys.argv[1:]
    load = Load()
    load.run(host, int(port), int(connections), float(seconds))
    say(load.said())


if __name__ == "__main__":
    main()
