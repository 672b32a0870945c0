"""Many sockets of one room, as bare connections of this process: they make the handshake and throw away what comes."""

from __future__ import annotations

import resource
import select
import socket
import time
from typing import Final
from urllib.parse import urlsplit

from tests.benchmarks.servers import Server

ALL: Final = "all"
_FRAME_BYTES: Final = 2 + len("00000001 for everybody")
_PING: Final = b"\x89"  # how one begins; no text of the room has that byte
_PING_BYTES: Final = 2
_READ_BYTES: Final = 1 << 16
_TIMEOUT_S: Final = 120.0


def open_socket(server: Server, name: str) -> socket.socket:
    """A client of the room of that name, which has welcomed it."""
    where = urlsplit(server.url)
    client = socket.create_connection((where.hostname or "", where.port or 0), timeout=_TIMEOUT_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(
        b"GET /v1/actors/Room/%b/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % name.encode()
    )
    came = b""
    while not came.endswith(b"welcome"):
        came += _received(client)
    return client


def text_frame(text: str) -> bytes:
    """A client's frame of a short text."""
    message = text.encode()
    assert len(message) < 126, text
    return b"\x81%c\0\0\0\0%b" % (0x80 | len(message), message)  # masked with zeros


class Crowd:
    """Clients of one room of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._sockets)

    def grow(self, count: int) -> None:
        """Open so many more; each has had its welcome."""
        try:
            self._sockets += [open_socket(self._server, "crowd") for _ in range(count)]
        except OSError as error:
            raise RuntimeError(f"{self._server.name} took no {count} sockets more: {error}") from error

    def ask(self, text: str) -> bytes:
        """What the room answers one of them."""
        self._sockets[0].sendall(text_frame(text))
        came = _received(self._sockets[0])
        while len(came) < 2 + came[1]:
            came += _received(self._sockets[0])
        return came[2:]

    def tell_all(self, messages: int) -> tuple[int, float]:
        """Have the room tell everybody so often; how many frames came, and in how many seconds."""
        with select.epoll() as poll:
            by_number = {each.fileno(): each for each in self._sockets}
            for number in by_number:
                poll.register(number, select.EPOLLIN)
            began = time.perf_counter()
            for _ in range(messages):
                self._sockets[0].sendall(text_frame(ALL))
            frames = messages * self.count
            left = frames * _FRAME_BYTES
            while left > 0:
                ready = poll.poll(_TIMEOUT_S, 4_096)
                if not ready:
                    raise RuntimeError(f"{self._server.name} has not written {left} of {frames} frames' bytes")
                left -= sum(_without_pings(_received(by_number[number])) for number, _ in ready)
            assert left == 0, f"{-left} bytes more than the frames of a broadcast have"
            return frames, time.perf_counter() - began


def _without_pings(came: bytes) -> int:
    """How many bytes of it are frames of the room: who has been silent for a minute is pinged."""
    return len(came) - _PING_BYTES * came.count(_PING)


def _received(client: socket.socket) -> bytes:
    came = client.recv(_READ_BYTES)
    if not came:
        raise ConnectionResetError("the server has closed a socket")
    return came
