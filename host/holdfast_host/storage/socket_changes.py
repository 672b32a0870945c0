"""What a turn does to its instance's sockets, over what earlier turns left: rows, and what is sent.

Like writes they are part of the turn's changes: a savepoint that is undone takes them along, and a turn that fails has
sent nothing. What does not live here: which sockets are alive, and what a guest may ask for (worker).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import LimitError
from holdfast_host.storage.store import AUTO_RESPONSE, Changes, SocketRow, StoredInstance
from holdfast_host.storage.turn_jobs import TurnJobs
from holdfast_host.storage.unflushed import change_sockets, read_socket

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdfast_host.wire.sockets.frames import Frame

_ROW_BYTES: Final = 40  # of a row, besides what has a length of its own: an upper bound
_RECEIVER_BYTES: Final = 4  # of a frame, for each of its sockets


class SocketChanges(TurnJobs):
    """A turn's sockets, as a part of its Overlay. Used by one thread at a time."""

    __slots__ = ("_ended_socket", "_sent", "_sent_bytes")

    # Set by the Overlay, as those of TurnChanges.
    _ended_socket: int  # this turn handles its close: it is gone for the turn, and `take` removes it
    _sent: int  # frames since the turn began, or its last sync; also those that were undone
    _sent_bytes: int

    def socket(self, number: int) -> SocketRow | None:
        """One of the instance's sockets, or its auto response."""
        if number == self._ended_socket and number:
            return None
        top = self._top
        if self._below or top.sockets is not None or top.erased:
            for changes in (top, *reversed(self._below)):
                if changes.sockets is not None and number in changes.sockets:
                    return changes.sockets[number]
                if changes.erased:
                    return None
        return read_socket(self._store, self._instance, self._pending, number)

    def stored_socket(self, number: int) -> SocketRow | None:
        """The same as earlier turns, and what of this one is committed, have left it."""
        return read_socket(self._store, self._instance, self._pending, number)

    def all_sockets(self) -> dict[int, SocketRow]:
        """All of the instance's sockets by their numbers, in no order; those too that it has closed."""
        found = self._pending.read_sockets(self._store, self._instance)
        for changes in (*self._below, self._top):
            change_sockets(found, changes)
        found.pop(AUTO_RESPONSE, None)
        found.pop(self._ended_socket, None)
        return found

    def count_sockets(self) -> int:
        """How many `all_sockets` has, in a time that grows with what is not durable of them, not with their number."""
        ended = Changes(sockets={self._ended_socket: None})
        return self._pending.count_sockets(self._store, self._instance, (*self._below, self._top, ended))

    def put_socket(self, number: int, row: SocketRow | None) -> None:
        """Write a socket's row, or the auto response; None removes it."""
        top = self._top
        if top.sockets is None:
            top.sockets = {}
        top.size_bytes += self._grown(number, row)
        top.sockets[number] = row
        self.wrote = True

    def attach(self, number: int, row: SocketRow) -> None:
        """Write a socket's row for what its guest keeps there, which counts as all that a turn writes.

        Raises:
            LimitError: the turn writes too much.
        """
        written = self._below_bytes + self._top.size_bytes + self._grown(number, row)
        if written > self._limits.turn_write_bytes_max:
            raise LimitError(
                f"writing {written} bytes in one turn exceeds the limit of {self._limits.turn_write_bytes_max} bytes "
                f"(an attachment, {self._label})"
            )
        self.put_socket(number, row)

    def _grown(self, number: int, row: SocketRow | None) -> int:
        """By how many bytes the layer grows with that row."""
        before = self._top.sockets.get(number) if self._top.sockets is not None else None
        return sum(
            _row_bytes(each, self._instance) * sign for each, sign in ((row, 1), (before, -1)) if each is not None
        )

    def end_socket(self, number: int) -> None:
        """Begin to handle its close: see `Overlay.take_alarm`, of which this is the like."""
        self._ended_socket = number

    def send(self, frame: Frame, sockets: Collection[int], frame_bytes: int) -> None:
        """Have a frame leave to these sockets with what the turn commits.

        Raises:
            LimitError: the turn sends too much.
        """
        limits = self._limits
        sent, sent_bytes = self._sent + 1, self._sent_bytes + frame_bytes + _RECEIVER_BYTES * len(sockets)
        if sent > limits.turn_sends_max:
            raise LimitError(
                f"sending {sent} messages in one turn exceeds the limit of {limits.turn_sends_max} messages "
                f"({self._label})"
            )
        if sent_bytes > limits.turn_send_bytes_max:
            raise LimitError(
                f"sending {sent_bytes} bytes in one turn exceeds the limit of {limits.turn_send_bytes_max} bytes "
                f"({self._label})"
            )
        self._sent, self._sent_bytes = sent, sent_bytes
        self.tell(frame, sockets)

    def tell(self, frame: Frame, sockets: Collection[int]) -> None:
        """The same of what is no message, and is not counted."""
        top = self._top
        if top.sends is None:
            top.sends = []
        top.sends.append((frame, sockets))
        self.wrote = True

    def _end(self, changes: Changes) -> None:
        """The turn is over: the socket whose close it handled goes with what it has written."""
        if self._ended_socket:
            changes.sockets = {**(changes.sockets or {}), self._ended_socket: None}


def row_bytes(changes: Changes, instance: StoredInstance) -> int:
    """What the socket rows take that these write; an upper bound."""
    rows = changes.sockets.values() if changes.sockets is not None else ()
    return sum(_row_bytes(row, instance) for row in rows if row is not None)


def _row_bytes(row: SocketRow, instance: StoredInstance) -> int:
    reason = 0 if row.ending is None else len(row.ending.reason) * 4
    texts = (instance.name, row.tags, row.protocol, row.attachment, row.trace)
    return _ROW_BYTES + sum(map(len, texts)) + reason
