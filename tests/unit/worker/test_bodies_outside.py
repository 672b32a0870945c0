"""A client that goes while a piece of its response is computed: what the piece then asks of the outside is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest

from holdfast_host.core.errors import OutboundUnreachableError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import StoredInstance
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.calls.function_bodies import pack_pull, unpack_head
from holdfast_host.worker.calls.awaited import Awaited
from holdfast_host.worker.calls.outbound import OutboundRead, OutboundRequest, OutboundRequests
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.turns.function_bodies import FunctionBodies
from holdfast_host.worker.turns.function_turns import FunctionTurn, PieceTurn

HEAD = b'{"status":200,"headers":[],"body_follows":true}'


class Response:
    """A response whose body has begun, with the worker's parts around it, and an answer that its function reads."""

    def __init__(self) -> None:
        self.link, self.gate, self.mailboxes, self.front = Mock(), Mock(), Mock(), Mock()
        self.outbound = OutboundRequests(Limits(), gate=self.gate, leadership=Mock(), link=self.link)
        self.bodies = FunctionBodies(Mock(), self.mailboxes, Limits(), Mock(), self.outbound.interrupt)
        self.entry = Entry(1, "fn f", StoredInstance(0, 0, b""))
        self.entry.loaded = Mock(asks_outside=True)
        head = SimpleNamespace(
            entry=self.entry, client=self.front, error=None, broken=None, abandoned=False, result=HEAD
        )
        self.bodies.ended(cast("FunctionTurn", head))
        self.number = unpack_head(head.result)[0]
        self.piece = self.turn(closes=False)
        self.outbound.opened(request := OutboundRequest(self.outbound, self.piece, b"{}", streams=True))
        self.stream = str(request.serial)

    def turn(self, *, closes: bool) -> PieceTurn:
        call = Call(0, 0, 0, CallKind.BODY, 0, b"f", b"body", b"", pack_pull(self.number, closes=closes))
        turn = Mock(spec=PieceTurn, entry=self.entry, closes=closes, loaded=self.entry.loaded, function="f")
        turn.request = call
        turn.remaining_s.return_value = 1.0
        return cast("PieceTurn", turn)

    def client_goes(self) -> None:
        """While the piece is computed, so that there is no waiting that could be ended."""
        self.bodies.forget_client(self.front)

    def read(self, turn: PieceTurn, bytes_max: int) -> OutboundRead:
        read = OutboundRead(self.outbound, turn, self.stream, bytes_max)
        read.begin()
        return read


def refused(question: Awaited) -> bool:
    return isinstance(question.error, OutboundUnreachableError)


def test_a_piece_whose_client_went_while_it_was_computed_waits_for_no_more_of_an_answer() -> None:
    response = Response()
    response.client_goes()

    assert refused(response.read(response.piece, 100))
    response.link.send.assert_not_called()


def test_nor_does_it_ask_the_outside_anew() -> None:
    response = Response()
    response.client_goes()
    request = OutboundRequest(response.outbound, response.piece, b"{}", streams=False)
    request.begin()

    assert refused(request)
    response.gate.leave.assert_not_called()


@pytest.mark.parametrize("closes", [False, True], ids=["the piece", "the close"])
def test_it_may_close_what_it_reads(*, closes: bool) -> None:
    response = Response()
    response.client_goes()
    read = response.read(response.turn(closes=closes), 0)

    assert read.over
    assert read.error is None
    response.link.close_stream.assert_called_once()


def test_what_closes_the_body_may_ask_the_outside() -> None:
    """The `finally` of its function runs there, which may tell somebody."""
    response = Response()
    response.client_goes()
    request = OutboundRequest(response.outbound, response.turn(closes=True), b"{}", streams=False)
    request.begin()

    assert not request.over
    response.gate.leave.assert_called_once()


def test_while_its_client_is_there_it_reads_on() -> None:
    response = Response()
    read = response.read(response.piece, 100)

    assert not read.over
    response.link.send.assert_called_once()
