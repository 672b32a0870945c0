"""Clients that take all they can get, in a process of their own: `python -m tests.benchmarks.flooding HOST PORT HOW`.

`client` says small messages to its room as fast as they are taken; `guest` has its room send a megabyte in one turn,
again and again; `slow` listens to a room that sends a lot, and never reads. They go on until they are ended.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from tests.harness.host import PROJECT

_PIECE: Final = 1 << 16
_TEXT, _BINARY = 0x81, 0x82
_Open = Callable[[], socket.socket]


@contextmanager
def flooding(url: str, how: str) -> Iterator[None]:
    """While the block runs, once its client is there."""
    where = urlsplit(url)
    command = [sys.executable, "-m", __name__, str(where.hostname), str(where.port), how]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            yield
            assert process.poll() is None, "the flood has ended by itself"
        finally:
            process.kill()


def _client(connect: _Open) -> None:
    client = connect()
    _read_in_background(client)
    messages = _masked(_BINARY, b"12345") * 1_000
    while True:
        client.sendall(messages)


def _guest(connect: _Open) -> None:
    client = connect()
    _read_in_background(client)
    while True:
        client.sendall(_masked(_TEXT, b"flood"))


def _slow(connect: _Open) -> None:
    speaker = connect()
    _read_in_background(speaker)
    slow = connect()
    slow.setblocking(False)
    while True:
        speaker.sendall(_masked(_TEXT, b"flood"))
        with contextlib.suppress(BlockingIOError, ConnectionError):
            if not slow.recv(1, socket.MSG_PEEK):  # it was cut: another one comes
                slow = connect()


def _read_in_background(client: socket.socket) -> None:
    def read() -> None:
        while client.recv(_PIECE):
            pass

    threading.Thread(target=read, daemon=True).start()


def _masked(kind: int, body: bytes) -> bytes:
    return bytes((kind, 0x80 | len(body), 0, 0, 0, 0)) + body


def main() -> None:
    """Flood, once a first client is there."""
    host, port, how = sys.argv[1:]

    def connect() -> socket.socket:
        client = socket.create_connection((host, int(port)))
        head = f"GET /v1/actors/Room/{how}/ws?user=u HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        head += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        client.sendall(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        came = b""
        while b"welcome" not in came:
            came += client.recv(_PIECE)
        print("there", flush=True)
        return client

    {"client": _client, "guest": _guest, "slow": _slow}[how](connect)


if __name__ == "__main__":
    main()
