"""The link from a worker to the courier, which may come late, hang, or die with requests under way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError, OutboundUnreachableError
from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import PROTOCOL, FrameReader
from holdfast_host.wire.calls.outbound import (
    Ask,
    OutboundKind,
    pack_answer,
    pack_ask,
    pack_hello,
    unpack_ask,
    unpack_cancel,
)
from holdfast_host.worker.calls.courier_link import CourierLink
from holdfast_host.worker.threads.poller import Poller

MIB = 1 << 20


class Waiting:
    """A request of a turn, as far as the link knows it."""

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.outcomes: list[Any] = []

    def answered(self, status: int, body: bytes) -> None:
        self.outcomes.append((status, body))

    def fail(self, error: HoldfastError) -> None:
        self.outcomes.append(error)


class Bench:
    """A link, and the socket on which a courier may listen."""

    def __init__(self, folder: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "courier"))
        self.listener.listen(1)
        self.poller = Poller()
        self.link = CourierLink(str(folder / "courier"), self.poller, Limits(resend_timeout_s=5.0))
        self.accepted: list[socket.socket] = []
        self._frames = FrameReader()

    def send(self, serial: int, body: bytes = b"{}") -> Waiting:
        waiting = Waiting(serial)
        self.link.send(waiting, pack_ask(Ask(serial, 1000, "f", body)))
        return waiting

    def cancel(self, waiting: Waiting) -> None:
        self.link.cancel(waiting)

    def accept(self) -> socket.socket:
        """A courier is there, and has read the worker's HELLO."""
        connection, _ = self.listener.accept()
        self.accepted.append(connection)
        connection.settimeout(10)
        connection.sendall(pack_hello())
        assert connection.recv(len(pack_hello()), socket.MSG_WAITALL) == pack_hello()
        self._frames = FrameReader()
        return connection

    def until(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not done():
            assert time.monotonic() < deadline
            self.poller.run(0.01)

    def receive(self, connection: socket.socket, frames: int) -> list[tuple[int, bytes]]:
        """So many frames, while the link writes."""
        connection.settimeout(0.01)
        found: list[tuple[int, bytes]] = []
        while len(found) < frames:
            self.poller.run(0)
            try:
                found += self._frames.feed(connection.recv(1 << 16))
            except TimeoutError:
                continue
        connection.settimeout(10)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.link._end("the test is over")
    for each in (made.listener, *made.accepted):
        each.close()


def test_answers_find_their_requests_in_any_order(bench: Bench) -> None:
    first, second = bench.send(1), bench.send(2)
    courier = bench.accept()
    asked = [unpack_ask(payload).serial for _, payload in bench.receive(courier, 2)]
    courier.sendall(pack_answer(2, 200, b"b") + pack_answer(1, 502, b"a"))
    bench.until(lambda: first.outcomes and second.outcomes)

    assert asked == [1, 2]
    assert (first.outcomes, second.outcomes) == ([(502, b"a")], [(200, b"b")])


def test_one_that_is_taken_back_is_cancelled_there_and_its_late_answer_is_nobodys(bench: Bench) -> None:
    taken, other = bench.send(1), bench.send(2)
    courier = bench.accept()
    bench.receive(courier, 2)
    bench.cancel(taken)
    bench.cancel(taken)
    [(kind, payload)] = bench.receive(courier, 1)
    courier.sendall(pack_answer(1, 200, b"late") + pack_answer(2, 200, b""))
    bench.until(lambda: other.outcomes)

    assert (kind, unpack_cancel(payload)) == (OutboundKind.CANCEL, 1)
    assert taken.outcomes == []


def test_when_the_courier_dies_all_are_told_that_the_outcome_may_be_unknown_and_the_next_one_is_found(
    bench: Bench,
) -> None:
    waiting = [bench.send(1), bench.send(2)]
    courier = bench.accept()
    bench.receive(courier, 2)
    courier.close()
    bench.until(lambda: all(each.outcomes for each in waiting))
    after = bench.send(3)
    successor = bench.accept()
    [(_, payload)] = bench.receive(successor, 1)
    successor.sendall(pack_answer(3, 200, b""))
    bench.until(lambda: after.outcomes)

    assert unpack_ask(payload).serial == 3  # nothing of the first two: they are not sent twice
    for each in waiting:
        [error] = each.outcomes
        assert error.name == "OutboundUnreachableError"
        assert "the courier died: the outcome of the request may be unknown" in error.message


def test_where_no_courier_comes_in_time_those_who_wait_are_told(bench: Bench) -> None:
    waiting = bench.send(1)
    bench.link.keep_house(time.monotonic() + 4)
    early = list(waiting.outcomes)
    bench.link.keep_house(time.monotonic() + 6)

    assert early == []
    assert "no courier has come within 5 s" in waiting.outcomes[0].message


def test_one_that_has_said_hello_is_waited_for(bench: Bench) -> None:
    waiting = bench.send(1)
    courier = bench.accept()
    bench.poller.run(1.0)
    bench.link.keep_house(time.monotonic() + 60)
    courier.sendall(pack_answer(1, 200, b""))
    bench.until(lambda: waiting.outcomes)

    assert waiting.outcomes == [(200, b"")]


def test_without_a_socket_a_request_fails_at_once(tmp_path: Path) -> None:
    link, waiting = CourierLink(str(tmp_path / "none"), Poller(), Limits()), Waiting(1)
    link.send(waiting, pack_ask(Ask(1, 1000, "f", b"{}")))

    assert waiting.outcomes[0].name == "OutboundUnreachableError"


def test_a_courier_that_breaks_the_protocol_is_left(bench: Bench) -> None:
    waiting = bench.send(1)
    courier = bench.accept()
    courier.sendall(b"\x05\x00\x00\x00\x63aaaa")
    bench.until(lambda: waiting.outcomes)

    assert "the link to the courier broke" in waiting.outcomes[0].message


def test_a_flood_of_large_requests_takes_the_leader_time_in_proportion_to_its_bytes(bench: Bench) -> None:
    """What the socket does not take waits in pieces that are not copied again for each write."""
    body = bytes(8 * MIB)
    waiting = [bench.send(serial, body) for serial in range(8)]
    courier = bench.accept()
    began = time.process_time()
    asked = [unpack_ask(payload) for _, payload in bench.receive(courier, 8)]
    took_s = time.process_time() - began

    assert [each.serial for each in asked] == list(range(8))
    assert all(len(each.request) == len(body) for each in asked)
    assert not any(each.outcomes for each in waiting)
    assert took_s < 2.0  # 64 MiB; joined with what is left at each write: over 10 s


def test_a_courier_of_another_protocol_is_refused_by_name(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    waiting = bench.send(1)
    courier, _ = bench.listener.accept()
    bench.accepted.append(courier)
    courier.sendall(pack_hello()[:-2] + (PROTOCOL + 1).to_bytes(2, "little") + pack_answer(1, 200, b"not read"))
    bench.until(lambda: waiting.outcomes)

    assert isinstance(waiting.outcomes[0], OutboundUnreachableError)
    assert f"courier: the other end speaks protocol {PROTOCOL + 1}, we speak {PROTOCOL}" in caplog.text
