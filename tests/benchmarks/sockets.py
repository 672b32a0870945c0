"""Sockets: what an idle one takes in front and worker, and how fast one message reaches a crowd.

The clients are bare connections of this process: they make the handshake and throw away what comes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast
from tests.harness import components, processes
from tests.harness.caller import Caller
from tests.harness.host import HostProcess

_CLIENTS, _QUICK_CLIENTS = 10_000, 1_000
_FIRST = 200  # opened before anything is measured: what a process takes once is not an idle socket's
_MESSAGE = b"\x81\x82\0\0\0\0hi"
_HANDSHAKE = (
    b"GET /v1/actors/Room/crowd/ws?user=u HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def run(section: Section, scale: Scale) -> None:
    """One instance with a crowd: memory while it sleeps, then messages to all of them."""
    count = _QUICK_CLIENTS if scale.quick else _CLIENTS
    with holdfast(project=components.GUESTS / "chat") as server, _Crowd(server.url) as crowd:
        host = server.host
        assert host is not None
        crowd.grow(_FIRST)
        before = _memory(host)
        crowd.grow(count)
        after = _memory(host)
        idle = {role: (after[role] - before[role]) / count for role in before}
        rates, costs = [], []
        with crowd.reading():
            for _ in range(scale.rounds):
                frames, seconds, cpu_s = _broadcast(host, crowd, max(1, 100_000 // count))
                rates.append(frames / seconds)
                costs.append(cpu_s / frames * 1e6)
    rows = [
        [f"idle socket, of {count:,}: front, bytes", section.figure("sockets/idle/front_bytes", [idle["front"]])],
        [
            "the same in the worker, bytes",
            section.figure("sockets/idle/worker_bytes", [idle["worker"]]),
        ],
        ["frames of a broadcast, a second", section.figure("sockets/broadcast/frames_per_s", rates)],
        ["CPU of the front for each, us", section.figure("sockets/broadcast/front_cpu_us", costs)],
        [
            "frames that a core of the front can write, a second",
            section.figure("sockets/broadcast/frames_per_core_s", [1e6 / each for each in costs]),
        ],
    ]
    section.table("sockets", ["what", "seen"], rows)


class _Crowd:
    """Clients of one room."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 0)
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> _Crowd:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()

    def grow(self, count: int) -> None:
        """Open so many more; each has had its welcome."""
        for _ in range(count):
            client = socket.create_connection(self._address)
            self._sockets.append(client)
            client.sendall(_HANDSHAKE)
            came = b""
            while b"welcome" not in came:
                came += client.recv(4096)

    def say(self) -> None:
        """One of them says something."""
        self._sockets[0].sendall(_MESSAGE)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._sockets)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Throw away what comes."""
        poll = select.epoll()
        for each in self._sockets:
            each.setblocking(False)
            poll.register(each.fileno(), select.EPOLLIN)
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                for descriptor, _ in poll.poll(0.1, 4096):
                    with contextlib.suppress(BlockingIOError):
                        os.read(descriptor, 1 << 16)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()
            poll.close()


def _memory(host: HostProcess) -> dict[str, int]:
    with host.caller() as caller:
        caller.request("POST", "/v1/instances/Room/crowd/evict")
    time.sleep(2)
    return {role: processes.anonymous_bytes(host.pids()[role][0]) for role in ("front", "worker")}


def _broadcast(host: HostProcess, crowd: _Crowd, messages: int) -> tuple[int, float, float]:
    """Frames, seconds and processor time of the front until all of them are written."""
    front = host.pids()["front"][0]
    with host.caller() as caller:
        start, frames = _sent(caller), messages * crowd.count
        began, cpu_s = time.perf_counter(), processes.cpu_s(front)
        for _ in range(messages):
            crowd.say()
        while _sent(caller) < start + frames:
            time.sleep(0.02)
        return frames, time.perf_counter() - began, processes.cpu_s(front) - cpu_s


def _sent(caller: Caller) -> float:
    return caller.metric("holdfast_socket_frames_sent_total")
