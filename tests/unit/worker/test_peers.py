"""The link from a worker to another one that dies at the worst moments."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.wire.frames import PROTOCOL, Call, FrameReader, Kind, pack_json, unpack_call
from holdfast_host.worker.links import Poller
from holdfast_host.worker.peers import Peer


class Waiting:
    """A call of a turn, as far as a peer knows it."""

    shard = 0
    over = False

    def __init__(self) -> None:
        self.outcomes: list[HoldfastError] = []

    def fail(self, error: HoldfastError) -> None:
        self.outcomes.append(error)


class OtherWorker:
    """Accepts on the address, as one process after another would."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._epoch = 0

    def open(self) -> socket.socket:
        """A life begins: it reads the HELLO that has come and answers it."""
        self._epoch += 1
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        groups = {"0": {"epoch": self._epoch, "group": 1}}
        facts = {"protocol": PROTOCOL, "pid": 100 + self._epoch, "partitions": groups}
        self.came: list[tuple[int, bytes]] = []
        self._reader = FrameReader()
        self.read(connection)
        connection.sendall(pack_json(Kind.HELLO, facts))
        return connection

    def read(self, connection: socket.socket) -> None:
        self.came += self._reader.feed(connection.recv(1 << 16))

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_a_worker_that_dies_as_it_greets_gets_no_call_twice_in_its_next_life(tmp_path: Path, calls: int) -> None:
    """The HELLO has been read, the first frame finds nobody: the others must not go ahead of the next HELLO."""
    other = OtherWorker(str(tmp_path / "w1"))
    poller = Poller()
    peer = Peer(1, str(tmp_path / "w1"), 1, poller, Limits())
    waiting: list[Any] = [Waiting() for _ in range(calls)]
    for number, call in enumerate(waiting):
        peer.send(call, Call(0, 1, 0, 0, 0, b"alice", b"deposit", b"", b"[%d]" % number))
    other.open().close()
    poller.run(10)
    second = other.open()
    poller.run(10)
    while len(other.came) < calls + 1:
        other.read(second)
    second.setblocking(False)

    with pytest.raises(BlockingIOError):
        second.recv(1)
    assert [kind for kind, _ in other.came] == [Kind.HELLO] + calls * [Kind.CALL]
    assert [unpack_call(payload).body for _, payload in other.came[1:]] == [b"[%d]" % n for n in range(calls)]
    assert [call.outcomes for call in waiting] == calls * [[]]
    other.close()
    second.close()
    poller.run(10)
