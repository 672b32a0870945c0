"""The link from a worker to another one that dies at the worst moments."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import PROTOCOL, Call, FrameReader, Kind, pack_json, pack_reply, unpack_call
from holdfast_host.worker.calls.peers import Peer
from holdfast_host.worker.threads.poller import Poller


class Waiting:
    """A call of a turn, as far as a peer knows it."""

    partition = slot = 0

    def __init__(self) -> None:
        self.outcomes: list[object] = []

    def done(self) -> bool:
        return bool(self.outcomes)

    def set_result(self, reply: object) -> None:
        self.outcomes.append(reply)

    def set_exception(self, error: HoldfastError) -> None:
        self.outcomes.append(error)


class OtherWorker:
    """Accepts on the address, as one process after another would."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._epoch = 0

    def open(self, protocol: int = PROTOCOL) -> socket.socket:
        """A life begins: it reads the HELLO that has come and answers it."""
        self._epoch += 1
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        groups = {"0": {"epoch": self._epoch, "group": 1}}
        facts = {"protocol": protocol, "pid": 100 + self._epoch, "partitions": groups}
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
    peer = Peer(1, str(tmp_path / "w1"), poller, Limits())
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


@pytest.fixture
def other(tmp_path: Path) -> Iterator[OtherWorker]:
    worker = OtherWorker(str(tmp_path / "w1"))
    yield worker
    worker.close()


@pytest.fixture
def poller() -> Poller:
    return Poller()


@pytest.fixture
def make_peer(other: OtherWorker, poller: Poller, tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Ways to the other worker, which are closed after the test."""
    made: list[Peer] = []

    def make(**limits: int) -> Peer:
        made.append(Peer(1, str(tmp_path / "w1"), poller, Limits(**limits)))
        return made[-1]

    yield make
    for peer in made:
        peer._connection.close()
        peer._fall()
        peer._window.close()


def deposit(body: bytes = b"") -> Call:
    return Call(0, 1, 0, 0, 0, b"alice", b"deposit", b"", body)


def test_a_worker_of_another_protocol_gets_no_call_and_the_next_life_gets_all(
    other: OtherWorker, poller: Poller, make_peer: Callable[..., Peer]
) -> None:
    peer = make_peer()
    call: Any = Waiting()
    peer.send(call, deposit())
    foreign = other.open(protocol=PROTOCOL + 1)
    poller.run(10)
    assert foreign.recv(1) == b""  # cut
    peer.keep_house(time.monotonic())
    ours = other.open()
    poller.run(10)
    other.read(ours)

    assert [kind for kind, _ in other.came] == [Kind.HELLO, Kind.CALL]
    assert call.outcomes == []
    foreign.close()
    ours.close()


def test_bodies_of_nested_calls_without_an_answer_are_bounded_in_bytes(make_peer: Callable[..., Peer]) -> None:
    peer = make_peer(client_body_bytes_max=1000)
    waiting: Any = Waiting()
    peer.send(waiting, deposit(b"x" * 900))

    with pytest.raises(HoldfastError, match="900 bytes of unanswered bodies, 101 more exceed the limit of 1000 bytes"):
        peer.send(waiting, deposit(b"x" * 101))


@pytest.mark.parametrize("slot", [3, 1 << 31])
def test_a_reply_for_an_unknown_slot_ends_the_link_and_answers_no_other_call(
    other: OtherWorker, poller: Poller, make_peer: Callable[..., Peer], slot: int
) -> None:
    peer = make_peer()
    call: Any = Waiting()
    peer.send(call, deposit())
    liar = other.open()
    poller.run(10)
    liar.sendall(pack_reply(slot, 200, b"1"))
    poller.run(10)
    peer.keep_house(time.monotonic())
    successor = other.open()
    poller.run(10)
    other.read(successor)

    assert call.outcomes == []
    assert [kind for kind, _ in other.came] == [Kind.HELLO, Kind.CALL]
    liar.close()
    successor.close()


def test_without_a_successor_in_time_nested_calls_are_answered_and_refused_until_one_comes(
    other: OtherWorker, poller: Poller, make_peer: Callable[..., Peer]
) -> None:
    peer = make_peer()
    early, late, after = (cast("Any", Waiting()) for _ in range(3))
    peer.send(early, deposit())
    peer.keep_house(time.monotonic() + 60)
    with pytest.raises(HoldfastError, match="worker 1 is gone since over 10 s"):
        peer.send(late, deposit())
    worker = other.open()
    poller.run(10)
    peer.send(after, deposit(b"[1]"))
    other.read(worker)

    assert [type(each).__name__ for each in early.outcomes] == ["HostUnavailableError"]
    assert [unpack_call(payload).body for _, payload in other.came[1:]] == [b"[1]"]
    worker.close()
