"""Idle clients with WebSockets, in a process of their own: many, and each costs it a descriptor.

`python -m tests.harness.idle_crowd HOST PORT EACH ROOM...` opens so many in each room of `guests/chat`, some at a time,
answers pings, and notes what comes. It obeys lines: `say ROOM TEXT` has one client of that room say it, `seen` prints
what was noted so far. The end of its input ends it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from tests.harness.host import PROJECT

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_PATIENCE_S: Final = 60.0  # with a handshake
_OPENING: Final = 8  # at a time


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients have had since their handshakes."""

    open: int  # so many have had their welcome
    closed: int  # so many of them were closed by the host, or cut
    texts: Counter[str]


class IdleCrowd:
    """Such a process, which may still open its clients; a context manager.

    Args:
        url: of the host.
        rooms: where they are.
        each: how many in each room.
    """

    def __init__(self, url: str, rooms: list[str], each: int) -> None:
        where = urlsplit(url)
        self.rooms = rooms
        self.count = each * len(rooms)
        command = [sys.executable, "-m", __name__, str(where.hostname), str(where.port), str(each), *rooms]
        self._process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> IdleCrowd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def say(self, text: str) -> None:
        """One client of each room says it."""
        for room in self.rooms:
            self._order(f"say {room} {text}")

    def seen(self) -> Seen:
        """What has come by now."""
        self._order("seen")
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the crowd has ended with {self._process.wait()}"
        facts = json.loads(line)
        return Seen(facts["open"], facts["closed"], Counter(facts["texts"]))

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")


# The process.


class _Clients:
    """All clients of this process."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._sockets: dict[int, socket.socket] = {}
        self._first: dict[str, socket.socket] = {}  # of each room
        self._begun: dict[int, bytes] = {}  # frames that are not whole yet
        self._poll = select.epoll()
        self._texts: Counter[str] = Counter()
        self._opened = self._closed = 0

    def open(self, room: str) -> None:
        """One more, which has had its welcome."""
        client = socket.create_connection(self._address, timeout=_PATIENCE_S)
        head = f"GET /v1/actors/Room/{room}/ws?user=u HTTP/1.1\r\nHost: localhost\r\n"
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        client.sendall(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        came = b""
        while not came.endswith(b"welcome u"):
            piece = client.recv(4096)
            assert piece, came
            came += piece
        self._sockets[client.fileno()] = client
        self._first.setdefault(room, client)
        self._opened += 1
        self._poll.register(client.fileno(), select.EPOLLIN)

    def obey(self) -> None:
        """Do what the lines say, and read what comes meanwhile, until they end."""
        self._poll.register(0, select.EPOLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor:
                    self._take(self._sockets[descriptor])
                    continue
                lines = os.read(0, 1 << 16).decode()
                if not lines:
                    return
                for line in lines.splitlines():
                    self._do(*line.split(" ", 2))

    def _do(self, order: str, room: str = "", text: str = "") -> None:
        if order == "say":
            self._first[room].sendall(_masked(_TEXT, text.encode()))
        else:
            facts = {"open": self._opened, "closed": self._closed, "texts": self._texts}
            print(json.dumps(facts), flush=True)

    def _take(self, client: socket.socket) -> None:
        descriptor = client.fileno()
        try:
            piece = client.recv(1 << 16)
        except OSError:
            piece = b""
        came = self._begun.pop(descriptor, b"") + piece
        while len(came) >= 2 and len(came) >= 2 + came[1]:
            kind, body, came = came[0], came[2 : 2 + came[1]], came[2 + came[1] :]
            if kind == _PING:
                client.sendall(_masked(_PONG, body))
            elif kind == _CLOSE:
                piece = b""
            else:
                self._texts[body.decode()] += 1
        if came:
            self._begun[descriptor] = came
        if not piece:
            self._closed += 1
            self._poll.unregister(descriptor)
            self._sockets.pop(descriptor).close()


def _masked(kind: int, body: bytes) -> bytes:
    return bytes((kind, 0x80 | len(body), 0, 0, 0, 0)) + body


def main() -> None:
    """Open all, then obey."""
    host, port, each, *rooms = sys.argv[1:]
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    clients = _Clients((host, int(port)))
    with ThreadPoolExecutor(_OPENING) as opening:
        for room in rooms:
            for _ in range(int(each)):
                opening.submit(clients.open, room)
        clients.obey()


if __name__ == "__main__":
    main()
