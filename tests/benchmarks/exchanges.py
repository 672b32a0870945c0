"""The same work as a socket's message and its answer, and as a call over HTTP: by one generator, in turns.

Each of the names has a connection; of those so many at a time wait for their answer.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from tests.benchmarks.crowd import open_socket, text_frame
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import Server
from tests.harness import processes

ROLES: Final = ("front", "worker")
_NAMES: Final = 200
_AT_ONCE: Final = 32
_BODIES: Final = {"deposit": ('{"amount":5}', b"}"), "empty": ("", b"null")}  # what is sent, how an answer ends
_COLUMNS: Final = ["message and answer", *(f"CPU of the {role}, us" for role in ROLES), "as a call", "of that"]
_TIMEOUT_S: Final = 20.0


def compare(section: Section, scale: Scale, server: Server) -> None:
    """CPU of front and worker for each, as messages and as calls."""
    rows: list[list[object]] = []
    for method in _BODIES:
        with _ring(server, method, as_calls=True) as calls, _ring(server, method, as_calls=False) as messages:
            for each in (calls, messages):
                each.run(server, scale.seconds)  # activates
            seen = [
                (calls.run(server, scale.seconds), messages.run(server, scale.seconds)) for _ in range(scale.rounds)
            ]
        place = f"sockets/{method}"
        cpu = [section.figure(f"{place}/{role}/cpu_us", [message[role] for _, message in seen]) for role in ROLES]
        as_calls = [section.figure(f"{place}/{role}/call_cpu_us", [call[role] for call, _ in seen]) for role in ROLES]
        ratios = [
            section.figure(f"{place}/{role}/cpu_ratio", [message[role] / call[role] for call, message in seen])
            for role in ROLES
        ]
        rows.append([method, *cpu, " + ".join(map(str, as_calls)), " + ".join(f"{each}x" for each in ratios)])
    section.table(f"a socket's message and its answer: {_NAMES} names, {_AT_ONCE} at once", _COLUMNS, rows)


@contextmanager
def _ring(server: Server, method: str, *, as_calls: bool) -> Iterator[_Ring]:
    ring = _Ring(server, method, as_calls=as_calls)
    try:
        yield ring
    finally:
        ring.close()


class _Ring:
    """Connections that ask one after the other."""

    def __init__(self, server: Server, method: str, *, as_calls: bool) -> None:
        body, self._ending = _BODIES[method]
        where = urlsplit(server.url)
        self._requests: dict[socket.socket, bytes] = {}
        for number in range(_NAMES):
            name = f"n{number}"
            if as_calls:
                client = socket.create_connection((where.hostname or "", where.port or 0))
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                head = (
                    f"POST /v1/actors/Room/{name}/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
                )
                self._requests[client] = f"{head}\r\n\r\n{body}".encode()
            else:
                self._requests[open_socket(server, name)] = text_frame(body)

    def close(self) -> None:
        """Close all connections."""
        for each in self._requests:
            each.close()

    def run(self, server: Server, seconds: float) -> dict[str, float]:
        """Microseconds of CPU of each process for one exchange."""
        assert server.host is not None
        pids = {role: server.host.pids()[role] for role in ROLES}
        before_s = {role: sum(map(processes.cpu_s, pids[role])) for role in ROLES}
        done = self._exchange(time.monotonic() + seconds)
        return {role: (sum(map(processes.cpu_s, pids[role])) - before_s[role]) / done * 1e6 for role in ROLES}

    def _exchange(self, over_at: float) -> int:
        """Until then, and until what was asked is answered; how many have been."""
        idle, by_number = deque(self._requests), {each.fileno(): each for each in self._requests}
        asked = answered = 0
        came: dict[socket.socket, bytes] = {}
        with select.epoll() as poll:
            for number in by_number:
                poll.register(number, select.EPOLLIN)
            while True:
                while asked - answered < _AT_ONCE and time.monotonic() < over_at:
                    client = idle.popleft()
                    client.sendall(self._requests[client])
                    asked += 1
                if asked == answered:
                    return answered
                ready = poll.poll(_TIMEOUT_S)
                if not ready:
                    raise RuntimeError(f"{asked - answered} are not answered within {_TIMEOUT_S:g} s")
                for number, _ in ready:
                    client = by_number[number]
                    text = came.pop(client, b"") + client.recv(4096)
                    if text.endswith(self._ending):
                        answered += 1
                        idle.append(client)
                    elif not text:
                        raise RuntimeError("the host has closed a connection")
                    else:
                        came[client] = text
