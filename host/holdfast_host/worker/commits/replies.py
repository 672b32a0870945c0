"""Replies: of a turn, on its way through the gate, and of what is no turn, which nothing holds back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.wire.calls.function_bodies import FOLLOWS
from holdfast_host.wire.calls.idempotency import REPLAYED
from holdfast_host.worker.measures import OK
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.turns.turn import Turn


@leaders
class Replies:
    """What one worker answers, and the connections that have some of it to send."""

    __slots__ = ("measures", "unsent")

    def __init__(self, measures: Measures) -> None:
        self.measures = measures
        self.unsent: dict[ClientConnection, None] = {}

    def refuse(self, turn: Turn, error: HoldfastError) -> None:
        """Answer a turn that never began; nothing holds that back."""
        Reply(turn, self).fail(error)

    def send(self, client: ClientConnection, slot: int, status: int, body: bytes) -> None:
        """Answer what waits in that slot; it leaves with the next flush."""
        if client.answer(slot, status, body):
            self.unsent[client] = None

    def note_unsent(self, client: ClientConnection) -> None:
        """The connection has something to send; it leaves with the next flush."""
        if not client.closed:
            self.unsent[client] = None

    def flush(self) -> None:
        """Send what may leave, a write for each connection."""
        unsent = self.unsent
        while unsent:
            client, _ = unsent.popitem()
            client.flush()

    def forget_client(self, client: ClientConnection) -> None:
        """The client is gone: nothing more to send."""
        self.unsent.pop(client, None)

    @any_thread
    def anything_unsent(self) -> bool:
        """Whether `flush` has something to do (monitor)."""
        return bool(self.unsent)


@leaders
class Reply:
    """What the caller of a turn gets. It leaves once, by `go` or by `fail`."""

    __slots__ = ("_replies", "_turn")

    def __init__(self, turn: Turn, replies: Replies) -> None:
        self._turn = turn
        self._replies = replies

    def go(self) -> None:
        """The result, or the error that the turn itself ended with."""
        turn = self._turn
        if turn.error is None:
            self._replies.measures.answered(turn, OK)
            replayed = turn.keyed is not None and turn.keyed.replayed
            self._send(200 | REPLAYED if replayed else 200, turn.result)
        else:
            self.fail(turn.error)

    def fail(self, error: HoldfastError) -> None:
        """The turn's outcome must not be told; the error instead."""
        self._replies.measures.answered(self._turn, error.name)
        self._send(error.status, error.to_json())

    def _send(self, status: int, body: bytes) -> None:
        turn = self._turn
        client = turn.client
        if client is None:
            if turn.caller is not None:
                turn.caller.answered(status, body)
            return
        if client.answer(turn.request.slot, status, body):
            self._replies.unsent[client] = None


@leaders
class HeadReply(Reply):
    """The head of a function's response whose body comes in pieces."""

    __slots__ = ("_on_lost",)

    def __init__(self, turn: Turn, replies: Replies, on_lost: Callable[[], None]) -> None:
        super().__init__(turn, replies)
        self._on_lost = on_lost

    def go(self) -> None:
        """The head, which says that a body follows; or the error that the turn ended with."""
        turn = self._turn
        if turn.error is None:
            self._replies.measures.answered(turn, OK)
            self._send(200 | FOLLOWS, turn.result)
        else:
            self.fail(turn.error)

    def fail(self, error: HoldfastError) -> None:
        """The head must not be told: nobody will ask for the body."""
        super().fail(error)
        self._on_lost()
