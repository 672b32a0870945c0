"""The reply of a turn, on its way through the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.worker.inspection.measures import OK
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.client_connections import Link
    from holdfast_host.worker.inspection.measures import Measures
    from holdfast_host.worker.turns.turn import Turn


@leaders
class Reply:
    """What the caller of a turn gets. It leaves once, by `go` or by `fail`."""

    __slots__ = ("_dirty", "_measures", "_turn")

    def __init__(self, turn: Turn, dirty: dict[Link, None], measures: Measures) -> None:
        """`dirty` collects the links that have something to send."""
        self._turn = turn
        self._dirty = dirty
        self._measures = measures

    def go(self) -> None:
        """The result, or the error that the turn itself ended with."""
        turn = self._turn
        if turn.error is None:
            self._measures.answered(turn, OK)
            self._send(200, turn.result)
        else:
            self.fail(turn.error)

    def fail(self, error: HoldfastError) -> None:
        """The turn's outcome must not be told; the error instead."""
        self._measures.answered(self._turn, error.name)
        self._send(error.status, error.to_json())

    def _send(self, status: int, body: bytes) -> None:
        turn = self._turn
        link = turn.link
        if link is None:
            if turn.caller is not None:
                turn.caller.answered(status, body)
            return
        if link.answer(turn.request.slot, status, body):
            self._dirty[link] = None
